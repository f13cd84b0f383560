// Memory for numbers: aligned to cache lines, zero at first, in large pages where it is large.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "spec.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace clearprop {

template <class T>
class Numbers {
 public:
  Numbers() = default;
  explicit Numbers(Index count) { resize(count); }
  ~Numbers() { release(); }
  Numbers(Numbers&& other) noexcept { swap(other); }
  Numbers& operator=(Numbers&& other) noexcept {
    swap(other);
    return *this;
  }

  // Makes room for at least `count` numbers, if there is less: then all are zero, and what was there is gone.
  void grow(Index count) {
    if (count_ < count) resize(count);
  }

  // Makes room for `count` numbers, all zero; what was there is gone.
  void resize(Index count) {
    if (count < 0 || count > std::numeric_limits<Index>::max() / 16) throw std::bad_alloc();
    release();
    if (count == 0) return;
    std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
#if defined(__linux__)
    if (bytes >= 2 * kLargePage) {
      map(bytes);
      count_ = count;
      return;
    }
#endif
    void* memory = nullptr;
#if defined(_WIN32)
    memory = _aligned_malloc(bytes, kAlignment);
#else
    if (posix_memalign(&memory, kAlignment, bytes) != 0) memory = nullptr;
#endif
    if (memory == nullptr) throw std::bad_alloc();
    std::memset(memory, 0, bytes);
    data_ = static_cast<T*>(memory);
    count_ = count;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  Index size() const { return count_; }

 private:
  static constexpr std::size_t kLargePage = std::size_t{1} << 21;

#if defined(__linux__)
  // Fresh pages, which take no memory until they are written to; some arrays never are.
  void map(std::size_t bytes) {
    mapped_ = (bytes + kLargePage - 1) / kLargePage * kLargePage + kLargePage;
    void* memory = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      mapped_ = 0;
      throw std::bad_alloc();
    }
    base_ = memory;
    const auto at = reinterpret_cast<std::uintptr_t>(memory);
    data_ = reinterpret_cast<T*>((at + kLargePage - 1) / kLargePage * kLargePage);
    // Whole ones only: of one more, half would be lost.
    madvise(data_, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);
  }
#endif

  void release() {
#if defined(__linux__)
    if (mapped_ > 0) {
      munmap(base_, mapped_);
      data_ = nullptr;
    }
#endif
#if defined(_WIN32)
    _aligned_free(data_);
#else
    std::free(data_);
#endif
    data_ = nullptr;
    count_ = 0;
    base_ = nullptr;
    mapped_ = 0;
  }

  void swap(Numbers& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(base_, other.base_);
    std::swap(mapped_, other.mapped_);
  }

  T* data_ = nullptr;
  Index count_ = 0;
  void* base_ = nullptr;  // where the pages begin that data_ lies in
  std::size_t mapped_ = 0;
};

// a * b as an Index; std::bad_alloc where it would overflow.
inline Index product(Index a, Index b) {
  Index result = 0;
  if (__builtin_mul_overflow(a, b, &result)) throw std::bad_alloc();
  return result;
}

}  // namespace clearprop
