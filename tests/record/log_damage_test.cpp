// What damage costs: torn tails, flipped bytes, lost blocks, and files that are no logs.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

#include "host/record/crc32c.hpp"
#include "host/record/log_format.hpp"
#include "host/record/log_packer.hpp"
#include "host/record/log_reader.hpp"
#include "layers/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace normlab {
namespace {

using namespace log_format;
using Bytes = std::vector<std::byte>;

#if defined(NORMLAB_SANITIZED) || !defined(__OPTIMIZE__)
constexpr std::size_t stride = 37;  // every position would take minutes
#else
constexpr std::size_t stride = 1;
#endif

const std::vector<Channel> small_channels{{"step.loss", ChannelKind::scalar, "", {}, {}},
                                          {"layer.norm", ChannelKind::vector, "", {300}, {}}};

/// A log with known contents: row i of channel i % 2 is made of numbers that follow from i.
struct Sample {
  Bytes bytes;
  std::size_t rows = 0;
  std::vector<std::size_t> ends;  // where each row ends in the file

  explicit Sample(std::size_t wanted, bool finished = true) {
    LogPacker packer(small_channels);
    for (; rows < wanted; ++rows) {
      Bytes record = row(rows);
      packer.add(record);
      ends.push_back(packer.bytes().size());
    }
    if (finished) {
      Bytes end;
      put(end, RecordHeader{0, 1, RecordType::outcome, 0});
      put(end, RunStatus::done);
      packer.add(end);
      packer.add_table();
    }
    bytes = packer.bytes();
  }

  /// Where the last record of a finished log begins: the description of the last channel.
  [[nodiscard]] std::size_t last_record() const {
    return bytes.size() - record_bytes - encode_channel(small_channels.back(), 1, 2).size();
  }
  static double value(std::size_t row, std::size_t element) {
    return static_cast<double>(row) + static_cast<double>(element) / 1024;
  }
  static std::size_t count(std::size_t row) { return row % 2 == 0 ? 1 : 300; }

