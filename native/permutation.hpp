// The order of an epoch: the indices 0 … n-1 sorted by one 64-bit key each (clearprop/random.py).
#pragma once

#include <cstdint>

#include "spec.hpp"

namespace clearprop {

// Writes the indices into `order` so that their keys ascend; equal keys stay in the order of the index.
void sort_by_key(const std::uint64_t* keys, Index n, std::int64_t* order);

}  // namespace clearprop
