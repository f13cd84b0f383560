// Counter-based randomness: the names of streams, exactly as `clearprop/random.py` writes them down.
//
// The functions are static: every file has its own copies, so that none that was compiled for a newer
// instruction set is linked into code for an older machine.
#pragma once

#include "spec.hpp"

namespace clearprop {

// What random numbers are for. The numbers are part of every result and never change.
enum class Purpose : std::uint32_t {
  initial_weights = 1,
  epoch_order = 2,
  dropout = 3,
  data = 4,
  split = 5,
  check = 6,
  noise = 7,
};

// A fixed sequence of 2**66 random words; word 4 b + j is word j of the block with counter b.
struct Stream {
  std::uint32_t key0, key1, nonce2, nonce3;
};

// Four words: a counter, or what Philox makes of it.
struct Block {
  std::uint32_t word[4];
};

// Philox4x32 with 10 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
// SC11.
constexpr std::uint32_t kPhiloxM[2] = {0xD2511F53u, 0xCD9E8D57u};
constexpr std::uint32_t kPhiloxW[2] = {0x9E3779B9u, 0xBB67AE85u};
constexpr int kPhiloxRounds = 10;

static inline Block philox(Block c, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const std::uint64_t p = std::uint64_t{c.word[0]} * kPhiloxM[0];
    const std::uint64_t q = std::uint64_t{c.word[2]} * kPhiloxM[1];
    c = {{static_cast<std::uint32_t>(q >> 32) ^ c.word[1] ^ key0, static_cast<std::uint32_t>(q),
          static_cast<std::uint32_t>(p >> 32) ^ c.word[3] ^ key1, static_cast<std::uint32_t>(p)}};
    key0 += kPhiloxW[0];
    key1 += kPhiloxW[1];
  }
  return c;
}

// The stream named (seed, purpose, positions): CBC-MAC over Philox, with the number of positions in front.
static inline Stream stream(std::uint64_t seed, Purpose purpose, const std::uint64_t* positions,
                            Index count) {
  const auto low = [](std::uint64_t v) { return static_cast<std::uint32_t>(v); };
  const auto high = [](std::uint64_t v) { return static_cast<std::uint32_t>(v >> 32); };
  Block s = {{static_cast<std::uint32_t>(purpose), static_cast<std::uint32_t>(count), 0, 0}};
  s = philox(s, low(seed), high(seed));
  for (Index i = 0; i < count; i += 2) {
    const std::uint64_t p = positions[i];
    const std::uint64_t q = i + 1 < count ? positions[i + 1] : 0;
    s = {{s.word[0] ^ low(p), s.word[1] ^ high(p), s.word[2] ^ low(q), s.word[3] ^ high(q)}};
    s = philox(s, low(seed), high(seed));
  }
  return {s.word[0], s.word[1], s.word[2], s.word[3]};
}

// Words 4 b … 4 b + 3 of a stream. Unit u of example x, in a mask, is word 2**34 x + u: b = 2**32 x + u / 4.
static inline Block words(const Stream& s, std::uint64_t b) {
  const Block counter = {
      {static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(b >> 32), s.nonce2, s.nonce3}};
  return philox(counter, s.key0, s.key1);
}

}  // namespace clearprop
