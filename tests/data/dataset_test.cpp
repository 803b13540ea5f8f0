// Reading sets: what is right is read to the byte, what is wrong is refused with a way out.

#include "host/data/dataset.hpp"

#include <gtest/gtest.h>

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>

#include "host/data/archive.hpp"
#include "host/data/cifar.hpp"
#include "host/data/contact_sheet.hpp"
#include "host/data/digest.hpp"
#include "host/data/files.hpp"
#include "host/data/load_dataset.hpp"
#include "host/data/synthetic.hpp"
#include "layers/error.hpp"
#include "tests/data/tiny_archive.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;
using test::error_of;
using test::TemporaryDirectory;
using test::tiny_batch;

/// A directory with small files of `tiny_records` records and, if wanted, the manifest that allows them.
void write_tiny_set(const fs::path& folder, bool manifest = true) {
  fs::create_directories(folder);
  int salt = 0;
  std::string text = "# records of each file\n";
  for (const auto& [name, records] : cifar::cifar10().files) {
    write_file(folder / name, tiny_batch(test::tiny_records, salt++));
    text += fmt::format("{} {}\n", name, test::tiny_records);
  }
  if (manifest) write_file(folder / "records.txt", bytes_of(text));
}

void append_byte(const fs::path& path) {
  std::ofstream(path, std::ios::app | std::ios::binary).put('x');
}

void set_byte(const fs::path& path, std::streamoff offset, char value) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset);
  file.put(value);
}

TEST(Dataset, ReadsEveryByteOfADirectory) {
  const TemporaryDirectory directory;
  write_tiny_set(directory / "tiny");
  const Dataset set = load_dataset((directory / "tiny").string());
  EXPECT_EQ(set.name, "tiny");
  EXPECT_EQ(set.train.count, 15);
  EXPECT_EQ(set.test.count, 3);
  EXPECT_EQ(set.class_names.front(), "airplane");
  ASSERT_EQ(set.train.pixels.size(), 15U * 3072);
  for (int i = 0; i < 15; ++i) {
    const std::vector<std::uint8_t> bytes = tiny_batch(3, i / 3);
    const auto record = std::span(bytes).subspan(static_cast<std::size_t>(i % 3) * 3073, 3073);
    EXPECT_EQ(set.train.labels[static_cast<std::size_t>(i)], record[0]);
    const auto image = set.train.image(i);
    EXPECT_TRUE(std::equal(image.begin(), image.end(), record.begin() + 1, record.end())) << i;
  }
}

TEST(Dataset, DigestIsThatOfTheFilesInARow) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  Digest sum(Digest::Kind::sha256);
  for (int salt = 0; salt < 6; ++salt) sum.add(tiny_batch(3, salt));
  EXPECT_EQ(load_dataset(directory.path().string()).digest, std::move(sum).hex());
}

TEST(Dataset, DigestsAreThePublishedOnes) {  // RFC 1321, FIPS 180-2
  Digest md5(Digest::Kind::md5);
  md5.add(bytes_of("abc"));
  EXPECT_EQ(std::move(md5).hex(), "900150983cd24fb0d6963f7d28e17f72");
  Digest sha(Digest::Kind::sha256);
  sha.add(bytes_of("abc"));
  EXPECT_EQ(std::move(sha).hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Dataset, FindsTheFolderInside) {
  const TemporaryDirectory directory;
  write_tiny_set(directory / "cifar-10-batches-bin");
  EXPECT_EQ(load_dataset(directory.path().string()).train.count, 15);
}

TEST(Dataset, WithoutManifestOnlyTenThousandRecordsWillDo) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path(), false);  // whole records, but too few: a truncated download
  const std::string words = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(words, "data_batch_1.bin has 9219 bytes");
  EXPECT_CONTAINS(words, "3 records; 10000 records of 3073 bytes were expected (30730000 bytes)");
  EXPECT_CONTAINS(words, "a set of your own");
  EXPECT_CONTAINS(words, "records.txt");
  EXPECT_CONTAINS(words, "'data_batch_1.bin 3'");
  EXPECT_CONTAINS(words, "truncated");
  EXPECT_CONTAINS(words, "dataset fetch cifar10");
}

