#include "permutation.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace clearprop {

namespace {

// The highest bits of a key with the index below them: one number to sort by. Where the highest bits of two
// keys are equal, the keys themselves decide afterwards.
constexpr int kIndexBits = 28;
constexpr int kDigitBits = 11;
constexpr Index kKept = Index{1} << 20;

using Number = std::uint64_t;

int bits_for(Index n) {
  int bits = 0;
  while ((Index{1} << bits) < n) ++bits;
  return bits;
}

// For numbers few of which are out of order.
void insertion_sort(Number* numbers, Index n) {
  for (Index i = 1; i < n; ++i) {
    const Number number = numbers[i];
    Index j = i;
    for (; j > 0 && numbers[j - 1] > number; --j) numbers[j] = numbers[j - 1];
    numbers[j] = number;
  }
}

// Sorts by the highest bits, a digit at a time from the lowest of them, between two arrays; returns the one
// that holds the result.
std::vector<Number>& sort_highest(std::vector<Number>& numbers, std::vector<Number>& spare) {
  // Three bits more than tell n numbers apart: few stay out of order.
  const int bits = std::min(64 - kIndexBits, bits_for(static_cast<Index>(numbers.size())) + 3);
  const int passes = (bits + kDigitBits - 1) / kDigitBits, digit = (bits + passes - 1) / passes;
  std::vector<Number>*from = &numbers, *to = &spare;
  for (int pass = passes - 1; pass >= 0; --pass) {
    const int shift = 64 - digit * (pass + 1);
    const Number mask = (Number{1} << digit) - 1;
    std::vector<std::uint32_t> place(std::size_t{1} << digit, 0);
    for (const Number number : *from) ++place[(number >> shift) & mask];
    std::uint32_t begin = 0;
    for (std::uint32_t& count : place) begin += std::exchange(count, begin);
    for (const Number number : *from) (*to)[place[(number >> shift) & mask]++] = number;
    std::swap(from, to);
  }
  return *from;
}

}  // namespace

void sort_by_key(const std::uint64_t* keys, Index n, std::int64_t* order) {
  const auto before = [keys](std::int64_t i, std::int64_t j) {
    return keys[i] != keys[j] ? keys[i] < keys[j] : i < j;
  };
  if (n >= Index{1} << kIndexBits) {
    for (Index i = 0; i < n; ++i) order[i] = i;
    std::sort(order, order + n, before);
    return;
  }
  const Number low = (Number{1} << kIndexBits) - 1;
  // Kept from epoch to epoch where they are small: fresh pages would cost as much as the sorting. For one
  // caller at a time, who comes meanwhile makes its own. Never freed: a thread may outlive the end of main.
  static std::mutex in_use;
  static auto* const kept = new std::vector<Number>[2];
  std::unique_lock<std::mutex> lock(in_use, std::defer_lock);
  std::vector<Number> own[2];
  std::vector<Number>* memory = n <= kKept && lock.try_lock() ? kept : own;
  std::vector<Number>&numbers = memory[0], &spare = memory[1];
  numbers.resize(static_cast<std::size_t>(n));
  spare.resize(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) {
    numbers[static_cast<std::size_t>(i)] = (keys[i] & ~low) | static_cast<Number>(i);
  }
  std::vector<Number>& sorted = sort_highest(numbers, spare);
  insertion_sort(sorted.data(), n);
  for (Index i = 0; i < n; ++i)
    order[i] = static_cast<std::int64_t>(sorted[static_cast<std::size_t>(i)] & low);
  for (Index i = 1; i < n; ++i) {
    const auto tied = [&](Index j) {
      return sorted[static_cast<std::size_t>(j)] >> kIndexBits ==
             sorted[static_cast<std::size_t>(i)] >> kIndexBits;
    };
    for (Index j = i; j > 0 && tied(j - 1) && before(order[j], order[j - 1]); --j) {
      std::swap(order[j], order[j - 1]);
    }
  }
}

}  // namespace clearprop
