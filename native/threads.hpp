// A few threads that do the parts of one piece of work together.
//
// Work is cut by position, part i of `count`, never by who is free first: so which thread does what, and with
// it every sum, is fixed. Workers spin briefly for the next piece, then yield, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace clearprop {

// Flushes denormal numbers to zero on this thread while it lives; with `on` false keeps them meanwhile.
class FlushToZero {
 public:
  explicit FlushToZero(bool on = true);
  ~FlushToZero();
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;

 private:
  std::uint64_t before_;
};

class Threads {
 public:
  explicit Threads(int count);
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  int count() const { return count_; }

  // Runs body(part) for part = 0 … count - 1, part 0 on this thread; returns when all are done.
  template <class Body>
  void run(const Body& body) {
    if (count_ == 1) return body(0);
    start([](const void* context, int part) { (*static_cast<const Body*>(context))(part); }, &body);
  }

 private:
  using Call = void (*)(const void*, int);
  void start(Call call, const void* context);
  void work(int part);
  void end();

  const int count_;
  const unsigned born_;  // how often the process had forked: the child of a fork has no workers
  Call call_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<std::uint64_t> round_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> asleep_{0};
  std::atomic<bool> ending_{false};
  struct Sleep {
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<std::thread> workers;
  };
  std::unique_ptr<Sleep> sleep_ = std::make_unique<Sleep>();
};

// Processors this process may use (its affinity, where the system tells).
int available_processors();

}  // namespace clearprop