TEST(Dataset, OneByteTooManyOrTooFewIsRefused) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  const fs::path file = directory / "data_batch_4.bin";
  append_byte(file);
  std::string words = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(words, "data_batch_4.bin has 9220 bytes");
  EXPECT_CONTAINS(words, "1 bytes into record 3");
  fs::resize_file(file, 9218);
  words = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(words, "data_batch_4.bin has 9218 bytes");
  EXPECT_CONTAINS(words, "3072 bytes into record 2");
  fs::resize_file(file, 0);
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "has 0 bytes");
}

TEST(Dataset, ALabelAboveNineIsRefusedWithItsPlace) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  set_byte(directory / "test_batch.bin", 2 * 3073, 10);
  const std::string words = error_of([&] { load_dataset(directory.path().string()); });
  EXPECT_CONTAINS(words, "test_batch.bin: record 2 (byte 6146) has the label 10");
  EXPECT_CONTAINS(words, "dataset fetch cifar10");
}

TEST(Dataset, MissingDataAreNamed) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  fs::remove(directory / "data_batch_3.bin");
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "lacks data_batch_3.bin.");
  fs::remove(directory / "data_batch_5.bin");
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }),
                  "lacks data_batch_3.bin, data_batch_5.bin.");
  EXPECT_CONTAINS(error_of([&] { load_dataset((directory / "nowhere").string()); }), "nowhere");
  EXPECT_THROW(load_dataset(""), UsageError);
}

TEST(Dataset, ALargerSetOfOnesOwnIsToldOfTheManifestToo) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path(), false);
  fs::resize_file(directory / "data_batch_1.bin",
                  std::uintmax_t{30'000} * 3073);  // a hole: nothing is written
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "'data_batch_1.bin 30000'");
  const TemporaryDirectory other;
  write_tiny_set(other.path());
  fs::resize_file(other / "data_batch_1.bin", 2 * 3073);
  EXPECT_CONTAINS(error_of([&] { load_dataset(other.path().string()); }), "records.txt says otherwise");
}

TEST(Dataset, OtherVersionsAndSingleFilesAreNamedForWhatTheyAre) {
  const TemporaryDirectory directory;
  const auto put = [&](const fs::path& path, std::string_view text = "x") {
    fs::create_directories((directory / path).parent_path());
    std::ofstream(directory / path, std::ios::binary) << text;
  };
  const auto words_for = [&](const fs::path& path) {
    return error_of([&] { load_dataset((directory / path).string()); });
  };
  for (const char* name : {"data_batch_1", "data_batch_2", "test_batch", "batches.meta"})
    put(fs::path("ten/cifar-10-batches-py") / name);
  for (const char* name : {"train", "test", "meta"}) put(fs::path("hundred") / name);
  for (const char* name : {"data_batch_1.mat", "test_batch.mat"})
    put(fs::path("cifar-10-batches-mat") / name);
  for (const char* where : {"ten", "ten/cifar-10-batches-py", "ten/cifar-10-batches-py/data_batch_2",
                            "ten/cifar-10-batches-py/test_batch"}) {
    EXPECT_CONTAINS(words_for(where), "the python version of CIFAR-10");
    EXPECT_CONTAINS(words_for(where), "dataset fetch cifar10");
  }
  EXPECT_CONTAINS(words_for("hundred"), "the python version of CIFAR-100");
  EXPECT_CONTAINS(words_for("hundred"), "dataset fetch cifar100");
  EXPECT_CONTAINS(words_for("cifar-10-batches-mat"), "the Matlab version of CIFAR-10");
  fs::create_directories(directory / "set");
  write_tiny_set(directory / "set");
  EXPECT_CONTAINS(words_for("set/data_batch_1.bin"), "--data " + (directory / "set").string());
  put("train.bin");
  EXPECT_CONTAINS(words_for("train.bin"), "one file of a set in CIFAR-100's layout");
  put("images.npz", "PK..");
  EXPECT_CONTAINS(words_for("images.npz"), "is no .tar.gz archive");
  put("down/cifar-10-binary.tar.gz");
  EXPECT_CONTAINS(words_for("down"), "--data " + (directory / "down/cifar-10-binary.tar.gz").string());
  // However the archive is called.
  const std::string pack = fmt::format("cd '{0}/ten' && tar -czf '{0}/data.tar.gz' cifar-10-batches-py",
                                       directory.path().string());
  ASSERT_EQ(std::system(pack.c_str()), 0);
  EXPECT_CONTAINS(words_for("data.tar.gz"), "data.tar.gz is the python version of CIFAR-10");
}

