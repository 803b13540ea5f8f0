#include "host/cpu/thread_pool.hpp"

#include <algorithm>
#include <system_error>

#include "layers/error.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace normlab {

namespace {

/// Segments are some tens of microseconds apart: a short spin spares most of the trips to the kernel.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

template <typename T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    relax();
  }
  while (value.load(std::memory_order_acquire) == old) value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::set_active(int workers) {
  active_ = std::clamp(workers, 1, workers_);
}

void ThreadPool::fit_team() {
  if (static_cast<int>(threads_.size()) >= active_) stop();
  // No work is handed out here, so a new thread waits for the generation after this one.
  const std::uint32_t generation = generation_.load(std::memory_order_relaxed);
  try {
    while (static_cast<int>(threads_.size()) + 1 < active_) {
      const int worker = static_cast<int>(threads_.size()) + 1;
      threads_.emplace_back([this, worker, generation] { serve(worker, generation); });
    }
  } catch (const std::system_error& error) {
    throw Error("cannot start {} threads ({}); use fewer --threads", active_, error.code().message());
  }
}

void ThreadPool::stop() {
  stop_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  stop_ = false;
}

void ThreadPool::run(int tasks, const std::function<void(int task, int worker)>& work) {
  if (static_cast<int>(threads_.size()) + 1 != active_) fit_team();
  work_ = &work;
  tasks_ = tasks;
  next_.store(0, std::memory_order_relaxed);
  if (!threads_.empty() && tasks > 1) {
    busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    take_tasks(0);
    for (int busy = busy_.load(std::memory_order_acquire); busy != 0;
         busy = busy_.load(std::memory_order_acquire)) {
      wait_while(busy_, busy);
    }
  } else {
    take_tasks(0);
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::serve(int worker, std::uint32_t seen) {
  while (true) {
    wait_while(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    take_tasks(worker);
    busy_.fetch_sub(1, std::memory_order_release);
    busy_.notify_one();
  }
}

void ThreadPool::take_tasks(int worker) {
  try {
    for (int task = next_.fetch_add(1); task < tasks_; task = next_.fetch_add(1)) (*work_)(task, worker);
  } catch (...) {
    next_.store(tasks_);  // nobody starts another
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

}  // namespace normlab
