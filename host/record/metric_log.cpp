#include "host/record/metric_log.hpp"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "host/record/log_packer.hpp"
#include "layers/error.hpp"

namespace normlab {

using namespace log_format;

namespace {

/// The thread is woken when this much is queued, or after a second: waking it for each row would cost more
/// than writing the row.
constexpr std::size_t wake_bytes = 16 * 1024;
constexpr std::chrono::seconds wake_period{1};
/// The most that is packed before it is written.
constexpr std::size_t piece_bytes = 64 * 1024;

/// Processor time of the calling thread.
double thread_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void check_channels(const std::vector<Channel>& channels, const std::filesystem::path& path) {
  if (channels.size() > channel_limit)
    throw Error("log '{}': {} channels, but at most {} are possible", path.string(), channels.size(),
                channel_limit);
  for (std::size_t i = 0; i < channels.size(); ++i) {
    std::string fault = fault_of(channels[i]);
    for (std::size_t j = 0; j < i; ++j)
      if (channels[j].name == channels[i].name) fault = "there are two of this name";
    if (!fault.empty())
      throw Error("log '{}': channel {} ('{}'): {}", path.string(), i, channels[i].name, fault);
  }
}

}  // namespace

/// Everything that the calling threads and the writing thread share.
struct LogWriter::State {
  State(File opened, std::vector<Channel> declared, std::size_t queue_bytes,
        const std::optional<LogPosition>& from = std::nullopt);
  ~State() { stop(); }

  File file;
  const std::vector<Channel> channels;
  const std::size_t limit;

  std::mutex mutex;
  std::condition_variable work, progress;   // for the thread; for those who wait for it
  std::vector<std::byte> queue;             // framed records, checksums still 0
  std::uint64_t appended = 0, written = 0;  // records
  std::uint64_t wanted = 0;                 // records that a flush waits for
  LogPosition position;                     // after the records written
  bool full = false;                        // a call of append waits for room
  bool closing = false, closed = false;
  double cpu_seconds = 0;  // of the thread
  bool durable = false;    // batches are brought to the disk
  std::string failure;     // of the thread; empty: none

  // The thread's own, once that runs.
  LogPacker packer;
  std::int64_t readable_step = -1;  // of all rows written, the latest
  std::thread thread;

