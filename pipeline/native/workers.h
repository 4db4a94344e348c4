// for_all: a loop over independent pieces of work, shared among threads piece by piece.
//
// OpenMP waits for each of its threads at the end of every loop, even for one that never got a
// core; other work on two cores makes that milliseconds, dozens of times a frame. Here a thread
// that comes late finds nothing left to do, and nobody waits for it.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>

class Workers {
 public:
  static Workers& instance() {
    static Workers* workers = new Workers;  // never destroyed: its threads end with the process
    return *workers;
  }

  // Threads beside the caller's own; only grows.
  void resize(int helpers) {
    const std::lock_guard<std::mutex> one_at_a_time(mutex_);
    for (; helpers_ < helpers; ++helpers_) std::thread([this] { help(); }).detach();
  }

  void run(uint32_t count, void (*piece)(const void*, int64_t), const void* context) {
    const std::lock_guard<std::mutex> one_at_a_time(mutex_);
    if (alone_ > 0) {
      --alone_;
      for (uint32_t i = 0; i < count; ++i) piece(context, i);
      return;
    }
    piece_ = piece, context_ = context, count_ = count;
    done_.store(0);
    open_.store((uint64_t(++round_) << 32) | count);
    if (helpers_) open_.notify_all();
    take();
    // A helper that lost its core in the middle of a piece is waited for. On a busy machine that
    // would happen in every round: helpers are let off for some.
    const auto late = Clock::now() + std::chrono::milliseconds(4);
    while (done_.load() < count)
      if (Clock::now() > late) alone_ = 128;
  }

 private:
  using Clock = std::chrono::steady_clock;
  // The round and how many of its pieces nobody has taken. A piece is taken by counting down; until
  // it is done its round cannot end, so that what is read of the round stays true.
  std::atomic<uint64_t> open_{0};
  std::atomic<uint32_t> done_{0};
  void (*piece_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  uint32_t round_ = 0, count_ = 0;
  int helpers_ = 0, alone_ = 0;
  std::mutex mutex_;

  void take() {
    for (uint64_t open = open_.load(); uint32_t(open) != 0;)
      if (open_.compare_exchange_weak(open, open - 1)) {
        piece_(context_, count_ - uint32_t(open));
        done_.fetch_add(1);
        open = open_.load();
      }
  }

  void help() {
    for (;;) {
      take();
      const uint64_t seen = open_.load();
      // The next round is near. Yielding would give other work its whole time slice meanwhile.
      const auto until = Clock::now() + std::chrono::microseconds(100);
      while (open_.load() == seen && Clock::now() < until) {
      }
      open_.wait(seen);
    }
  }
};

template <class F> void for_all(int64_t count, const F& f) {
  Workers::instance().run(
      count, [](const void* g, int64_t i) { (*static_cast<const F*>(g))(i); }, &f);
}
