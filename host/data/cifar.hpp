#pragma once
// The binary layouts of CIFAR-10 and CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html, "binary
// version"): files of records, each one label byte (CIFAR-100: two, the coarse class and the fine one, which
// is what gets learnt) and then 32x32 red, green and blue bytes.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/data/dataset.hpp"

namespace normlab::cifar {

inline constexpr int pixel_bytes = 3 * 32 * 32;
/// Written beside sets that are not the official ones: the records of each file. Without it, every file must
/// hold as many as the layout says, so that a truncated download never passes for a small set.
inline constexpr const char* manifest_file = "records.txt";
/// One line beside the files, if these are not the original pixels, say: it goes wherever figures go.
inline constexpr const char* note_file = "note.txt";

struct File {
  std::string_view name;
  int records;  ///< in the official set
};

/// Where a set's bytes lie.
struct Layout {
  std::string_view name;   ///< as `dataset fetch` calls it: cifar10
  std::string_view title;  ///< CIFAR-10
  int coarse_classes;      ///< of the label byte before the label; 0: there is no such byte
  int classes;
  std::vector<File> files;               ///< those of the training set, then the test file
  std::string_view names_file;           ///< one class name a line; optional
  std::string_view folder;               ///< where the archive unpacks to
  std::vector<std::string_view> labels;  ///< the names of the classes, for sets without a names_file

  [[nodiscard]] int label_bytes() const { return coarse_classes > 0 ? 2 : 1; }
  [[nodiscard]] int record_bytes() const { return label_bytes() + pixel_bytes; }
};

/// data_batch_1.bin ... data_batch_5.bin, test_batch.bin.
const Layout& cifar10();
/// train.bin, test.bin.
const Layout& cifar100();

/// Appends the records in `bytes` to `images`. `records` is how many there must be; `file` names the source
/// in errors. Throws Error when the size is wrong (how far, what to do) or a label is too large (record,
/// offset).
void append_records(Images& images, const Layout& layout, std::span<const std::uint8_t> bytes, int records,
                    const std::string& file);

/// The class names in the text of a names file. Throws Error when there are not as many as classes.
std::vector<std::string> parse_class_names(const Layout& layout, const std::string& text,
                                           const std::string& file);

/// What is wrong with naming this file where a whole set is meant: it is one of a set's files, or of another
/// version of CIFAR; "" where its name says nothing.
std::string part_of_a_set(const std::filesystem::path& file);
/// Which other version of CIFAR an archive with a member of this name is, and what helps; "" if none.
std::string other_version(std::string_view member);

/// Reads a directory in one of these layouts, or one that holds the folder of one. Throws Error: files are
/// missing or damaged, or it is not clear which of the sets is meant.
Dataset read_directory(const std::filesystem::path& folder);

/// Writes `dataset` in CIFAR-10's layout with a manifest: training images evenly over five files. The
/// directory is made, or must be empty. Throws Error (it is not empty, the disk is full), UsageError for
/// fewer than 5 training images.
void write_directory(const std::filesystem::path& folder, const Dataset& dataset);

/// Calls `sink` with the bytes of each record in turn (label, pixels), training images first.
void for_each_record(const Dataset& dataset, const std::function<void(std::span<const std::uint8_t>)>& sink);

/// SHA-256 (hex) of the records (label, pixels) of a set: what Dataset::digest holds but for CIFAR-100, whose
/// files have coarse labels, too.
std::string dataset_digest(const Dataset& dataset);

}  // namespace normlab::cifar
