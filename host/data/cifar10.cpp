#include "host/data/cifar10.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "host/data/files.hpp"
#include "layers/error.hpp"

namespace normlab::cifar10 {
namespace {

namespace fs = std::filesystem;
using Manifest = std::array<int, files.size()>;  // records of each file

constexpr std::uint64_t largest_text = 1 << 16;
constexpr int most_records = 1'000'000;  // in one file: 3 GB, far above any set in this layout
constexpr const char* fetch_again = "`dataset fetch cifar10 DIR` gets the set again";

std::string read_text(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path, largest_text);
  return {bytes.begin(), bytes.end()};
}

/// Reads "FILE RECORDS" lines; '#' begins a comment.
Manifest parse_manifest(const std::string& text, const std::string& file) {
  Manifest records{};
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    std::string count;
    std::string rest;
    words >> name >> count >> rest;
    const auto* const found = std::find(files.begin(), files.end(), name);
    int value = 0;
    const auto parsed = std::from_chars(count.data(), count.data() + count.size(), value);
    if (found == files.end() || parsed.ec != std::errc{} || parsed.ptr != count.data() + count.size() ||
        value < 1 || value > most_records || !rest.empty()) {
      throw Error(
          "{} line {}: '{}' is not a file of the set and its number of records (1 to {}); write the "
          "set again with `dataset synthetic DIR`",
          file, number, line, most_records);
    }
    records[static_cast<std::size_t>(found - files.begin())] = value;
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (records[i] == 0) {
      throw Error("{} does not say how many records {} has; write the set again with `dataset synthetic DIR`",
                  file, files[i]);
    }
  }
  return records;
}

void reserve(Images& images, int count) {
  images.labels.reserve(static_cast<std::size_t>(count));
  images.pixels.reserve(static_cast<std::size_t>(count) * images.image_bytes());
}

}  // namespace

void append_records(Images& images, std::span<const std::uint8_t> bytes, int records,
                    const std::string& file) {
  const std::size_t expected = static_cast<std::size_t>(records) * record_bytes;
  if (bytes.size() != expected) {
    const std::size_t whole = bytes.size() / record_bytes;
    throw Error("{} has {} bytes; {} records of {} bytes make {}. It ends {} bytes into record {}: {} {}",
                file, bytes.size(), records, record_bytes, expected, bytes.size() % record_bytes, whole,
                bytes.size() < expected ? "a truncated download or copy?" : "not a file of this set?",
                fetch_again);
  }
  for (std::size_t record = 0; record < static_cast<std::size_t>(records); ++record) {
    const auto one = bytes.subspan(record * record_bytes, record_bytes);
    if (one[0] >= classes) {
      throw Error("{}: record {} (byte {}) has the label {}; labels are 0 to 9. The file is damaged: {}",
                  file, record, record * record_bytes, one[0], fetch_again);
    }
    images.labels.push_back(one[0]);
    images.pixels.insert(images.pixels.end(), one.begin() + 1, one.end());
  }
  images.count += records;
}

std::vector<std::string> parse_class_names(const std::string& text, const std::string& file) {
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != classes) {
    throw Error("{} names {} classes, not {}: one a line; without the file CIFAR-10's own names are used",
                file, names.size(), classes);
  }
  return names;
}

