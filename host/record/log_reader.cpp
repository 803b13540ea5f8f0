#include "host/record/log_reader.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "host/record/crc32c.hpp"
#include "host/record/log_format.hpp"
#include "layers/error.hpp"

namespace normlab {

using namespace log_format;

namespace {

/// Blocks without any trace of a log after which a file is held to be none.
constexpr std::uint64_t patience = 1024;

/// Takes the blocks of a log one after the other and keeps what can be trusted.
class Parser {
 public:
  explicit Parser(std::string_view name) : name_(name) {}

  /// `bytes` are a whole block, or what there is of the last one.
  void block(std::span<const std::byte> bytes);
  Log finish();

 private:
  std::string_view name_;
  Log log_;
  bool seen_header_ = false;
  bool seen_magic_ = false;
  std::uint32_t table_id_ = 0;
  std::vector<std::optional<Channel>> table_;
  std::vector<RecordType> row_types_;  // of log_.rows
  std::uint64_t offset_ = 0;           // of the block

  bool header(std::span<const std::byte> bytes);
  void records(std::span<const std::byte> bytes, bool whole);
  bool record(RecordType type, std::span<const std::byte> payload);
  bool channel(std::span<const std::byte> payload);
  bool row(RecordType type, std::span<const std::byte> payload);
  bool outcome(std::span<const std::byte> payload);
  void check_rows();
  [[noreturn]] void refuse() const;
  void damaged(std::size_t begin, std::size_t end, std::string what);
};

/// Notes that bytes [begin, end) of the block cannot be used; one entry for neighbours with the same fault.
void Parser::damaged(std::size_t begin, std::size_t end, std::string what) {
  if (!log_.damage.empty()) {
    Damage& before = log_.damage.back();
    if (before.offset + before.length == offset_ + begin && before.what == what) {
      before.length += end - begin;
      return;
    }
  }
  log_.damage.push_back({offset_ + begin, end - begin, std::move(what)});
}

/// Whether a whole record begins at any of these bytes. Behind a record that is still being written there is
/// none: what seems to be one was damaged in its length.
bool holds_record(std::span<const std::byte> bytes) {
  for (; bytes.size() >= record_bytes; bytes = bytes.subspan(1)) {
    RecordHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const std::size_t size = record_bytes + header.length;
    const bool may_be = header.type > RecordType::padding && header.type <= RecordType::outcome &&
                        header.zero == 0 && size <= bytes.size();
    if (may_be &&
        crc32c(bytes.subspan(sizeof header.checksum, size - sizeof header.checksum)) == header.checksum)
      return true;
  }
  return false;
}

void Parser::block(std::span<const std::byte> bytes) {
  offset_ = log_.bytes;
  log_.bytes += bytes.size();
  ++log_.blocks;
  if (bytes.size() < header_bytes) {
    log_.torn_bytes = bytes.size();
    // A file that ends here may still be the beginning of a log.
    const std::size_t known = std::min(bytes.size(), magic.size());
    seen_magic_ |= std::memcmp(bytes.data(), magic.data(), known) == 0;
    return;
  }
  if (header(bytes)) records(bytes, bytes.size() == block_bytes);
  if (!seen_magic_ && log_.blocks == patience) refuse();
}

void Parser::refuse() const {
  throw Error("'{}' is not a metric log (or its beginning is destroyed); give the metrics.nlog of a run",
              name_);
}

/// Whether the header is that of this log at this place.
bool Parser::header(std::span<const std::byte> bytes) {
  BlockHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const bool has_magic = header.magic == magic;
  seen_magic_ |= has_magic;
  if (!has_magic || crc32c(bytes.first(header_bytes - sizeof header.checksum)) != header.checksum) {
    damaged(0, bytes.size(), "a block whose header is damaged; all of it is lost");
    return false;
  }
  if (header.version > version)
    throw Error("'{}' was made by a newer Normlab: log version {}, this build reads {}; update Normlab",
                name_, header.version, version);
  if (!seen_header_) {
    table_id_ = header.table_id;
    log_.version = header.version;
    seen_header_ = true;
  }
  if (header.version != version || header.table_id != table_id_ ||
      header.block != static_cast<std::uint32_t>(log_.blocks - 1) ||
      header.first_row < log_.rows.size() + log_.lost_rows) {
    damaged(0, bytes.size(), "a block that belongs elsewhere or to another log; it is not used");
    return false;
  }
  log_.lost_rows = header.first_row - log_.rows.size();
  return true;
}

/// The records of a block, up to its end or the first that is damaged: where the next one begins is then
/// unknown.
void Parser::records(std::span<const std::byte> bytes, bool whole) {
  std::size_t at = header_bytes;
  while (at < bytes.size()) {
    const auto rest = bytes.subspan(at);
    if (rest.size() < record_bytes && !whole) {
      log_.torn_bytes = rest.size();
      return;
    }
    const auto front = rest.first(std::min(rest.size(), record_bytes));
    if (std::all_of(front.begin(), front.end(), [](std::byte byte) { return byte == std::byte{0}; })) {
      if (std::any_of(rest.begin(), rest.end(), [](std::byte byte) { return byte != std::byte{0}; }))
        damaged(at, bytes.size(), "the unused end of this block is not empty; what stood there is lost");
      return;
    }
    if (rest.size() < record_bytes) {
      damaged(at, bytes.size(), "the unused end of this block is not empty; nothing is lost");
      return;
    }
    RecordHeader header;
    std::memcpy(&header, rest.data(), sizeof header);
    const std::size_t size = record_bytes + header.length;
    if (size > rest.size() && !whole && !holds_record(rest.subspan(1))) {
      log_.torn_bytes = rest.size();
      return;
    }
    if (size > rest.size() ||
        crc32c(rest.subspan(sizeof header.checksum, size - sizeof header.checksum)) != header.checksum) {
      damaged(at, bytes.size(), "a record is damaged; it and the rest of its block are lost");
      return;
    }
    if (!record(header.type, rest.subspan(record_bytes, header.length)))
      damaged(at, at + size, "a record that makes no sense, though its checksum is right; it is left out");
    at += size;
  }
}

bool Parser::record(RecordType type, std::span<const std::byte> payload) {
  switch (type) {
    case RecordType::channel:
      return channel(payload);
    case RecordType::doubles:
    case RecordType::floats:
    case RecordType::predictions:
      return row(type, payload);
    case RecordType::outcome:
      return outcome(payload);
    default:
      return false;
  }
}

bool Parser::channel(std::span<const std::byte> payload) {
  ChannelRecord record;
  if (!decode_channel(payload, record)) return false;
  if (table_.empty()) table_.resize(record.count);
  if (table_.size() != record.count) return false;
  std::optional<Channel>& known = table_[record.index];
  if (known && *known != record.channel) return false;
  known = std::move(record.channel);
  return true;
}

bool Parser::row(RecordType type, std::span<const std::byte> payload) {
  const std::size_t element = type == RecordType::doubles  ? sizeof(double)
                              : type == RecordType::floats ? sizeof(float)
                                                           : prediction_bytes;
  if (payload.size() < row_bytes || (payload.size() - row_bytes) % element != 0) return false;
  Cursor cursor(payload);
  const auto header = cursor.take<RowHeader>();
  const std::size_t count = cursor.left() / element;
  const std::size_t first = type == RecordType::predictions ? log_.predictions.size() : log_.values.size();
  log_.rows.push_back({header.channel, header.epoch, header.step, first, count});
  row_types_.push_back(type);
  for (std::size_t i = 0; i < count; ++i) {
    if (type == RecordType::doubles)
      log_.values.push_back(cursor.take<double>());
    else if (type == RecordType::floats)
      log_.values.push_back(static_cast<double>(cursor.take<float>()));
    else
      log_.predictions.push_back(cursor.take<Prediction>());
  }
  return true;
}

bool Parser::outcome(std::span<const std::byte> payload) {
  Cursor cursor(payload);
  const auto status = cursor.take<RunStatus>();
  if (!cursor.good() || status < RunStatus::done || status > RunStatus::failed) return false;
  const auto text = cursor.take_bytes(cursor.left());
  log_.outcome.emplace();
  log_.outcome->status = status;
  if (!text.empty()) log_.outcome->message.assign(reinterpret_cast<const char*>(text.data()), text.size());
  return true;
}

/// Leaves out rows that do not fit their channel, or whose channel is not known.
void Parser::check_rows() {
  std::size_t unknown = 0, misfit = 0, kept = 0;
  for (std::size_t i = 0; i < log_.rows.size(); ++i) {
    const Row row = log_.rows[i];
    if (row.channel >= table_.size() || !table_[row.channel]) {
      ++unknown;
      continue;
    }
    const Channel& channel = *table_[row.channel];
    const bool fits = record_of(channel.kind) == row_types_[i] &&
                      (channel.kind == ChannelKind::prediction || row.count == elements_of(channel));
    if (!fits) {
      ++misfit;
      continue;
    }
    log_.rows[kept++] = row;
  }
  log_.rows.resize(kept);
  log_.lost_rows += unknown + misfit;
  offset_ = 0;
  if (unknown > 0)
    damaged(0, log_.bytes, fmt::format("{} rows of channels whose description is lost", unknown));
  if (misfit > 0) damaged(0, log_.bytes, fmt::format("{} rows that do not fit their channel", misfit));
}

Log Parser::finish() {
  if (!seen_magic_ && log_.bytes > 0) refuse();
  check_rows();
  for (std::optional<Channel>& channel : table_) {
    if (!channel) {  // keeps the indices of the others right
      channel.emplace();
      channel->name = fmt::format("(lost channel {})", log_.channels.size());
    }
    log_.channels.push_back(std::move(*channel));
  }
  return std::move(log_);
}

}  // namespace

std::optional<std::uint32_t> Log::find(std::string_view channel) const {
  for (std::uint32_t index = 0; index < channels.size(); ++index)
    if (channels[index].name == channel) return index;
  return std::nullopt;
}

std::span<const double> Log::values_of(const Row& row) const {
  if (channels[row.channel].kind == ChannelKind::prediction) return {};
  return std::span(values).subspan(row.first, row.count);
}

std::span<const Prediction> Log::predictions_of(const Row& row) const {
  if (channels[row.channel].kind != ChannelKind::prediction) return {};
  return std::span(predictions).subspan(row.first, row.count);
}

std::vector<Prediction> Log::last_predictions(std::string_view channel) const {
  std::vector<Prediction> found;
  const auto index = find(channel);
  if (!index || channels[*index].kind != ChannelKind::prediction) return found;
  std::int64_t step = 0;
  for (const Row& row : rows) {
    if (row.channel != *index) continue;
    if (row.step != step) found.clear();
    step = row.step;
    const auto chunk = predictions_of(row);
    found.insert(found.end(), chunk.begin(), chunk.end());
  }
  std::ranges::stable_sort(found, {}, &Prediction::image);
  return found;
}

Log read_log(std::span<const std::byte> bytes, std::string_view name) {
  Parser parser(name);
  for (; !bytes.empty(); bytes = bytes.subspan(std::min(bytes.size(), block_bytes)))
    parser.block(bytes.first(std::min(bytes.size(), block_bytes)));
  return parser.finish();
}

Log read_log(const std::filesystem::path& path, std::uint64_t limit) {
  File file = File::open(path);
  const std::string name = path.string();
  Parser parser(name);
  std::vector<std::byte> buffer(block_bytes);
  // A log that is still being written grows: what it has now is what is read.
  for (std::uint64_t left = std::min(file.size(), limit); left > 0;) {
    const std::size_t got = file.read(std::span(buffer).first(std::min<std::uint64_t>(left, block_bytes)));
    if (got == 0) break;
    parser.block(std::span(buffer).first(got));
    left -= got;
  }
  return parser.finish();
}

std::string first_difference(const Log& a, const Log& b) {
  if (a.channels != b.channels) return "the channels differ";
  for (std::size_t i = 0; i < std::min(a.rows.size(), b.rows.size()); ++i) {
    const Row &left = a.rows[i], &right = b.rows[i];
    const std::string where = fmt::format("row {}, channel '{}', epoch {}, step {}", i,
                                          a.channels[left.channel].name, left.epoch, left.step);
    if (left.channel != right.channel || left.epoch != right.epoch || left.step != right.step ||
        left.count != right.count)
      return where + ": the other log has another row here";
    if (a.channels[left.channel].kind == ChannelKind::time) continue;
    if (a.channels[left.channel].kind == ChannelKind::prediction) {
      const auto x = a.predictions_of(left), y = b.predictions_of(right);
      if (!std::equal(x.begin(), x.end(), y.begin())) return where + ": predictions differ";
      continue;
    }
    const auto x = a.values_of(left), y = b.values_of(right);
    for (std::size_t k = 0; k < x.size(); ++k)
      if (std::bit_cast<std::uint64_t>(x[k]) != std::bit_cast<std::uint64_t>(y[k]))
        return fmt::format("{}: {:.17g} and {:.17g}", where, x[k], y[k]);
  }
  if (a.rows.size() != b.rows.size()) return fmt::format("{} rows and {} rows", a.rows.size(), b.rows.size());
  if (a.outcome.has_value() != b.outcome.has_value()) return "only one of the two has an end";
  if (a.outcome && a.outcome->status != b.outcome->status)
    return fmt::format("one is {}, the other {}", name_of(a.outcome->status), name_of(b.outcome->status));
  return {};
}

}  // namespace normlab