TEST(Dataset, AManifestIsReadStrictly) {
  for (const char* bad :
       {"data_batch_1.bin three\n", "data_batch_9.bin 3\n", "data_batch_1.bin 0\n", "data_batch_1.bin -3\n",
        "data_batch_1.bin 1000001\n", "data_batch_1.bin 3 4\n", "data_batch_1.bin 99999999999\n",
        "data_batch_1.bin 3x\n", "data_batch_1.bin\n", "data_batch_1.bin 3\n"}) {
    const TemporaryDirectory directory;
    write_tiny_set(directory.path(), false);
    write_file(directory / "records.txt", bytes_of(bad));
    EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "records.txt");
  }
}

TEST(Dataset, AManifestMayHaveCommentsAndEmptyLines) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  const std::vector<std::uint8_t> lines = read_file(directory / "records.txt", 1000);
  write_file(directory / "records.txt",
             bytes_of("\n# made by hand\n\n" + std::string(lines.begin(), lines.end()) + "\n"), true);
  EXPECT_EQ(load_dataset(directory.path().string()).train.count, 15);
}

TEST(Dataset, ClassNamesMustBeTen) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  write_file(directory / "batches.meta.txt", bytes_of("one\ntwo\n"));
  EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "names 2 classes");
  write_file(directory / "batches.meta.txt", bytes_of("a\r\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n"), true);
  EXPECT_EQ(load_dataset(directory.path().string()).class_names,
            (std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}));
}

TEST(Dataset, ANoteIsOneLine) {
  const TemporaryDirectory directory;
  write_tiny_set(directory.path());
  EXPECT_EQ(load_dataset(directory.path().string()).note, "");
  write_file(directory / "note.txt", bytes_of("went through JPEG\r\n"));
  EXPECT_EQ(load_dataset(directory.path().string()).note, "went through JPEG");
  for (const std::string& bad : {std::string("\n"), std::string("two\nlines\n"), std::string(201, 'x')}) {
    write_file(directory / "note.txt", bytes_of(bad), true);
    EXPECT_CONTAINS(error_of([&] { load_dataset(directory.path().string()); }), "note.txt is to be one line");
  }
}

TEST(Dataset, ReadsAnArchiveInMemory) {
  const TemporaryDirectory directory;
  auto members = test::tiny_members();
  std::swap(members[0], members[5]);  // the order in the archive must not matter
  members.insert(members.begin(), {"cifar-10-batches-bin/", {}});
  const ArchiveSpec spec = test::write_archive(directory / "tiny.tar.gz", members);
  const Dataset set = read_archive(directory / "tiny.tar.gz", spec);
  EXPECT_EQ(set.train.count, 15);
  EXPECT_EQ(set.test.count, 3);
  EXPECT_EQ(set.class_names[9], "j");
  Digest sum(Digest::Kind::sha256);
  for (int salt = 0; salt < 6; ++salt) sum.add(tiny_batch(3, salt));
  EXPECT_EQ(set.digest, std::move(sum).hex());
}

TEST(Dataset, AnArchiveOfAnotherChecksumIsRefused) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "tiny.tar.gz";
  const ArchiveSpec spec = test::write_archive(path, test::tiny_members());
  EXPECT_CONTAINS(error_of([&] { load_dataset(path.string()); }), "the CIFAR-10 archive 170052171");
  set_byte(path, static_cast<std::streamoff>(spec.bytes / 2), 'x');
  const std::string words = error_of([&] { read_archive(path, spec); });
  EXPECT_CONTAINS(words, "MD5");
  EXPECT_CONTAINS(words, spec.md5);
  EXPECT_CONTAINS(words, "dataset fetch cifar10");
}