  static Bytes row(std::size_t index) {
    Bytes record;
    const bool scalar = index % 2 == 0;
    const std::size_t size = count(index) * (scalar ? sizeof(double) : sizeof(float));
    put(record, RecordHeader{0, static_cast<std::uint16_t>(row_bytes + size),
                             scalar ? RecordType::doubles : RecordType::floats, 0});
    put(record, RowHeader{static_cast<std::uint32_t>(index % 2), 1, static_cast<std::int64_t>(index)});
    for (std::size_t i = 0; i < count(index); ++i) {
      if (scalar) put(record, value(index, i));
      if (!scalar) put(record, static_cast<float>(value(index, i)));
    }
    return record;
  }
};

/// Whether every row of the log is one of the sample's, whole and in order. `lost` counts those missing.
::testing::AssertionResult holds_only_true_rows(const Log& log, const Sample& sample, std::size_t& lost) {
  std::int64_t before = -1;
  for (const Row& row : log.rows) {
    const auto index = static_cast<std::size_t>(row.step);
    if (row.step <= before || index >= sample.rows || row.channel != index % 2 || row.epoch != 1 ||
        row.count != Sample::count(index))
      return ::testing::AssertionFailure() << "row of step " << row.step << " after " << before;
    before = row.step;
    const auto values = log.values_of(row);
    for (std::size_t i = 0; i < values.size(); ++i)
      if (values[i] != Sample::value(index, i))
        return ::testing::AssertionFailure() << "value in row " << index;
  }
  lost = sample.rows - log.rows.size();
  return ::testing::AssertionSuccess();
}

/// The most rows that one block of the sample holds.
std::size_t rows_of_fullest_block(const Sample& sample) {
  std::vector<std::size_t> counts(sample.bytes.size() / block_bytes + 1);
  for (const std::size_t end : sample.ends) ++counts[(end - 1) / block_bytes];
  return *std::max_element(counts.begin(), counts.end());
}

TEST(LogDamage, ATornTailLosesOnlyTheRecordBeingWritten) {
  const Sample sample(120);
  ASSERT_GT(sample.bytes.size(), 2 * block_bytes);
  std::size_t complete = 0;
  for (std::size_t cut = 0; cut <= sample.bytes.size(); cut += 1) {
    while (complete < sample.rows && sample.ends[complete] <= cut) ++complete;
    if (cut % stride != 0 && cut % block_bytes > 64) continue;
    const Log log = read_log(std::span(sample.bytes).first(cut), "cut");
    std::size_t lost = 0;
    ASSERT_TRUE(holds_only_true_rows(log, sample, lost)) << "cut at " << cut;
    ASSERT_EQ(log.rows.size(), complete) << "cut at " << cut;
    ASSERT_TRUE(log.damage.empty()) << "cut at " << cut << ": " << log.damage[0].what;
    ASSERT_EQ(log.lost_rows, 0U);
    ASSERT_EQ(log.bytes, cut);
    if (cut == sample.bytes.size()) {
      ASSERT_EQ(log.torn_bytes, 0U);
      ASSERT_TRUE(log.outcome.has_value());
    }
  }
}

/// What it costs to read the sample with the byte at `at` changed by `mask`.
void flip(Sample& sample, std::size_t most, std::size_t at, std::byte mask) {
  sample.bytes[at] ^= mask;
  const Log log = read_log(sample.bytes, "flipped");
  sample.bytes[at] ^= mask;
  std::size_t lost = 0;
  ASSERT_TRUE(holds_only_true_rows(log, sample, lost));
  ASSERT_LE(lost, most);
  // Only the last record can look as if it were still being written, and only the table is written last.
  const bool may_be_torn = at >= sample.last_record();
  ASSERT_TRUE(!log.damage.empty() || (may_be_torn && log.torn_bytes > 0 && lost == 0 && log.outcome));
  // Which rows are gone lies in the block of the byte.
  std::vector<bool> kept(sample.rows);
  for (const Row& row : log.rows) kept[static_cast<std::size_t>(row.step)] = true;
  for (std::size_t row = 0; row < sample.rows; ++row)
    ASSERT_TRUE(kept[row] || (sample.ends[row] - 1) / block_bytes == at / block_bytes) << row;
  // A later block tells how many they were.
  if (at / block_bytes + 1 < log.blocks) {
    ASSERT_EQ(log.lost_rows, lost);
  }
  ASSERT_EQ(log.channels, small_channels);
}

/// NORMLAB_EVERY_BIT=1 flips every bit by itself instead of some bits of every byte at once.
TEST(LogDamage, AFlippedByteCostsAtMostItsBlockAndIsReported) {
  Sample sample(110);
  ASSERT_GT(sample.bytes.size(), 2 * block_bytes);
  const std::size_t most = rows_of_fullest_block(sample);
  const bool every_bit = std::getenv("NORMLAB_EVERY_BIT") != nullptr;
  std::mt19937 random(1);
  std::size_t flips = 0;
  for (std::size_t at = 0; at < sample.bytes.size(); ++at) {
    if (at % stride != 0 && at % block_bytes > 64) continue;
    for (unsigned bit = 0; bit < (every_bit ? 8U : 1U); ++bit, ++flips) {
      const unsigned mask = every_bit ? 1U << bit : static_cast<unsigned>(1 + random() % 255);
      SCOPED_TRACE(at);
      flip(sample, most, at, static_cast<std::byte>(mask));
      if (HasFatalFailure()) return;
    }
  }
  RecordProperty("flips", static_cast<int>(flips));
}

/// A killed writer leaves a record whose end is missing. Where whole ones follow, it is not that.
TEST(LogDamage, ALengthThatPointsBehindTheEndIsNoTornTail) {
  for (const bool finished : {true, false}) {
    Sample sample(5, finished);
    const std::size_t second = sample.ends[0];
    sample.bytes[second + offsetof(RecordHeader, length) + 1] ^= std::byte{0x40};
    Log log = read_log(sample.bytes, "longer");
    EXPECT_EQ(log.rows.size(), 1U);
    EXPECT_EQ(log.torn_bytes, 0U);
    ASSERT_EQ(log.damage.size(), 1U);
    EXPECT_EQ(log.damage[0].offset, second);
    EXPECT_EQ(log.damage[0].length, sample.bytes.size() - second);
    // The same bytes without any that follow: nobody can tell.
    log = read_log(std::span(sample.bytes).first(sample.ends[1]), "torn");
    EXPECT_TRUE(log.damage.empty());
    EXPECT_EQ(log.torn_bytes, sample.ends[1] - second);
  }
}

/// Also of a log without an end, and of one so long that the table is written many times.
TEST(LogDamage, TheLossOfAnyBlockLosesNoOtherRow) {
  for (const bool finished : {true, false}) {
    Sample sample(7000, finished);
    const std::size_t blocks = (sample.bytes.size() + block_bytes - 1) / block_bytes;
    ASSERT_GT(blocks, 2 * table_period);
    for (std::size_t block = 0;
         block<blocks; block += blocks> 5 && block > 2 && block + 3 < blocks ? 13 : 1) {
      Bytes bytes = sample.bytes;
      const std::size_t begin = block * block_bytes, end = std::min(bytes.size(), begin + block_bytes);
      std::fill(bytes.begin() + static_cast<long>(begin), bytes.begin() + static_cast<long>(end),
                std::byte{0xA5});
      const Log log = read_log(bytes, "lost");
      std::size_t lost = 0, expected = 0;
      for (const std::size_t row_end : sample.ends) expected += row_end > begin && row_end <= end ? 1 : 0;
      ASSERT_TRUE(holds_only_true_rows(log, sample, lost));
      EXPECT_EQ(lost, expected) << "block " << block;
      ASSERT_EQ(log.damage.size(), 1U);
      EXPECT_EQ(log.damage[0].offset, begin);
      EXPECT_EQ(log.damage[0].length, end - begin);
      EXPECT_EQ(log.channels, small_channels);
    }
  }
}

TEST(LogDamage, TheTableIsWrittenAgainAtLeastEvery64Blocks) {
  const Sample sample(9000);
  std::size_t last = 0;
  for (std::size_t block = 0; block < sample.bytes.size() / block_bytes; ++block) {
    RecordHeader first;
    std::memcpy(&first, sample.bytes.data() + block * block_bytes + header_bytes, sizeof first);
    if (first.type != RecordType::channel) continue;
    EXPECT_LE(block - last, table_period);
    last = block;
  }
  EXPECT_GE(last, 2 * table_period);
}

/// Rows may come before the first table that can be read: here the tables of all but the last block are gone.
TEST(LogDamage, TheTableMayStandInALaterBlockOnly) {
  Sample sample(1000);
  Bytes& bytes = sample.bytes;
  for (const std::size_t block : {std::size_t{0}, std::size_t{1}}) bytes[block * block_bytes] ^= std::byte{1};
  const Log log = read_log(bytes, "late");
  EXPECT_EQ(log.channels, small_channels);
  std::size_t lost = 0;
  ASSERT_TRUE(holds_only_true_rows(log, sample, lost));
  EXPECT_EQ(log.lost_rows, lost);
  EXPECT_GT(log.rows.size(), 800U);
}

TEST(LogDamage, WithoutAnyTableTheRowsAreCountedAsLost) {
  const Sample sample(1000, false);
  Bytes bytes = sample.bytes;
  for (const std::size_t block : {std::size_t{0}, std::size_t{1}}) bytes[block * block_bytes] ^= std::byte{1};
  const Log log = read_log(bytes, "no table");
  EXPECT_TRUE(log.rows.empty());
  EXPECT_EQ(log.lost_rows, 1000U);
  EXPECT_HAS(log.damage.back().what, "whose description is lost");
}

/// Changes the header of a block, whose checksum stays right.
template <typename Change>
void edit_header(Bytes& bytes, std::size_t block, Change change) {
  BlockHeader header;
  std::memcpy(&header, bytes.data() + block * block_bytes, sizeof header);
  change(header);
  header.checksum = crc32c(std::as_bytes(std::span(&header, 1)).first(28));
  std::memcpy(bytes.data() + block * block_bytes, &header, sizeof header);
}

TEST(LogDamage, ANewerVersionIsRefusedByName) {
  Sample sample(10);
  edit_header(sample.bytes, 0, [](BlockHeader& header) { header.version = 2; });
  const std::string message = test::message_of([&] { (void)read_log(sample.bytes, "runs/x/metrics.nlog"); });
  EXPECT_HAS(message, "'runs/x/metrics.nlog' was made by a newer Normlab: log version 2, this build reads 1");
}

TEST(LogDamage, BlocksFromElsewhereAreNotUsed) {
  const Sample sample(200);
  Bytes swapped = sample.bytes;
  std::swap_ranges(swapped.begin() + block_bytes, swapped.begin() + 2 * block_bytes,
                   swapped.begin() + 2 * block_bytes);
  Log log = read_log(swapped, "swapped");
  std::size_t lost = 0;
  EXPECT_TRUE(holds_only_true_rows(log, sample, lost));
  EXPECT_EQ(log.damage.size(), 1U);  // neighbours with the same fault
  EXPECT_EQ(log.damage[0].length, 2 * block_bytes);
}

/// As when pieces of two logs are put together: each sign of it alone is enough.
TEST(LogDamage, ABlockOfAnotherLogIsNotUsed) {
  const Sample sample(200);
  for (const auto change :
       {+[](BlockHeader& header) { header.version = 0; }, +[](BlockHeader& header) { header.table_id ^= 1; },
        +[](BlockHeader& header) { header.block += 3; },
        +[](BlockHeader& header) { header.first_row = 0; }}) {
    Bytes bytes = sample.bytes;
    edit_header(bytes, 1, change);
    const Log log = read_log(bytes, "foreign");
    std::size_t lost = 0;
    EXPECT_TRUE(holds_only_true_rows(log, sample, lost));
    EXPECT_EQ(log.lost_rows, lost);
    ASSERT_EQ(log.damage.size(), 1U);
    EXPECT_EQ(log.damage[0].offset, block_bytes);
    EXPECT_HAS(log.damage[0].what, "belongs elsewhere");
  }
}

/// The end of a block that is too short for a record holds zeros; anything else there is damage without loss.
TEST(LogDamage, AnEndTooShortForARecordIsLookedAt) {
  const std::vector<Channel> channels{{"a", ChannelKind::vector, "", {1}, {}}};
  LogPacker empty(channels);
  Bytes row;
  put(row, RecordHeader{0, row_bytes, RecordType::floats, 0});
  put(row, RowHeader{0, 1, 1});
  empty.add(row);
  const std::size_t room = block_bytes - empty.bytes().size(), left = 4 + room % sizeof(float);
  const std::size_t floats = (room - left) / sizeof(float);
  const std::vector<Channel> fitting{{"a", ChannelKind::vector, "", {static_cast<int>(floats)}, {}}};
  LogPacker packer(fitting);
  for (int step = 1; step <= 2; ++step) {
    Bytes record;
    const std::size_t length = row_bytes + floats * sizeof(float);
    put(record, RecordHeader{0, static_cast<std::uint16_t>(length), RecordType::floats, 0});
    put(record, RowHeader{0, 1, step});
    record.resize(record_bytes + length);
    packer.add(record);
    if (step == 1) {
      ASSERT_EQ(packer.bytes().size(), block_bytes - left);
    }
  }
  Bytes bytes = packer.bytes();
  EXPECT_TRUE(read_log(bytes, "good").damage.empty());
  bytes[block_bytes - 1] = std::byte{1};
  const Log log = read_log(bytes, "bad end");
  EXPECT_EQ(log.rows.size(), 2U);
  ASSERT_EQ(log.damage.size(), 1U);
  EXPECT_EQ(log.damage[0].length, left);
  EXPECT_HAS(log.damage[0].what, "nothing is lost");
}

TEST(LogDamage, WhatIsNoLogIsSaidToBeNone) {
  const auto refusal = [](std::string_view text) {
    return test::message_of([&] { (void)read_log(bytes_of(text), "file"); });
  };
  EXPECT_HAS(refusal("run,norm,seed\n"), "'file' is not a metric log");
  EXPECT_HAS(refusal(std::string(100'000, 'x')), "is not a metric log");
  EXPECT_HAS(refusal(std::string(std::size_t{50} << 20, '\0')), "is not a metric log");

  const test::TemporaryDirectory directory;
  EXPECT_HAS(test::message_of([&] { (void)read_log(directory / "none"); }), "No such file or directory");
  EXPECT_HAS(test::message_of([&] { (void)read_log(directory.path()); }), "it is a directory");
  EXPECT_HAS(test::message_of([&] { (void)read_log("/dev/zero"); }), "a device or pipe");
  EXPECT_TRUE(read_log({}, "empty").rows.empty());  // killed before the first byte
}

/// Records with right checksums and senseless contents, as only a hostile or broken writer makes them.
TEST(LogDamage, SenselessRecordsAreLeftOut) {
  const auto log_with = [](RecordType type, const Bytes& payload) {
    LogPacker packer(small_channels);
    Bytes record;
    put(record, RecordHeader{0, static_cast<std::uint16_t>(payload.size()), type, 0});
    record.insert(record.end(), payload.begin(), payload.end());
    packer.add(record);
    Bytes row = Sample::row(0);
    packer.add(row);
    packer.add_table();
    return read_log(packer.bytes(), "senseless");
  };
  Bytes row, channel;
  put(row, RowHeader{7, 1, 1});
  put(row, 1.0);
  for (const RecordType type : {RecordType::doubles, RecordType::floats, RecordType::predictions}) {
    const Log log = log_with(type, row);
    EXPECT_EQ(log.rows.size(), 1U);
    EXPECT_FALSE(log.damage.empty());
  }
  put(channel, std::uint32_t{0});
  put(channel, std::uint32_t{4'000'000'000});
  Bytes longer = encode_channel(small_channels[0], 0, 2),
        nameless = encode_channel({"", ChannelKind::scalar, "", {}, {}}, 0, 2);
  longer.push_back(std::byte{0});
  for (const Bytes& payload : {longer, nameless, encode_channel(small_channels[0], 0, channel_limit + 1),
                               encode_channel(small_channels[0], 2, 2)}) {
    const Log log = log_with(RecordType::channel, payload);
    EXPECT_EQ(log.channels, small_channels);
    EXPECT_FALSE(log.damage.empty());
  }
  for (const Bytes& payload : {Bytes{}, channel, Bytes(2000, std::byte{0xFF}), Bytes(15)})
    for (const int type : {0, 1, 2, 3, 4, 5, 6, 255}) {
      const Log log = log_with(static_cast<RecordType>(type), payload);
      EXPECT_LE(log.rows.size(), 1U);
      EXPECT_FALSE(log.damage.empty() && log.rows.size() == 1) << type << ' ' << payload.size();
    }
}

/// A table that contradicts itself: the first word counts.
TEST(LogDamage, ASecondDescriptionOfAChannelMustBeTheFirst) {
  Channel other = small_channels[0];
  other.unit = "bits";
  for (const Bytes& payload : {encode_channel(other, 0, 2), encode_channel(small_channels[0], 0, 3)}) {
    LogPacker packer(small_channels);
    Bytes record;
    put(record, RecordHeader{0, static_cast<std::uint16_t>(payload.size()), RecordType::channel, 0});
    record.insert(record.end(), payload.begin(), payload.end());
    packer.add(record);
    const Log log = read_log(packer.bytes(), "two tables");
    EXPECT_EQ(log.channels, small_channels);
    ASSERT_EQ(log.damage.size(), 1U);
    EXPECT_HAS(log.damage[0].what, "makes no sense");
  }
}

/// No checksum stands in the way here: random records must be harmless.
TEST(LogDamage, RandomRecordsAreHarmless) {
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    LogPacker packer(small_channels);
    for (int i = 0; i < 10; ++i) {
      Bytes record;
      const auto length = static_cast<std::uint16_t>(random() % 80);
      put(record, RecordHeader{0, length, static_cast<RecordType>(1 + random() % 6), 0});
      for (int k = 0; k < length; ++k)
        record.push_back(static_cast<std::byte>(random() % 3 == 0 ? random() : random() % 3));
      packer.add(record);
    }
    const Log log = read_log(packer.bytes(), "random");
    for (const Row& row : log.rows)
      EXPECT_LE(log.values_of(row).size() + log.predictions_of(row).size(), 300U);
    (void)log.last_predictions("step.loss");
    (void)first_difference(log, log);
  }
}

}  // namespace
}  // namespace normlab
