// Memory for numbers: aligned to cache lines, zero at first, in large pages where it is large.
#pragma once

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
  ~Numbers() { release(data_); }
  Numbers(Numbers&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  Numbers& operator=(Numbers&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }

  // Makes room for `count` numbers, all zero; what was there is gone.
  void resize(Index count) {
    if (count < 0 || count > std::numeric_limits<Index>::max() / 16) throw std::bad_alloc();
    release(data_);
    data_ = nullptr;
    count_ = 0;
    if (count == 0) return;
    const std::size_t page = std::size_t{1} << 21;
    std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    const std::size_t alignment = bytes >= 2 * page ? page : kAlignment;
    bytes = (bytes + alignment - 1) / alignment * alignment;
    void* memory = nullptr;
#if defined(_WIN32)
    memory = _aligned_malloc(bytes, alignment);
#else
    if (posix_memalign(&memory, alignment, bytes) != 0) memory = nullptr;
#endif
    if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == page) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    std::memset(memory, 0, bytes);
    data_ = static_cast<T*>(memory);
    count_ = count;
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  Index size() const { return count_; }

 private:
  static void release(void* memory) {
#if defined(_WIN32)
    _aligned_free(memory);
#else
    std::free(memory);
#endif
  }

  T* data_ = nullptr;
  Index count_ = 0;
};

// a * b as an Index; std::bad_alloc where it would overflow.
inline Index product(Index a, Index b) {
  Index result = 0;
  if (__builtin_mul_overflow(a, b, &result)) throw std::bad_alloc();
  return result;
}

}  // namespace clearprop