/// Of which set an archive of another size may be is told by its name.
TEST(Dataset, AnArchiveOfNeitherSizeIsTakenByItsName) {
  const TemporaryDirectory directory;
  for (const auto& [name, title] : {std::pair("cifar-10-binary.tar.gz", "CIFAR-10 archive"),
                                    std::pair("cifar-100-binary.tar.gz", "CIFAR-100 archive")}) {
    write_file(directory / name, bytes_of("cut short"));
    const std::string words = error_of([&, &name = name] { read_archive(directory / name); });
    EXPECT_CONTAINS(words, title);
    EXPECT_CONTAINS(words, "(a truncated download?)");
    fs::resize_file(directory / name, 200'000'000);
    EXPECT_EQ(error_of([&, &name = name] { read_archive(directory / name); }).find("truncated"),
              std::string::npos);
  }
  EXPECT_CONTAINS(error_of([&] { read_archive(directory / "none.tar.gz"); }), "cannot read");
  // The right size tells more than the name.
  for (const auto& [name, title] :
       {std::pair("cifar10", "CIFAR-10 archive"), {"cifar100", "CIFAR-100 archive"}}) {
    const fs::path path = directory / "cifar-100.tar.gz";
    write_file(path, {}, true);
    fs::resize_file(path, archive_of(name).bytes);
    const std::string words = error_of([&] { read_archive(path); });
    EXPECT_CONTAINS(words, "the MD5");
    EXPECT_CONTAINS(words, title);
    fs::remove(path);
  }
}

TEST(Dataset, AnArchiveWithWrongMembersIsRefused) {
  const TemporaryDirectory directory;
  const fs::path path = directory / "tiny.tar.gz";
  const auto refused = [&](const std::vector<test::Member>& members) {
    const ArchiveSpec spec = test::write_archive(path, members);
    return error_of([&] { read_archive(path, spec); });
  };
  auto members = test::tiny_members();
  members[2].second.push_back(0);
  EXPECT_CONTAINS(refused(members), "data_batch_3.bin is larger than the 9219 bytes");
  members[2].second.resize(9218);
  EXPECT_CONTAINS(refused(members), "data_batch_3.bin has 9218 bytes");
  members.erase(members.begin() + 2);
  EXPECT_CONTAINS(refused(members), "does not hold data_batch_3.bin");
  members.push_back(members[0]);
  EXPECT_CONTAINS(refused(members), "holds data_batch_1.bin twice");
  write_file(path, bytes_of("no archive at all"), true);
  ArchiveSpec spec;
  spec.bytes = 17;
  Digest md5(Digest::Kind::md5);
  md5.add(bytes_of("no archive at all"));
  spec.md5 = std::move(md5).hex();
  EXPECT_CONTAINS(error_of([&] { read_archive(path, spec); }), "cannot read");
}

TEST(Dataset, WrittenSetsReadBackEqual) {
  const TemporaryDirectory directory;
  const Dataset made = make_synthetic(3, 23, 7);  // 23 images: the five files differ in length
  cifar::write_directory(directory / "set", made);
  const Dataset read = load_dataset((directory / "set").string());
  EXPECT_EQ(read.digest, made.digest);
  EXPECT_EQ(read.train.pixels, made.train.pixels);
  EXPECT_EQ(read.test.labels, made.test.labels);
  EXPECT_EQ(read.class_names, made.class_names);
}

