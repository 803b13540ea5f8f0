// CIFAR-100: records with two labels, of which the fine one counts; directories, archives, and what is
// refused.

#include <algorithm>

#include <gtest/gtest.h>

#include "host/data/dataset.hpp"
#include "host/data/digest.hpp"
#include "host/data/fetch.hpp"
#include "host/data/files.hpp"
#include "host/data/load_dataset.hpp"
#include "layers/error.hpp"
#include "tests/data/tiny_archive.hpp"
#include "tests/support/program.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryDirectory;

/// Coarse label, fine label, pixels.
std::vector<std::uint8_t> records(int count, int salt) {
  std::vector<std::uint8_t> bytes;
  for (int record = 0; record < count; ++record) {
    bytes.push_back(static_cast<std::uint8_t>((record + salt) % 20));
    bytes.push_back(static_cast<std::uint8_t>((37 * record + salt) % 100));
    for (int i = 0; i < cifar::pixel_bytes; ++i)
      bytes.push_back(static_cast<std::uint8_t>((i * 11 + record * 29 + salt) & 255));
  }
  return bytes;
}

void write_set(const fs::path& folder, int train, int test) {
  fs::create_directories(folder);
  write_file(folder / "train.bin", records(train, 1));
  write_file(folder / "test.bin", records(test, 2));
  write_file(folder / "records.txt", bytes_of(fmt::format("train.bin {}\ntest.bin {}\n", train, test)));
}

TEST(Cifar100, ReadsEveryByteOfADirectory) {
  const TemporaryDirectory directory;
  write_set(directory / "cifar-100-binary", 7, 4);
  for (const fs::path& path : {directory.path(), directory / "cifar-100-binary"}) {
    const Dataset set = load_dataset(path.string());
    ASSERT_EQ(set.train.count, 7);
    ASSERT_EQ(set.test.count, 4);
    ASSERT_EQ(set.class_names.size(), 100U);
    EXPECT_EQ(set.class_names[0], "apple");
    EXPECT_EQ(set.class_names[99], "worm");
    const std::vector<std::uint8_t> bytes = records(7, 1);
    for (int i = 0; i < 7; ++i) {
      const auto record = std::span(bytes).subspan(static_cast<std::size_t>(i) * 3074, 3074);
      EXPECT_EQ(set.train.labels[static_cast<std::size_t>(i)], record[1]);
      const auto image = set.train.image(i);
      EXPECT_TRUE(std::equal(image.begin(), image.end(), record.begin() + 2, record.end())) << i;
    }
    Digest sum(Digest::Kind::sha256);
    sum.add(bytes);
    sum.add(records(4, 2));
    EXPECT_EQ(set.digest, std::move(sum).hex());
  }
}

TEST(Cifar100, ClassNamesComeFromTheirFile) {
  const TemporaryDirectory directory;
  write_set(directory.path(), 2, 2);
  std::string names;
  for (int i = 0; i < 100; ++i) names += fmt::format("class_{}\n", i);
  write_file(directory / "fine_label_names.txt", bytes_of(names));
  EXPECT_EQ(load_dataset(directory.path().string()).class_names[42], "class_42");
  write_file(directory / "fine_label_names.txt", bytes_of("one\ntwo\n"), true);
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "names 2 classes, not 100");
}

TEST(Cifar100, DamageIsRefusedWithItsPlace) {
  const TemporaryDirectory directory;
  write_set(directory.path(), 3, 2);
  const auto words = [&](std::size_t at, std::uint8_t value) {
    std::vector<std::uint8_t> bytes = records(2, 2);
    bytes[at] = value;
    write_file(directory / "test.bin", bytes, true);
    return error_of([&] { load_dataset(directory.path().string()); });
  };
  EXPECT_CONTAINS(words(3074, 20),
                  "test.bin: record 1 (byte 3074) has the coarse label 20; labels are 0 to 19");
  EXPECT_CONTAINS(words(3075, 100), "test.bin: record 1 (byte 3074) has the label 100; labels are 0 to 99");
  std::vector<std::uint8_t> bytes = records(2, 2);
  bytes.pop_back();
  write_file(directory / "test.bin", bytes, true);
  const std::string short_file = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(short_file, "test.bin has 6147 bytes; 2 records of 3074 bytes make 6148");
  EXPECT_CONTAINS(short_file, "dataset fetch cifar100");
  fs::remove(directory / "records.txt");  // without it, only the official numbers of records will do
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "50000 records of 3074 bytes");
  fs::remove(directory / "test.bin");
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "lacks test.bin");
}

