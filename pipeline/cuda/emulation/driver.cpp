// The part of CUDA's driver API that pipeline/cuda uses, with kernels that run on the CPU.
//
// It is as unhelpful as a card may be: a stream does nothing before somebody waits for it, memory
// begins with what means nothing (NaN) and ends where a page begins that nobody may touch.
// What functions take and return is as of the CUDA Driver API's manual.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

typedef unsigned Half2;
#include "emulation.h"

namespace emulation {

Block::Block(Index size, std::function<void()> body, int order)
    : size_(size), body_(std::move(body)) {
  const unsigned count = size.x * size.y * size.z;
  fibers_.resize(count), warps.resize((count + 31) / 32), turns_.resize(count);
  stacks_.reset(new char[count * STACK]);
  all.count = count;
  for (unsigned w = 0; w < warps.size(); ++w)
    warps[w].barrier.count = std::min(32u, count - 32 * w);
  for (unsigned i = 0; i < count; ++i) turns_[i] = order == 1 ? count - 1 - i : i;
  hasty_ = order > 2;
  unsigned random = 2654435761u * unsigned(order);
  for (unsigned i = count - 1; order > 1 && i > 0; --i) {
    random = random * 1664525u + 1013904223u;
    std::swap(turns_[i], turns_[(random >> 8) % (i + 1)]);
  }
}

void Block::enter() {
  for (;;) {  // a fiber takes its part in one block after the other
    block->body_();
    block->fibers_[block->now].ended = true, ++block->progress_;
    block->others();
  }
}

void Block::run(Index at) {
  index = at, left_ = unsigned(fibers_.size());
  for (Fiber& fiber : fibers_) fiber.ended = false;
  while (left_) {
    const unsigned before = progress_;
    if (!hasty_)
      for (const unsigned i : turns_) turn(i);
    else
      for (unsigned warp = 0; warp < warps.size(); ++warp)
        for (unsigned reached = ~progress_; reached != progress_;) {
          reached = progress_;
          for (const unsigned i : turns_)
            if (i / 32 == warp) turn(i);
        }
    if (progress_ == before)
      fputs("threads of a block wait for ones that never come\n", stderr), abort();
  }
}

void Block::turn(unsigned i) {
  Fiber& fiber = fibers_[i];
  if (fiber.ended) return;
  now = i, thread = {i % size_.x, i / size_.x % size_.y, i / size_.x / size_.y};
  if (!_setjmp(home_)) {
    if (fiber.begun) _longjmp(fiber.here, 1);
    fiber.begun = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = &stacks_[i * STACK], fiber.start.uc_stack.ss_size = STACK;
    makecontext(&fiber.start, enter, 0);
    swapcontext(&unused_, &fiber.start);
  }
  left_ -= fibers_[i].ended;
}

}  // namespace emulation

namespace {

using emulation::Block, emulation::Index, emulation::Kernel;
using Work = std::function<void()>;
using Clock = std::chrono::steady_clock;

enum Result { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

std::atomic<int> order{0};

struct Stream {
  std::vector<Work> waiting;
  std::vector<Work>* captured = nullptr;  // by the graph that is being made
  std::mutex mutex;

