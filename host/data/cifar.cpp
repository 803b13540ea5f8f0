#include "host/data/cifar.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <sstream>

#include "host/data/digest.hpp"
#include "host/data/files.hpp"
#include "host/system/paths.hpp"
#include "host/system/shell_word.hpp"
#include "layers/as_size.hpp"
#include "layers/error.hpp"

namespace normlab::cifar {
namespace {

namespace fs = std::filesystem;
using Manifest = std::vector<int>;  // records of each file

constexpr std::uint64_t largest_text = 1 << 16;
constexpr int most_records = 1'000'000;  // in one file: 3 GB, far above any set in this layout

std::string fetch_again(const Layout& layout) {
  return fmt::format("`dataset fetch {} DIR` gets the set again", layout.name);
}

std::string read_text(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = read_file(path, largest_text);
  return {bytes.begin(), bytes.end()};
}

/// Reads "FILE RECORDS" lines; '#' begins a comment.
Manifest parse_manifest(const Layout& layout, const std::string& text, const std::string& file) {
  Manifest records(layout.files.size(), 0);
  constexpr std::string_view mark = "\xEF\xBB\xBF";  // some editors begin with it
  std::istringstream lines(text.starts_with(mark) ? text.substr(mark.size()) : text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string name;
    std::string count;
    std::string rest;
    words >> name >> count >> rest;
    const auto found = std::find_if(layout.files.begin(), layout.files.end(),
                                    [&](const File& part) { return part.name == name; });
    int value = 0;
    const auto parsed = std::from_chars(count.data(), count.data() + count.size(), value);
    if (found == layout.files.end() || parsed.ec != std::errc{} ||
        parsed.ptr != count.data() + count.size() || value < 1 || value > most_records || !rest.empty()) {
      throw Error(
          "{} line {}: '{}' is not a file of the set and its number of records (1 to {}), such as '{} 128'",
          file, number, line, most_records, layout.files.front().name);
    }
    records[as_size(found - layout.files.begin())] = value;
  }
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (records[i] == 0) {
      throw Error("{} does not say how many records {} has: add a line such as '{} 128'", file,
                  layout.files[i].name, layout.files[i].name);
    }
  }
  return records;
}

void reserve(Images& images, int count) {
  images.labels.reserve(as_size(count));
  images.pixels.reserve(as_size(count) * images.image_bytes());
}

/// Throws Error where a file of the set cannot hold so many records.
void check_size(const Layout& layout, std::uint64_t bytes, int records, const fs::path& file) {
  const auto size = static_cast<std::uint64_t>(layout.record_bytes());
  const std::uint64_t expected = static_cast<std::uint64_t>(records) * size;
  if (bytes == expected) return;
  if (bytes % size == 0 && bytes > 0) {
    const std::string remedy =
        is_there(file.parent_path() / manifest_file)
            ? fmt::format("{} says otherwise: write the right number there", manifest_file)
            : fmt::format(
                  "if this is a set of your own, write into {} beside it how many records each file has, a "
                  "line such as '{} {}' for each; else it is a truncated download or copy, and {}",
                  manifest_file, file.filename().string(), bytes / size, fetch_again(layout));
    throw Error("{} has {} bytes, which are {} records; {} records of {} bytes were expected ({} bytes): {}",
                file.string(), bytes, bytes / size, records, size, expected, remedy);
  }
  throw Error("{} has {} bytes; {} records of {} bytes make {}. It ends {} bytes into record {}: {} {}",
              file.string(), bytes, records, size, expected, bytes % size, bytes / size,
              bytes < expected ? "a truncated download or copy?" : "not a file of this set?",
              fetch_again(layout));
}

/// Whether `folder` holds any file of the set.
bool has_files(const Layout& layout, const fs::path& folder) {
  return std::any_of(layout.files.begin(), layout.files.end(),
                     [&](const File& part) { return is_there(folder / part.name); });
}

/// CIFAR's other versions, which hold the same images in other formats.
struct OtherVersion {
  std::string_view title, folder;
  std::vector<std::string_view> files;
};

const std::array kOtherVersions{
    OtherVersion{"the python version of CIFAR-10", "cifar-10-batches-py", {"data_batch_1", "test_batch"}},
    OtherVersion{"the python version of CIFAR-100", "cifar-100-python", {"train", "test"}},
    OtherVersion{
        "the Matlab version of CIFAR-10", "cifar-10-batches-mat", {"data_batch_1.mat", "test_batch.mat"}},
    OtherVersion{"the Matlab version of CIFAR-100", "cifar-100-matlab", {"train.mat", "test.mat"}}};

std::string binary_version_needed(std::string_view what) {
  const bool is_hundred = what.find("100") != what.npos;
  return fmt::format("what is read is the binary version: `dataset fetch {} DIR` gets it, or bring {}",
                     is_hundred ? "cifar100" : "cifar10",
                     is_hundred ? "cifar-100-binary.tar.gz" : "cifar-10-binary.tar.gz");
}

/// What a directory without a set holds instead, and what helps; "" if that is nothing known.
std::string other_form(const fs::path& given) {
  for (const OtherVersion& version : kOtherVersions) {
    for (const fs::path& folder : {given, given / version.folder}) {
      if (!std::all_of(version.files.begin(), version.files.end(),
                       [&](std::string_view name) { return is_a_file(folder / name); }))
        continue;
      return fmt::format("{} is {}; {}", folder.string(), version.title,
                         binary_version_needed(version.title));
    }
  }
  for (const char* archive :
       {"cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz", "cifar-10-python.tar.gz",
        "cifar-100-python.tar.gz", "cifar-10-matlab.tar.gz", "cifar-100-matlab.tar.gz"}) {
    const std::string_view name = archive;
    if (!is_a_file(given / name)) continue;
    return name.find("binary") != name.npos
               ? fmt::format("{} holds no files of a set, but an archive: give --data {}", given.string(),
                             shell_path(given / name))
               : fmt::format("{} holds an archive of another version, {}; {}", given.string(), name,
                             binary_version_needed(name.find("100") != name.npos ? "100" : "10"));
  }
  return "";
}

/// Which set a directory holds, and where in it. Throws Error when that is not clear.
std::pair<const Layout*, fs::path> find_set(const fs::path& given) {
  std::vector<std::pair<const Layout*, fs::path>> found;
  for (const Layout* layout : {&cifar10(), &cifar100()}) {
    const fs::path nested = given / layout->folder;
    if (has_files(*layout, given)) {
      found.emplace_back(layout, given);
    } else if (is_there(nested)) {
      found.emplace_back(layout, nested);
    }
  }
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    if (const std::string form = other_form(given); !form.empty()) throw Error("{}", form);
    throw Error(
        "{} holds neither CIFAR-10's files (data_batch_1.bin ... test_batch.bin) nor CIFAR-100's (train.bin, "
        "test.bin). `dataset fetch cifar10 {}` gets CIFAR-10, `--data synthetic` needs no files",
        given.string(), shell_path(given));
  }
  throw Error(
      "{} holds files of CIFAR-10 and of CIFAR-100 ({} and {}): name the directory of the one you mean",
      given.string(), found[0].second.string(), found[1].second.string());
}

}  // namespace

