#pragma once
// One file over HTTP, by libcurl: resumed where it stopped, watched for stalls, believed only when its size
// is the one announced beforehand.

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

namespace normlab {

struct DownloadOptions {
  std::string url;
  std::uint64_t bytes = 0;        ///< what the whole file must have
  long connect_seconds = 20;      ///< to wait for a connection
  long stall_seconds = 30;        ///< slower than stall_rate for so long counts as stalled
  long stall_rate = 1000;         ///< bytes/s
  int attempts = 6;               ///< in a row that bring the file no further
  double backoff_seconds = 1;     ///< before the second attempt; doubles each time, at most 60 s
  std::FILE* progress = nullptr;  ///< where to report: one line on a terminal, a line every 10 s elsewhere
};

/// Brings `part` to `options.bytes` bytes. What `part` holds already is kept and the rest is asked for; a
/// server that cannot send a range, or whose file changed meanwhile, makes it start over. Failures that may
/// pass (no connection, a stall, a cut, 5xx, 408, 429) are tried again, others (404, a file of another size)
/// throw at once. Returns true when the bytes came in more than one piece, so that a wrong checksum may come
/// from the seam. Throws Error: URL, the server's or libcurl's words, bytes held. `part` stays for the next
/// time.
bool download(const std::filesystem::path& part, const DownloadOptions& options);

}  // namespace normlab
