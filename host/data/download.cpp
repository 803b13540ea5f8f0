#include "host/data/download.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>

#include "host/data/progress.hpp"
#include "host/system/system_error.hpp"
#include "layers/error.hpp"

namespace normlab {
namespace {

namespace fs = std::filesystem;

struct CurlCloser {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct ListCloser {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

/// One download: the file on disk and what the server has said so far.
struct Transfer {
  const DownloadOptions& options;
  const fs::path& part;
  TransferProgress progress;
  std::unique_ptr<std::FILE, FileCloser> file{};
  std::uint64_t held = 0;   // bytes in the file
  std::string validator{};  // strong ETag or date of the answer that the held bytes come from
  bool pieced = false;

  // The current answer.
  long status = 0;
  std::string answer_validator{};
  std::int64_t range_begin = -1;  // of Content-Range
  bool body_begun = false;
  std::string refusal{};         // why the answer was refused; never worth another attempt
  std::exception_ptr failure{};  // of the file here, which is no fault of the server's
};

/// The file here could not be written.
void note_failure(Transfer& transfer) {
  try {
    throw_system_error(errno, "write", transfer.part);
  } catch (...) {
    transfer.failure = std::current_exception();
  }
}

/// Makes the file empty again.
void start_over(Transfer& transfer) {
  transfer.file.reset(std::fopen(transfer.part.c_str(), "wb"));
  if (!transfer.file) throw_system_error(errno, "write", transfer.part);
  transfer.held = 0;
  transfer.pieced = false;
  transfer.validator.clear();
}

/// The value of header `name` when `line` holds it, without blanks; empty otherwise.
std::string_view header_value(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return {};
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(line[i])) != name[i]) return {};
  }
  line.remove_prefix(name.size() + 1);
  while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n' || line.back() == ' ')) {
    line.remove_suffix(1);
  }
  return line;
}

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size);
  if (line.rfind("HTTP/", 0) == 0) {  // a new answer, after a redirect for instance
    const std::size_t space = line.find(' ');
    transfer.status =
        space == std::string_view::npos ? 0 : std::atol(std::string(line.substr(space)).c_str());
    transfer.answer_validator.clear();
    transfer.range_begin = -1;
  }
  const std::string_view etag = header_value(line, "etag");
  const std::string_view date = header_value(line, "last-modified");
  const std::string_view range = header_value(line, "content-range");
  if (!etag.empty() && etag.rfind("W/", 0) != 0) transfer.answer_validator = etag;
  if (!date.empty() && transfer.answer_validator.empty()) transfer.answer_validator = date;
  if (range.rfind("bytes ", 0) == 0) transfer.range_begin = std::atoll(std::string(range.substr(6)).c_str());
  return size;
}

/// Decides, at the first byte of an answer's body, where it belongs in the file.
bool begin_body(Transfer& transfer) {
  if (transfer.status == 206) {
    if (transfer.range_begin != static_cast<std::int64_t>(transfer.held)) {
      transfer.refusal = fmt::format("the server sent the bytes from {} when asked for those from {}",
                                     transfer.range_begin, transfer.held);
      return false;
    }
    transfer.pieced = transfer.held > 0;
  } else if (transfer.held > 0) {  // 200: the whole file again
    transfer.progress.note("the server sends the file from its beginning");
    start_over(transfer);
  }
  transfer.validator = transfer.answer_validator;
  return true;
}

/// Writes to the file. Returning less than `size` makes libcurl stop.
std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (transfer.status != 200 && transfer.status != 206) return size;  // an error page
  try {
    if (!transfer.body_begun && !begin_body(transfer)) return 0;
  } catch (...) {  // no exception may pass through libcurl
    transfer.failure = std::current_exception();
    return 0;
  }
  transfer.body_begun = true;
  if (transfer.held + size > transfer.options.bytes) {
    transfer.refusal =
        fmt::format("the server sends more than the {} bytes that the file has: it is another file",
                    transfer.options.bytes);
    return 0;
  }
  const std::size_t written = std::fwrite(data, 1, size, transfer.file.get());
  if (written < size) note_failure(transfer);
  transfer.held += written;
  return written;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.progress.update(transfer.held);
  return 0;
}

template <typename Value>
void set(CURL* curl, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(curl, option, value);
  if (code != CURLE_OK)
    throw Error("libcurl refuses option {}: {}", static_cast<int>(option), curl_easy_strerror(code));
}