const Layout& cifar10() {
  static const Layout layout{
      "cifar10",
      "CIFAR-10",
      0,
      10,
      {{"data_batch_1.bin", 10'000},
       {"data_batch_2.bin", 10'000},
       {"data_batch_3.bin", 10'000},
       {"data_batch_4.bin", 10'000},
       {"data_batch_5.bin", 10'000},
       {"test_batch.bin", 10'000}},
      "batches.meta.txt",
      "cifar-10-batches-bin",
      {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}};
  return layout;
}

const Layout& cifar100() {
  static const Layout layout{
      "cifar100",
      "CIFAR-100",
      20,
      100,
      {{"train.bin", 50'000}, {"test.bin", 10'000}},
      "fine_label_names.txt",
      "cifar-100-binary",
      {"apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
       "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
       "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
       "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
       "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
       "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
       "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
       "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
       "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
       "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
       "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
       "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
       "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
       "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
       "table",       "tank",          "telephone", "television", "tiger",        "tractor",
       "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
       "willow_tree", "wolf",          "woman",     "worm"}};
  return layout;
}

void append_records(Images& images, const Layout& layout, std::span<const std::uint8_t> bytes, int records,
                    const std::string& file) {
  const auto size = as_size(layout.record_bytes());
  check_size(layout, bytes.size(), records, file);
  const auto check = [&](std::size_t record, int label, int classes, const char* what) {
    if (label < classes) return;
    throw Error("{}: record {} (byte {}) has the {} {}; labels are 0 to {}. The file is damaged: {}", file,
                record, record * size, what, label, classes - 1, fetch_again(layout));
  };
  for (std::size_t record = 0; record < as_size(records); ++record) {
    auto one = bytes.subspan(record * size, size);
    if (layout.coarse_classes > 0) {
      check(record, one[0], layout.coarse_classes, "coarse label");
      one = one.subspan(1);
    }
    check(record, one[0], layout.classes, "label");
    images.labels.push_back(one[0]);
    images.pixels.insert(images.pixels.end(), one.begin() + 1, one.end());
  }
  images.count += records;
}

std::vector<std::string> parse_class_names(const Layout& layout, const std::string& text,
                                           const std::string& file) {
  std::vector<std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != as_size(layout.classes)) {
    throw Error("{} names {} classes, not {}: one a line; without the file {}'s own names are used", file,
                names.size(), layout.classes, layout.title);
  }
  return names;
}

/// One line of text.
std::string parse_note(std::string text, const std::string& file) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  constexpr std::size_t longest = 200;
  const bool has_control = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' '; });
  if (text.empty() || text.size() > longest || has_control) {
    throw Error("{} is to be one line of at most {} bytes: what to know of these images; or remove it", file,
                longest);
  }
  return text;
}

std::string part_of_a_set(const fs::path& file) {
  const std::string name = file.filename().string();
  const std::string directory = file.parent_path().empty() ? "." : file.parent_path().string();
  for (const Layout* layout : {&cifar10(), &cifar100()}) {
    if (std::any_of(layout->files.begin(), layout->files.end(),
                    [&](const File& part) { return part.name == name; }))
      return fmt::format(
          "{} is one file of a set in {}'s layout: give the directory that holds all of them, --data {}",
          file.string(), layout->title, shell_path(directory));
  }
  for (const OtherVersion& version : kOtherVersions) {
    const bool is_part = std::any_of(version.files.begin(), version.files.end(), [&](std::string_view part) {
      return part == name || (name.starts_with("data_batch_") && part.starts_with("data_batch_") &&
                              fs::path(part).extension() == fs::path(name).extension());
    });
    if (is_part)
      return fmt::format("{} is a file of {}; {}", file.string(), version.title,
                         binary_version_needed(version.title));
  }
  return "";
}

std::string other_version(std::string_view member) {
  for (const OtherVersion& version : kOtherVersions) {
    if (member.find(version.folder) != member.npos)
      return fmt::format("{}; {}", version.title, binary_version_needed(version.title));
  }
  return "";
}

Dataset read_directory(const fs::path& given) {
  const auto [found, where] = find_set(given);
  const Layout& layout = *found;
  std::string missing;
  for (const File& part : layout.files) {
    if (!is_there(where / part.name))
      missing += std::string(missing.empty() ? "" : ", ") + std::string(part.name);
  }
  if (!missing.empty()) {
    throw Error(
        "{} lacks {}. `dataset fetch {} {}` gets {}, `--data synthetic` needs no files; even a small set of "
        "your own has "
        "all of its files",
        where.string(), missing, layout.name, shell_path(given), layout.title);
  }

  Dataset dataset;
  dataset.name = layout.name;
  dataset.source = where.string();
  Manifest records;
  for (const File& part : layout.files) records.push_back(part.records);
  const fs::path manifest = where / manifest_file;
  if (is_there(manifest)) {
    records = parse_manifest(layout, read_text(manifest), manifest.string());
    dataset.name = absolute_path(where).filename().string();
  }
  const fs::path names = where / layout.names_file;
  dataset.class_names.assign(layout.labels.begin(), layout.labels.end());
  if (is_there(names)) dataset.class_names = parse_class_names(layout, read_text(names), names.string());
  if (const fs::path note = where / note_file; is_there(note))
    dataset.note = parse_note(read_text(note), note.string());
  reserve(dataset.train, std::accumulate(records.begin(), records.end() - 1, 0));
  reserve(dataset.test, records.back());
  Digest digest(Digest::Kind::sha256);
  for (std::size_t i = 0; i < records.size(); ++i) {
    const fs::path path = where / layout.files[i].name;
    check_size(layout, bytes_in(path), records[i], path);  // before memory is taken
    const std::vector<std::uint8_t> bytes = read_file(path, UINT64_MAX);
    digest.add(bytes);
    append_records(i + 1 == records.size() ? dataset.test : dataset.train, layout, bytes, records[i],
                   path.string());
  }
  dataset.digest = std::move(digest).hex();
  return dataset;
}

void write_directory(const fs::path& where, const Dataset& dataset) {
  const Layout& layout = cifar10();
  const int train_files = static_cast<int>(layout.files.size()) - 1;
  if (dataset.train.count < train_files || dataset.test.count < 1) {
    throw UsageError(
        "the layout has {} training files and a test file, so it takes at least {} training images "
        "and 1 test image, not {} and {}",
        train_files, train_files, dataset.train.count, dataset.test.count);
  }
  if (is_there(where) && !is_a_directory(where)) {
    throw Error("{} exists and is no directory; name a new one", where.string());
  }
  if (is_there(where) && !is_fresh(where)) {
    throw Error("{} is not empty, and nothing is overwritten: name a new directory, or remove it first",
                where.string());
  }
  make_directories(where);

  std::string manifest = fmt::format("# {}: the records of each file\n", dataset.source);
  const auto write_part = [&](std::string_view name, const Images& images, int first, int last) {
    std::vector<std::uint8_t> bytes;
    bytes.reserve(as_size(last - first) * as_size(layout.record_bytes()));
    for (int i = first; i < last; ++i) {
      const std::span<const std::uint8_t> pixels = images.image(i);
      bytes.push_back(images.labels[as_size(i)]);
      bytes.insert(bytes.end(), pixels.begin(), pixels.end());
    }
    write_file(where / name, bytes);
    manifest += fmt::format("{} {}\n", name, last - first);
  };
  int first = 0;
  for (int part = 0; part < train_files; ++part) {
    const int left = train_files - part;
    const int last = first + (dataset.train.count - first + left - 1) / left;
    write_part(layout.files[as_size(part)].name, dataset.train, first, last);
    first = last;
  }
  write_part(layout.files.back().name, dataset.test, 0, dataset.test.count);

  std::string names;
  for (const std::string& name : dataset.class_names) names += name + "\n";
  write_file(where / layout.names_file, bytes_of(names));
  write_file(where / manifest_file, bytes_of(manifest));  // last: a set cut short has no manifest
}

void for_each_record(const Dataset& dataset, const std::function<void(std::span<const std::uint8_t>)>& sink) {
  std::vector<std::uint8_t> record(1 + pixel_bytes);
  for (const Images* images : {&dataset.train, &dataset.test}) {
    for (int i = 0; i < images->count; ++i) {
      const std::span<const std::uint8_t> pixels = images->image(i);
      record[0] = images->labels[as_size(i)];
      std::copy(pixels.begin(), pixels.end(), record.begin() + 1);
      sink(record);
    }
  }
}

std::string dataset_digest(const Dataset& dataset) {
  Digest digest(Digest::Kind::sha256);
  for_each_record(dataset, [&](std::span<const std::uint8_t> record) { digest.add(record); });
  return std::move(digest).hex();
}

}  // namespace normlab::cifar
