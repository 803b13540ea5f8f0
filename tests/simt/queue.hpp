#pragma once
// Streams, events and graphs: work waits in queues until the host synchronizes, and then runs in a random
// order that streams and events allow.

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "simt/runtime.hpp"

namespace simt {

/// What device work returns: empty, or what went wrong, which then sticks.
struct Problem {
  cudaError_t error = cudaSuccess;
  std::string text;
};
using Work = std::function<Problem()>;

/// Done or not.
struct Token {
  bool done = false;
  std::chrono::steady_clock::time_point time;
};
using TokenPtr = std::shared_ptr<Token>;

struct Operation {
  Work work;
  std::vector<TokenPtr> after;
  TokenPtr done;
};

struct GraphNode {
  Work work;
  std::vector<std::size_t> after;
  bool used = false;  // somebody waits for it
};

/// What is being captured, and from which stream.
struct Capture {
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  std::vector<GraphNode> nodes;
  std::set<cudaStream_t> streams;
  bool invalid = false;
};

}  // namespace simt

struct CUstream_st {
  bool waits_for_default = true;  // as streams do that were not made with cudaStreamNonBlocking
  std::deque<simt::Operation> queue;
  simt::TokenPtr last;
  std::shared_ptr<simt::Capture> capture;
  std::vector<std::size_t> heads;  // of its capture: what the next node comes after
};

struct CUevent_st {
  bool timing = true;
  simt::TokenPtr recorded;
  std::shared_ptr<simt::Capture> capture;
  std::vector<std::size_t> heads;
};

struct CUgraph_st {
  std::vector<simt::GraphNode> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<simt::GraphNode>> nodes;
};

namespace simt {

/// All that is known of the one device. Each function of the API holds its lock.
struct Device {
  std::recursive_mutex mutex;
  CUstream_st default_stream;
  std::vector<cudaStream_t> streams;  // without the default; in the order they were made
  std::set<cudaEvent_t> events;
  std::set<cudaGraph_t> graphs;
  std::set<cudaGraphExec_t> executables;
  std::set<std::shared_ptr<Capture>> captures;
  cudaError_t sticky = cudaSuccess;
  std::string report;
  bool eager = false;
  bool running = false;
};
extern Device& device;

/// Null if there is no such stream.
cudaStream_t find_stream(cudaStream_t stream);
/// Puts work at the end of a stream, or into the graph it captures.
cudaError_t submit(cudaStream_t stream, Work work);
/// Runs until the token is done, or everything (null).
void run_until(const TokenPtr& token);
/// One operation, if there is one.
bool run_one();
/// An error for a call that waits while some stream captures: it spoils the capture.
cudaError_t forbid_in_capture();
/// What cudaGetLastError (which forgets it) and cudaPeekAtLastError return.
cudaError_t take_last_error(bool forget);
/// Records an error that cudaGetLastError returns, and returns it.
cudaError_t error(cudaError_t code, const std::string& report = "");
/// Drops all work that waits; the device answers everything with this error from now on.
void fail_device(const Problem& problem);

using Lock = std::lock_guard<std::recursive_mutex>;

}  // namespace simt