  void add(Work work) {
    const std::lock_guard<std::mutex> lock(mutex);
    (captured ? *captured : waiting).push_back(std::move(work));
  }
  void finish() {
    const std::lock_guard<std::mutex> lock(mutex);
    for (const Work& work : waiting) work();
    waiting.clear();
  }
};

struct Event {
  Clock::time_point time;
};

std::mutex streams_mutex;
std::set<Stream*> streams;

void finish_all() {
  const std::lock_guard<std::mutex> lock(streams_mutex);
  for (Stream* stream : streams) stream->finish();
}

// Memory whose last byte, or one of the 15 before it, is the last that may be touched.
struct Area {
  char* pages;
  size_t size;
};
std::mutex areas_mutex;
std::map<uint64_t, Area> areas;

constexpr size_t MEMORY = size_t(1) << 30;  // that the card has

uint64_t allocated(size_t bytes) {
  const size_t page = size_t(sysconf(_SC_PAGESIZE)), inner = (bytes + page - 1) / page * page;
  if (bytes > MEMORY) return 0;
  void* pages = mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return 0;
  char* first = static_cast<char*>(pages) + page;
  mprotect(first, inner, PROT_READ | PROT_WRITE);
  memset(first, 0xff, inner);
  const uint64_t address = reinterpret_cast<uint64_t>(first + inner - (bytes + 15) / 16 * 16);
  const std::lock_guard<std::mutex> lock(areas_mutex);
  areas[address] = {static_cast<char*>(pages), inner + 2 * page};
  return address;
}

void freed(uint64_t address) {
  const std::lock_guard<std::mutex> lock(areas_mutex);
  const auto found = areas.find(address);
  if (found == areas.end()) return;
  munmap(found->second.pages, found->second.size);
  areas.erase(found);
}

void run(const Kernel& kernel, Index grid, Index size, const std::vector<void*>& arguments) {
  std::atomic<unsigned> next{0};
  const unsigned count = grid.x * grid.y * grid.z;
  const auto work = [&] {
    Block mine(
        size, [&] { kernel.call(arguments.data()); }, order);
    emulation::block = &mine;
    for (unsigned i; (i = next++) < count;)
      mine.run({i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y});
  };
  const unsigned threads = std::min(count, std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

// Of the emulation alone: in which order threads of a block have their turns: 0 as they are
// numbered, 1 backwards, 2 shuffled; 3 and others shuffled, and each warp goes as far as it can
// before another has its turn.
API emulation_order(int wanted) { return order = wanted, OK; }

API cuInit(unsigned) { return OK; }
API cuDriverGetVersion(int* version) { return *version = 13000, OK; }
API cuDeviceGet(int* device, int) { return *device = 0, OK; }
API cuDeviceGetName(char* name, int size, int) {
  return snprintf(name, size_t(size), "emulated"), OK;
}
API cuDeviceGetAttribute(int* value, int attribute, int) {
  return *value = attribute == 75 ? 8 : 0, OK;  // compute capability 8.0
}
API cuDevicePrimaryCtxRetain(void** context, int) { return *context = &streams, OK; }
API cuCtxSetCurrent(void*) { return OK; }
API cuGetErrorString(int error, const char** text) {
  return *text = error == OUT_OF_MEMORY ? "out of memory" : "invalid", OK;
}
API cuModuleLoadData(void** module, const void*) { return *module = &order, OK; }
API cuModuleGetFunction(void** function, void*, const char* name) {
  const auto found = emulation::kernels().find(name);
  if (found == emulation::kernels().end()) return NOT_FOUND;
  return *function = &found->second, OK;
}
API cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  return (*address = allocated(bytes)) ? OK : OUT_OF_MEMORY;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
  *total = *free = MEMORY;
  const std::lock_guard<std::mutex> lock(areas_mutex);
  for (const auto& [address, area] : areas) *free -= std::min(*free, area.size);
  return OK;
}
API cuMemFree_v2(uint64_t address) { return finish_all(), freed(address), OK; }
API cuMemHostAlloc(void** address, size_t bytes, unsigned) {
  return (*address = reinterpret_cast<void*>(allocated(bytes))) ? OK : OUT_OF_MEMORY;
}
API cuMemFreeHost(void* address) {
  return finish_all(), freed(reinterpret_cast<uint64_t>(address)), OK;
}
API cuStreamCreate(void** stream, unsigned) {
  const std::lock_guard<std::mutex> lock(streams_mutex);
  return *stream = *streams.insert(new Stream).first, OK;
}
API cuStreamDestroy_v2(Stream* stream) {
  stream->finish();
  const std::lock_guard<std::mutex> lock(streams_mutex);
  return streams.erase(stream), delete stream, OK;
}
API cuStreamSynchronize(Stream* stream) { return stream->finish(), OK; }
API cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, Stream* stream) {
  return stream->add([=] { memcpy(reinterpret_cast<void*>(to), from, bytes); }), OK;
}
API cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, Stream* stream) {
  return stream->add([=] { memcpy(to, reinterpret_cast<void*>(from), bytes); }), OK;
}
API cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, Stream* stream) {
  return stream->add(
             [=] { memcpy(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes); }),
         OK;
}
API cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, Stream* stream) {
  return stream->add([=] { memset(reinterpret_cast<void*>(to), value, bytes); }), OK;
}
API cuLaunchKernel(const Kernel* kernel, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned, Stream* stream, void** arguments, void**) {
  if (!gx || !gy || !gz || bx * by * bz > 1024 || bx * by * bz % 32) return INVALID_VALUE;
  std::vector<std::vector<char>> values;  // as they are now
  for (size_t i = 0; i < kernel->sizes.size(); ++i) {
    const char* from = static_cast<const char*>(arguments[i]);
    values.emplace_back(from, from + kernel->sizes[i]);
  }
  stream->add([=] {
    std::vector<void*> pointers;
    for (const auto& value : values) pointers.push_back(const_cast<char*>(value.data()));
    run(*kernel, {gx, gy, gz}, {bx, by, bz}, pointers);
  });
  return OK;
}
API cuStreamBeginCapture_v2(Stream* stream, int) {
  return stream->captured = new std::vector<Work>, OK;
}
API cuStreamEndCapture(Stream* stream, void** graph) {
  return *graph = stream->captured, stream->captured = nullptr, OK;
}
API cuGraphInstantiateWithFlags(void** ready, const std::vector<Work>* graph, uint64_t) {
  return *ready = new std::vector<Work>(*graph), OK;
}
API cuGraphDestroy(std::vector<Work>* graph) { return delete graph, OK; }
API cuGraphExecDestroy(std::vector<Work>* graph) { return finish_all(), delete graph, OK; }
API cuGraphLaunch(const std::vector<Work>* graph, Stream* stream) {
  return stream->add([=] {
    for (const Work& work : *graph) work();
  }),
         OK;
}
API cuEventCreate(void** event, unsigned) { return *event = new Event, OK; }
API cuEventDestroy_v2(Event* event) { return delete event, OK; }
API cuEventRecord(Event* event, Stream* stream) {
  return stream->add([=] { event->time = Clock::now(); }), OK;
}
API cuEventSynchronize(Event*) { return finish_all(), OK; }
API cuEventElapsedTime(float* milliseconds, const Event* from, const Event* to) {
  *milliseconds = std::chrono::duration<float, std::milli>(to->time - from->time).count();
  return OK;
}
