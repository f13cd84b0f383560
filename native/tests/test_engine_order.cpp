// The order of an epoch against a stable sort, with keys that tie as no random keys do.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <vector>

#include "../permutation.hpp"

using namespace clearprop;
using std::vector;

static int failures = 0;

static void check(bool good, const char* what, Index n) {
  if (!good && ++failures <= 20) std::printf("FAILED: %s of %ld keys\n", what, static_cast<long>(n));
}

static void test_order(Index n, std::uint64_t kept) {
  vector<std::uint64_t> keys(static_cast<std::size_t>(n));
  std::uint64_t state = 88172645463325252ull;  // Marsaglia's xorshift64
  for (std::uint64_t& key : keys) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    key = state & kept;
  }
  vector<std::int64_t> want(keys.size()), got(keys.size() + 1, -7);
  std::iota(want.begin(), want.end(), 0);
  std::stable_sort(want.begin(), want.end(), [&](std::int64_t i, std::int64_t j) {
    return keys[static_cast<std::size_t>(i)] < keys[static_cast<std::size_t>(j)];
  });
  sort_by_key(keys.data(), n, got.data());
  check(got.back() == -7, "a number after the end of the order", n);
  got.pop_back();
  check(got == want, "the order", n);
}

int main() {
  const std::uint64_t all = ~0ull, high = all << 30, low = (1ull << 20) - 1, few = 3ull << 50;
  for (const Index n : {0, 1, 2, 3, 100, 1000, 65535, 65536, 65537, 300000}) test_order(n, all);
  for (const std::uint64_t kept : {high, low, few, std::uint64_t{0}}) test_order(2000, kept);
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