/// One request. Empty when the file is complete, else why not; throws what no further attempt can mend.
std::string attempt(Transfer& transfer) {
  const DownloadOptions& options = transfer.options;
  const std::unique_ptr<CURL, CurlCloser> handle(curl_easy_init());
  CURL* const curl = handle.get();
  if (curl == nullptr) throw Error("libcurl cannot start");
  transfer.status = 0;
  transfer.body_begun = false;

  set(curl, CURLOPT_URL, options.url.c_str());
  set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  set(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(curl, CURLOPT_FOLLOWLOCATION, 1L);
  set(curl, CURLOPT_MAXREDIRS, 5L);
  set(curl, CURLOPT_NOSIGNAL, 1L);
  set(curl, CURLOPT_USERAGENT, "normlab-dataset");
  set(curl, CURLOPT_CONNECTTIMEOUT, options.connect_seconds);
  set(curl, CURLOPT_LOW_SPEED_LIMIT, options.stall_rate);
  set(curl, CURLOPT_LOW_SPEED_TIME, options.stall_seconds);
  set(curl, CURLOPT_HEADERFUNCTION, on_header);
  set(curl, CURLOPT_HEADERDATA, &transfer);
  set(curl, CURLOPT_WRITEFUNCTION, on_body);
  set(curl, CURLOPT_WRITEDATA, &transfer);
  set(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
  set(curl, CURLOPT_XFERINFODATA, &transfer);
  set(curl, CURLOPT_NOPROGRESS, 0L);

  // Range stands as a header of our own: libcurl's RESUME_FROM fails when a server ignores it, and that is an
  // answer to live with.
  std::unique_ptr<curl_slist, ListCloser> headers;
  const auto add_header = [&](const std::string& line) {
    curl_slist* const longer = curl_slist_append(headers.get(), line.c_str());
    if (longer == nullptr) throw Error("libcurl has no memory");
    (void)headers.release();
    headers.reset(longer);
  };
  if (transfer.held > 0) {
    add_header(fmt::format("Range: bytes={}-", transfer.held));
    if (!transfer.validator.empty()) add_header("If-Range: " + transfer.validator);
    set(curl, CURLOPT_HTTPHEADER, headers.get());
  }

  const CURLcode code = curl_easy_perform(curl);
  if (transfer.file && std::fflush(transfer.file.get()) != 0 && !transfer.failure) note_failure(transfer);
  if (transfer.failure) std::rethrow_exception(transfer.failure);
  if (!transfer.refusal.empty()) throw Error("{}: {}", options.url, transfer.refusal);
  if (transfer.status == 416) {  // nothing after the bytes held: they are not of this file
    start_over(transfer);
    return "the server has nothing to add to what was here; starting over";
  }
  if (transfer.status >= 400) {
    const bool passing = transfer.status >= 500 || transfer.status == 408 || transfer.status == 429;
    std::string why = fmt::format("the server answers with status {}", transfer.status);
    if (!passing) throw Error("{}: {}", options.url, why);
    return why;
  }
  if (code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT) {
    throw Error("{}: {}; give an http or https URL", options.url, curl_easy_strerror(code));
  }
  if (code == CURLE_OPERATION_TIMEDOUT) {
    return fmt::format("stalled: no connection in {} s, or under {} bytes/s for {} s",
                       options.connect_seconds, options.stall_rate, options.stall_seconds);
  }
  if (code != CURLE_OK) return curl_easy_strerror(code);
  if (transfer.held < options.bytes && transfer.body_begun && transfer.status == 200) {
    // A complete answer (libcurl compares with its Content-Length), and yet too short.
    throw Error("{}: the server's file has {} bytes, not {}: it is another file", options.url, transfer.held,
                options.bytes);
  }
  return transfer.held == options.bytes ? "" : fmt::format("the answer ended at byte {}", transfer.held);
}

}  // namespace

bool download(const fs::path& part, const DownloadOptions& options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) throw Error("libcurl cannot start: {}", curl_easy_strerror(ready));

  Transfer transfer{options, part, TransferProgress(options.progress, options.bytes)};
  std::error_code failed;
  const std::uintmax_t before = fs::file_size(part, failed);
  if (!failed && before <= options.bytes) {
    transfer.held = before;
    transfer.pieced = before > 0;
  }
  transfer.file.reset(std::fopen(part.c_str(), transfer.held > 0 ? "ab" : "wb"));
  if (!transfer.file) throw_system_error(errno, "write", part);
  if (transfer.held > 0) {
    transfer.progress.note(
        fmt::format("{:.1f} MB are here already", static_cast<double>(transfer.held) / 1e6).c_str());
  }

  double wait = options.backoff_seconds;
  std::uint64_t most = transfer.held;  // measures headway: a server without ranges may start over for ever
  for (int fruitless = 0; transfer.held < options.bytes;) {
    transfer.progress.update(transfer.held);
    const std::string problem = attempt(transfer);
    if (problem.empty()) break;
    if (transfer.held > most) {  // patience begins anew
      most = transfer.held;
      fruitless = 0;
      wait = options.backoff_seconds;
    } else if (++fruitless >= options.attempts) {
      throw Error("{}: {} ({} attempts in vain; {} of {} bytes are kept in {})", options.url, problem,
                  fruitless, transfer.held, options.bytes, part.string());
    }
    transfer.progress.note(fmt::format("{}; trying again in {:.0f} s", problem, wait).c_str());
    std::this_thread::sleep_for(std::chrono::duration<double>(wait));
    wait = std::min(2 * wait, 60.0);
  }
  transfer.progress.finish(transfer.held);
  std::FILE* const file = transfer.file.release();
  if (std::fclose(file) != 0) throw_system_error(errno, "write", part);
  return transfer.pieced;
}

}  // namespace normlab
