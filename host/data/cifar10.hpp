#pragma once
// The CIFAR-10 binary layout: files of records, each one label byte and then 32x32 red, green and blue bytes
// (https://www.cs.toronto.edu/~kriz/cifar.html, "binary version").

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "host/data/dataset.hpp"

namespace normlab::cifar10 {

inline constexpr int record_bytes = 1 + 3 * 32 * 32;
inline constexpr int official_records = 10'000;  ///< in each file of the real set
inline constexpr int classes = 10;
inline constexpr std::array<std::string_view, 6> files = {"data_batch_1.bin", "data_batch_2.bin",
                                                          "data_batch_3.bin", "data_batch_4.bin",
                                                          "data_batch_5.bin", "test_batch.bin"};
inline constexpr const char* names_file = "batches.meta.txt";  ///< one class name a line; optional
inline constexpr const char* folder = "cifar-10-batches-bin";  ///< where the archive unpacks to
/// Written beside sets that are not CIFAR-10: the records of each file. Without it, every file must hold
/// official_records, so that a truncated download never passes for a small set.
inline constexpr const char* manifest_file = "records.txt";

/// Appends the records in `bytes` to `images`. `records` is how many there must be; `file` names the source
/// in errors. Throws Error when the size is wrong (how far, what to do) or a label is above 9 (record,
/// offset).
void append_records(Images& images, std::span<const std::uint8_t> bytes, int records,
                    const std::string& file);

/// The class names in the text of a batches.meta.txt. Throws Error when there are not exactly ten.
std::vector<std::string> parse_class_names(const std::string& text, const std::string& file);

/// The names of the ten CIFAR-10 classes, for sets without a batches.meta.txt.
std::vector<std::string> default_class_names();

/// Whether `folder` holds any of `files`.
bool has_files(const std::filesystem::path& folder);

/// Reads a directory in this layout, or one with a cifar-10-batches-bin/ in it. Throws Error.
Dataset read_directory(const std::filesystem::path& folder);

/// Writes `dataset` in this layout with a manifest: training images evenly over five files. The directory is
/// made, or must be empty. Throws Error (it is not empty, the disk is full), UsageError for fewer than 5
/// training images.
void write_directory(const std::filesystem::path& folder, const Dataset& dataset);

/// Calls `sink` with the bytes of each record in turn (label, pixels), training images first.
void for_each_record(const Dataset& dataset, const std::function<void(std::span<const std::uint8_t>)>& sink);

}  // namespace normlab::cifar10