TEST(Dataset, WritingNeverOverwrites) {
  const TemporaryDirectory directory;
  const Dataset made = make_synthetic(0, 5, 1);
  write_file(directory / "precious", bytes_of("p"));
  EXPECT_CONTAINS(error_of([&] { cifar::write_directory(directory.path(), made); }), "is not empty");
  EXPECT_CONTAINS(error_of([&] { cifar::write_directory(directory / "precious", made); }), "no directory");
  EXPECT_EQ(read_file(directory / "precious", 10), std::vector<std::uint8_t>{'p'});
  EXPECT_THROW(cifar::write_directory(directory / "new", make_synthetic(0, 4, 1)), UsageError);
  Dataset untested = made;
  untested.test = {};
  EXPECT_THROW(cifar::write_directory(directory / "new", untested), UsageError);
  fs::create_directory(directory / "empty");
  cifar::write_directory(directory / "empty", made);
  EXPECT_EQ(load_dataset((directory / "empty").string()).train.count, 5);
  EXPECT_CONTAINS(error_of([&] { write_file(directory / "precious", bytes_of("q")); }), "precious");
  EXPECT_EQ(read_file(directory / "precious", 10), std::vector<std::uint8_t>{'p'});
}

// A limit on the size of files stands for a disk that fills up in the middle of one.
TEST(Dataset, AWriteCutShortLeavesNothing) {
  const TemporaryDirectory directory;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string words =
      error_of([&] { write_file(directory / "file", std::vector<std::uint8_t>(100'000)); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_CONTAINS(words, "cannot write");
  EXPECT_CONTAINS(words, "too large");
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(Dataset, TakeIsAPrefix) {
  const Images all = make_synthetic(0, 30, 1).train;
  const Images few = take(all, 7);
  EXPECT_EQ(few.count, 7);
  EXPECT_TRUE(std::equal(few.pixels.begin(), few.pixels.end(), all.pixels.begin()));
  EXPECT_EQ(few.pixels.size(), 7U * 3072);
  EXPECT_EQ(few.labels.size(), 7U);
  EXPECT_EQ(take(all, 1000).count, 30);
  EXPECT_THROW(take(all, 0), UsageError);
}

TEST(Dataset, ChannelStatisticsAreExact) {
  Images images;
  images.count = 2;
  images.labels = {0, 1};
  images.pixels.assign(2 * 3072, 0);
  std::fill_n(images.pixels.begin(), 1024, std::uint8_t{255});        // red of the first image
  std::fill_n(images.pixels.begin() + 1024, 1024, std::uint8_t{51});  // green of both
  std::fill_n(images.pixels.begin() + 3072 + 1024, 1024, std::uint8_t{51});
  const ChannelStatistics s = channel_statistics(images);
  EXPECT_DOUBLE_EQ(s.mean[0], 0.5);
  EXPECT_DOUBLE_EQ(s.deviation[0], 0.5);
  EXPECT_DOUBLE_EQ(s.mean[1], 0.2);
  EXPECT_NEAR(s.deviation[1], 0, 1e-12);
  EXPECT_EQ(s.mean[2], 0);
}

TEST(Dataset, AContactSheetIsAPngAndKeepsWhatIsThere) {
  const TemporaryDirectory directory;
  const Dataset set = make_synthetic(0, 40, 10);
  const fs::path path = directory / "sheet.png";
  write_contact_sheet(path, set.train, 10, {.columns = 5, .magnification = 2});
  const std::vector<std::uint8_t> png = read_file(path, 1 << 22);
  ASSERT_GT(png.size(), 24U);
  EXPECT_EQ(std::string(png.begin() + 1, png.begin() + 4), "PNG");
  EXPECT_EQ(png[18] * 256 + png[19], 4 + 5 * (64 + 4));   // width
  EXPECT_EQ(png[22] * 256 + png[23], 4 + 10 * (64 + 4));  // height
  EXPECT_CONTAINS(error_of([&] { write_contact_sheet(path, set.test, 10); }), "exists");
  EXPECT_EQ(read_file(path, 1 << 22), png);
  write_contact_sheet(path, set.test, 10, {.overwrite = true});
  EXPECT_NE(read_file(path, 1 << 22), png);
  EXPECT_THROW(write_contact_sheet(directory / "a", set.test, 10, {.columns = 0}), UsageError);
  EXPECT_THROW(write_contact_sheet(directory / "b", set.test, 10, {.columns = 1000}), UsageError);
}

}  // namespace
}  // namespace normlab
