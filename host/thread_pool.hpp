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

/// A fixed team of workers; the caller is worker 0. Tasks are taken in order by whoever is free.
class ThreadPool {
 public:
  explicit ThreadPool(int workers);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int workers() const { return static_cast<int>(threads_.size()) + 1; }
  /// Returns when every task is done; rethrows the first exception.
  void run(int tasks, const std::function<void(int task, int worker)>& work);

 private:
  void stop();
  void serve(int worker);
  void take_tasks(int worker);

  std::vector<std::thread> threads_;
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