std::vector<std::string> default_class_names() {
  return {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
}

bool has_files(const fs::path& folder) {
  std::error_code ignored;
  return std::any_of(files.begin(), files.end(),
                     [&](std::string_view name) { return fs::exists(folder / name, ignored); });
}

Dataset read_directory(const fs::path& given) {
  std::error_code ignored;
  const fs::path nested = given / folder;
  const fs::path where = !has_files(given) && fs::is_directory(nested, ignored) ? nested : given;

  std::string missing;
  for (const std::string_view name : files) {
    if (!fs::exists(where / name, ignored))
      missing += std::string(missing.empty() ? "" : ", ") + std::string(name);
  }
  if (!missing.empty()) {
    throw Error("{} lacks {}. `dataset fetch cifar10 {}` gets CIFAR-10, `--data synthetic` needs no files",
                where.string(), missing, given.string());
  }

  Dataset dataset;
  dataset.name = "cifar10";
  dataset.source = where.string();
  Manifest records;
  records.fill(official_records);
  const fs::path manifest = where / manifest_file;
  if (fs::exists(manifest, ignored)) {
    records = parse_manifest(read_text(manifest), manifest.string());
    dataset.name = fs::absolute(where).lexically_normal().filename().string();
  }
  const fs::path names = where / names_file;
  dataset.class_names = fs::exists(names, ignored) ? parse_class_names(read_text(names), names.string())
                                                   : default_class_names();
  int training = 0;
  for (std::size_t i = 0; i + 1 < files.size(); ++i) training += records[i];
  for (std::size_t i = 0; i < files.size(); ++i) {
    const fs::path path = where / files[i];
    // The limit is above what the set can hold: a file a little too long is told so by append_records.
    const std::uint64_t limit = 2 * static_cast<std::uint64_t>(records[i]) * record_bytes;
    const std::vector<std::uint8_t> bytes = read_file(path, limit);
    const bool test = i + 1 == files.size();
    Images& images = test ? dataset.test : dataset.train;
    if (images.count == 0) reserve(images, test ? records[i] : training);
    append_records(images, bytes, records[i], path.string());
  }
  dataset.digest = dataset_digest(dataset);
  return dataset;
}

void write_directory(const fs::path& where, const Dataset& dataset) {
  constexpr int train_files = static_cast<int>(files.size()) - 1;
  if (dataset.train.count < train_files || dataset.test.count < 1) {
    throw UsageError(
        "the layout has {} training files and a test file, so it takes at least {} training images "
        "and 1 test image, not {} and {}",
        train_files, train_files, dataset.train.count, dataset.test.count);
  }
  std::error_code ignored;
  if (fs::exists(where, ignored) && !fs::is_directory(where, ignored)) {
    throw Error("{} exists and is no directory; name a new one", where.string());
  }
  if (fs::is_directory(where, ignored) && !fs::is_empty(where, ignored)) {
    throw Error("{} is not empty, and nothing is overwritten: name a new directory, or remove it first",
                where.string());
  }
  make_directory(where);

  std::string manifest = fmt::format("# {}: the records of each file\n", dataset.source);
  const auto write_part = [&](std::string_view name, const Images& images, int first, int last) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(static_cast<std::size_t>(last - first) * record_bytes);
    for (int i = first; i < last; ++i) {
      const std::span<const std::uint8_t> pixels = images.image(i);
      bytes.push_back(images.labels[static_cast<std::size_t>(i)]);
      bytes.insert(bytes.end(), pixels.begin(), pixels.end());
    }
    write_file(where / name, bytes);
    manifest += fmt::format("{} {}\n", name, last - first);
  };
  int first = 0;
  for (int part = 0; part < train_files; ++part) {
    const int left = train_files - part;
    const int last = first + (dataset.train.count - first + left - 1) / left;
    write_part(files[static_cast<std::size_t>(part)], dataset.train, first, last);
    first = last;
  }
  write_part(files.back(), dataset.test, 0, dataset.test.count);

  std::string names;
  for (const std::string& name : dataset.class_names) names += name + "\n";
  write_file(where / names_file, bytes_of(names));
  write_file(where / manifest_file, bytes_of(manifest));  // last: a set cut short has no manifest
}

void for_each_record(const Dataset& dataset, const std::function<void(std::span<const std::uint8_t>)>& sink) {
  std::vector<std::uint8_t> record(record_bytes);
  for (const Images* images : {&dataset.train, &dataset.test}) {
    for (int i = 0; i < images->count; ++i) {
      const std::span<const std::uint8_t> pixels = images->image(i);
      record[0] = images->labels[static_cast<std::size_t>(i)];
      std::copy(pixels.begin(), pixels.end(), record.begin() + 1);
      sink(record);
    }
  }
}

}  // namespace normlab::cifar10