  void run();
  void write(std::vector<std::byte>& batch);
  void write_packed(std::int64_t step);
  void stop();
  void check() const;
  void check_and_cut(const LogPosition& from);
  LogPosition flush();
  const Channel& row_channel(std::uint32_t index, RecordType type, std::size_t count) const;
  template <typename Fill>
  void enqueue(RecordType type, std::size_t payload_bytes, Fill fill);
};

LogWriter::State::State(File opened, std::vector<Channel> declared, std::size_t queue_bytes,
                        const std::optional<LogPosition>& from)
    : file(std::move(opened)),
      channels(std::move(declared)),
      limit(queue_bytes),
      packer(from ? LogPacker(channels, *from) : LogPacker(channels)) {
  if (from) check_and_cut(*from);
  position = packer.position();
  // Written here and now, so that a full disk or a bad place shows before the run begins.
  file.write(packer.bytes());
  packer.clear();
  thread = std::thread([this] { run(); });
}

/// Leaves of the file what the position says, if it is there.
void LogWriter::State::check_and_cut(const LogPosition& from) {
  BlockHeader header{};
  const bool is_whole = file.size() >= from.bytes && from.bytes > header_bytes &&
                        file.read(std::as_writable_bytes(std::span(&header, 1))) == sizeof header;
  if (!is_whole) {
    throw Error(
        "log '{}' cannot be continued: it has {} bytes, but should have {}; it was damaged or replaced",
        file.path().string(), file.size(), from.bytes);
  }
  if (header.magic != magic || header.version != version || header.table_id != packer.table_id()) {
    throw Error("log '{}' cannot be continued: it holds other channels; it is of another run or build",
                file.path().string());
  }
  file.cut(from.bytes);
}

/// The writing thread: takes what is queued, and writes it.
void LogWriter::State::run() {
  std::vector<std::byte> batch;
  std::unique_lock lock(mutex);
  try {
    for (bool last = false; !last;) {
      // Not by the wall clock, which people and networks set: while it is behind, nothing would be written.
      work.wait_until(lock, std::chrono::steady_clock::now() + wake_period, [&] {
        return closing || full || wanted > written || queue.size() >= std::min(wake_bytes, limit / 2);
      });
      last = closing;
      full = false;
      batch.swap(queue);
      const std::uint64_t target = appended;
      const bool to_disk = durable;
      lock.unlock();
      progress.notify_all();  // the queue has room
      write(batch);
      if (last) {
        packer.add_table();
        write_packed(-1);
      }
      if (to_disk) file.sync_data();
      if (last) file.close();
      lock.lock();
      written = target;
      cpu_seconds = thread_seconds();
      position = packer.position();
      progress.notify_all();
    }
  } catch (const std::exception& error) {
    if (!lock.owns_lock()) lock.lock();
    failure = reason_of(error);
    failure += readable_step < 0 ? "; no step of this run was recorded"
                                 : fmt::format("; rows up to step {} are readable", readable_step);
    progress.notify_all();
  }
}

/// Packs the records of a batch and hands them to the kernel. Leaves the batch empty.
void LogWriter::State::write(std::vector<std::byte>& batch) {
  std::int64_t step = -1;
  for (std::span<std::byte> rest = batch; !rest.empty();) {
    RecordHeader header;
    std::memcpy(&header, rest.data(), sizeof header);
    if (is_row(header.type)) {
      RowHeader row;
      std::memcpy(&row, rest.data() + sizeof header, sizeof row);
      step = std::max(step, row.step);
    }
    const std::size_t size = sizeof header + header.length;
    packer.add(rest.first(size));
    rest = rest.subspan(size);
    if (packer.bytes().size() >= piece_bytes) write_packed(step);
  }
  write_packed(step);
  batch.clear();
}

/// `step` is the latest of the rows packed.
void LogWriter::State::write_packed(std::int64_t step) {
  file.write(packer.bytes());
  packer.clear();
  readable_step = std::max(readable_step, step);
}

void LogWriter::State::stop() {
  {
    const std::lock_guard lock(mutex);
    closing = true;
  }
  work.notify_one();
  if (thread.joinable()) thread.join();
}

/// Throws if nothing can be appended any more. The mutex is held.
void LogWriter::State::check() const {
  if (!failure.empty()) throw Error("{}", failure);
  if (closing) throw Error("log '{}' is closed: nothing can be appended", file.path().string());
}

const Channel& LogWriter::State::row_channel(std::uint32_t index, RecordType type, std::size_t count) const {
  if (index >= channels.size())
    throw Error("log '{}' has no channel {}: it has {}", file.path().string(), index, channels.size());
  const Channel& channel = channels[index];
  if (record_of(channel.kind) != type)
    throw Error("log '{}': channel '{}' is of kind {}, which this row is not", file.path().string(),
                channel.name, name_of(channel.kind));
  if (type != RecordType::predictions && elements_of(channel) != count)
    throw Error("log '{}': a row of channel '{}' has {} elements, not {}", file.path().string(), channel.name,
                elements_of(channel), count);
  return channel;
}

/// Frames a record at the end of the queue; `fill` adds its payload. Waits while the queue is full.
template <typename Fill>
void LogWriter::State::enqueue(RecordType type, std::size_t payload_bytes, Fill fill) {
  const std::size_t size = record_bytes + payload_bytes;
  bool wake = false;
  {
    std::unique_lock lock(mutex);
    check();
    while (!queue.empty() && queue.size() + size > limit) {
      full = true;
      work.notify_one();
      progress.wait(lock);
      check();
    }
    const std::size_t before = queue.size();
    put(queue, RecordHeader{0, static_cast<std::uint16_t>(payload_bytes), type, 0});
    fill(queue);
    ++appended;
    const std::size_t mark = std::min(wake_bytes, limit / 2);
    wake = before < mark && queue.size() >= mark;
  }
  if (wake) work.notify_one();
}

LogWriter::LogWriter(const std::filesystem::path& path, std::vector<Channel> channels,
                     std::size_t queue_bytes) {
  check_channels(channels, path);  // before the file is there
  state_ = std::make_unique<State>(File::create(path), std::move(channels), queue_bytes);
}

LogWriter::LogWriter(File file, std::vector<Channel> channels, std::size_t queue_bytes) {
  check_channels(channels, file.path());
  state_ = std::make_unique<State>(std::move(file), std::move(channels), queue_bytes);
}

LogWriter::LogWriter(const std::filesystem::path& path, std::vector<Channel> channels,
                     const LogPosition& position, std::size_t queue_bytes) {
  check_channels(channels, path);
  state_ = std::make_unique<State>(File::open_to_change(path), std::move(channels), queue_bytes, position);
}

LogWriter::~LogWriter() = default;

void LogWriter::make_durable() {
  sync_directory(state_->file.path().parent_path());  // its name must be there, too
  {
    const std::lock_guard lock(state_->mutex);
    state_->durable = true;
  }
  static_cast<void>(sync());
}

const std::vector<Channel>& LogWriter::channels() const {
  return state_->channels;
}

std::uint32_t LogWriter::channel(std::string_view name) const {
  const auto found = std::find_if(state_->channels.begin(), state_->channels.end(),
                                  [&](const Channel& channel) { return channel.name == name; });
  if (found == state_->channels.end())
    throw Error("log '{}' has no channel '{}'", state_->file.path().string(), name);
  return static_cast<std::uint32_t>(found - state_->channels.begin());
}

void LogWriter::append(std::uint32_t channel, int epoch, std::int64_t step, double value) {
  state_->row_channel(channel, RecordType::doubles, 1);
  state_->enqueue(RecordType::doubles, row_bytes + sizeof value, [&](std::vector<std::byte>& queue) {
    put(queue, RowHeader{channel, epoch, step});
    put(queue, value);
  });
}

void LogWriter::append(std::uint32_t channel, int epoch, std::int64_t step, std::span<const double> values) {
  if (channel < channels().size() && record_of(channels()[channel].kind) == RecordType::doubles &&
      values.size() == 1) {
    append(channel, epoch, step, values[0]);
    return;
  }
  const std::vector<float> floats(values.begin(), values.end());
  append(channel, epoch, step, std::span<const float>(floats));
}

void LogWriter::append(std::uint32_t channel, int epoch, std::int64_t step, std::span<const float> values) {
  state_->row_channel(channel, RecordType::floats, values.size());
  state_->enqueue(RecordType::floats, row_bytes + values.size_bytes(), [&](std::vector<std::byte>& queue) {
    put(queue, RowHeader{channel, epoch, step});
    const auto bytes = std::as_bytes(values);
    queue.insert(queue.end(), bytes.begin(), bytes.end());
  });
}

void LogWriter::append(std::uint32_t channel, int epoch, std::int64_t step,
                       std::span<const Prediction> predictions) {
  state_->row_channel(channel, RecordType::predictions, predictions.size());
  while (!predictions.empty()) {
    const auto chunk = predictions.first(std::min(predictions.size(), prediction_limit));
    predictions = predictions.subspan(chunk.size());
    state_->enqueue(RecordType::predictions, row_bytes + chunk.size() * prediction_bytes,
                    [&](std::vector<std::byte>& queue) {
                      put(queue, RowHeader{channel, epoch, step});
                      for (const Prediction& prediction : chunk) put(queue, prediction);
                    });
  }
}

LogPosition LogWriter::State::flush() {
  std::unique_lock lock(mutex);
  check();
  const std::uint64_t target = appended;
  wanted = std::max(wanted, target);
  work.notify_one();
  progress.wait(lock, [&] { return written >= target || !failure.empty(); });
  if (!failure.empty()) throw Error("{}", failure);
  return position;
}

LogPosition LogWriter::flush() {
  return state_->flush();
}

double LogWriter::cpu_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->cpu_seconds;
}

LogPosition LogWriter::sync() {
  const LogPosition position = state_->flush();
  state_->file.sync_data();
  return position;
}

void LogWriter::close(RunStatus status, std::string_view message) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->closed) return;
    state_->closed = true;
  }
  message = message.substr(0, message_limit);
  state_->enqueue(RecordType::outcome, sizeof status + message.size(), [&](std::vector<std::byte>& queue) {
    put(queue, status);
    const auto bytes = bytes_of(message);
    queue.insert(queue.end(), bytes.begin(), bytes.end());
  });
  state_->stop();
  if (!state_->failure.empty()) throw Error("{}", state_->failure);
}

}  // namespace normlab
