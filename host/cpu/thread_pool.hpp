#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace normlab {

/// A team of workers; the caller is worker 0. Tasks are taken in order by whoever is free. Workers that are
/// not active do not exist: nothing of them spins or sleeps.
class ThreadPool {
 public:
  /// workers: the most that there will ever be; all are active until set_active says otherwise.
  explicit ThreadPool(int workers) : workers_(workers), active_(workers) {}
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int workers() const { return workers_; }
  [[nodiscard]] int active() const { return active_; }
  /// From the next run on `workers` work, at least 1 and at most workers(). Not while run is going on.
  void set_active(int workers);
  /// Returns when every task is done; rethrows the first exception.
  void run(int tasks, const std::function<void(int task, int worker)>& work);

 private:
  void fit_team();
  void stop();
  void serve(int worker, std::uint32_t seen);
  void take_tasks(int worker);

  const int workers_;
  int active_;
  std::vector<std::thread> threads_;  ///< of workers 1, 2, ...; started by the first run that wants them
  const std::function<void(int, int)>* work_ = nullptr;
  int tasks_ = 0;
  std::atomic<int> next_{0};
  std::atomic<std::uint32_t> generation_{0};  ///< changes when there is work, or when it is time to stop
  std::atomic<int> busy_{0};                  ///< threads that have not finished this generation
  std::atomic<bool> stop_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

}  // namespace normlab