TEST(Cifar100, TwoSetsInOneDirectoryAreRefused) {
  const TemporaryDirectory directory;
  write_set(directory / "cifar-100-binary", 2, 2);
  write_file(directory / "data_batch_1.bin", records(1, 0));
  const std::string words = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(words, "CIFAR-10 and of CIFAR-100");
  EXPECT_CONTAINS(words, "cifar-100-binary");
  const TemporaryDirectory empty;
  EXPECT_CONTAINS(error_of([&] { load_dataset(empty.path().string()); }), "neither CIFAR-10's files");
}

class Cifar100Archive : public ::testing::Test {
 protected:
  Cifar100Archive() {
    spec = test::write_archive(path, {{"cifar-100-binary/train.bin", records(3, 1)},
                                      {"cifar-100-binary/coarse_label_names.txt", {'x'}},
                                      {"cifar-100-binary/test.bin", records(3, 2)}});
    spec.layout = &cifar::cifar100();
  }
  const TemporaryDirectory directory;
  const fs::path path = directory / "cifar-100-binary.tar.gz";
  ArchiveSpec spec;
};

TEST_F(Cifar100Archive, IsReadWithoutUnpacking) {
  const Dataset set = read_archive(path, spec);
  EXPECT_EQ(set.name, "cifar100");
  EXPECT_EQ(set.train.count, 3);
  EXPECT_EQ(set.train.labels[2], 75);
  EXPECT_EQ(set.class_names.size(), 100U);
  EXPECT_CONTAINS(error_of([&] { load_dataset(path.string()); }), "the CIFAR-100 archive 168513733");
  ArchiveSpec wrong = spec;
  wrong.layout = &cifar::cifar10();
  EXPECT_CONTAINS(error_of([&] { read_archive(path, wrong); }), "not CIFAR-10's archive");
}

TEST_F(Cifar100Archive, IsFetchedFromALocalCopy) {
  FetchOptions options;
  options.archive = spec;
  options.from = path;
  const FetchResult first = fetch_set(directory / "data", options);
  EXPECT_EQ(first.folder, directory / "data" / "cifar-100-binary");
  EXPECT_CONTAINS(first.told, "2 files unpacked");
  EXPECT_EQ(read_file(first.folder / "train.bin", 1 << 20), records(3, 1));
  options.from.clear();
  EXPECT_CONTAINS(fetch_set(directory / "data", options).told, "nothing to do");
}

TEST(Cifar100, TheKnownArchive) {
  EXPECT_EQ(archive_of("cifar100").file, "cifar-100-binary.tar.gz");
  EXPECT_EQ(archive_of("cifar100").layout->name, "cifar100");
  EXPECT_EQ(archive_of("cifar10").layout->name, "cifar10");
  EXPECT_THROW(static_cast<void>(archive_of("cifar1")), UsageError);
}

TEST(Cifar100, IsTrainedOn) {
  const TemporaryDirectory directory;
  write_set(directory / "data", 64, 20);
  const auto result =
      test::run_program("compare_norms --norms bn --seeds 1 --epochs 1 --data " +
                        (directory / "data").string() + " --out " + (directory / "study").string());
  ASSERT_EQ(result.status, 0) << result.output;
  EXPECT_CONTAINS(result.output, "48,980");  // 33 parameters for each of 90 more classes
  EXPECT_EQ(test::run_program("normlog report " + (directory / "study").string()).status, 0);
  EXPECT_CONTAINS(test::run_program("dataset info " + (directory / "data").string()).output, "worm");
}

}  // namespace
}  // namespace normlab
