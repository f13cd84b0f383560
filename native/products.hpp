// The three matrix products of a Dense layer, on weights that lie in panels.
//
//   forward        z = a_prev W^T + b           rows of the batch times columns of a panel
//   back           dC_da_prev = delta W         the same product on the transposed panels
//   gradient       dC_dW = (1/n) delta^T a_prev rows are inputs, summed over the batch
//
// A panel holds kPanel neurons: row k has the weights from input k to each of them, and the last row their
// biases, so that every product reads whole vectors side by side. The last panel of a layer is one vector
// wide where that is enough.
//
// All three are one loop: a tile of the result stays in registers while a row of the panel is multiplied by
// one number per row of the tile. The tiles of a product are a function of its shape alone, never of the
// number of threads, so each number of the result is summed in one order.
#pragma once

#include <utility>

#include "kernels.hpp"
#include "simd.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {

template <class T>
constexpr int kPanel = 2 * kLanes<T>;

// Rows of a tile: as many accumulators as leave registers for two vectors of the panel and one number.
constexpr int kTileRows = kRegisters == 32 ? 14 : 6;

template <class T>
CLEARPROP_INLINE Index panel_count(Index n) {
  return (n + kPanel<T> - 1) / kPanel<T>;
}

template <class T>
CLEARPROP_INLINE int panel_width(Index n, Index p) {
  return n - p * kPanel<T> > kLanes<T> ? kPanel<T> : kLanes<T>;
}

// Numbers that the panels of a layer take: (inputs + 1) rows for the biases.
template <class T>
CLEARPROP_INLINE Index panel_numbers(Index n, Index depth) {
  const Index last = panel_count<T>(n) - 1;
  return depth * (last * kPanel<T> + panel_width<T>(n, last));
}

// Even tiles of at most kTileRows rows.
struct Tiles {
  Index rows, count;
  explicit CLEARPROP_INLINE Tiles(Index rows_) : rows(rows_), count((rows_ + kTileRows - 1) / kTileRows) {}
  CLEARPROP_INLINE Index begin(Index i) const { return rows * i / count; }
};

// c[i][j] += sum over k of a[i][k] * b[k][j]. Row i of a begins at a + i * a_row; kAlongRow says that a_row
// is 1, so that the numbers of one k lie side by side.
template <class T, int kRows, int kVectors, bool kAlongRow>
CLEARPROP_INLINE void multiply_add(const T* a, Index a_row, Index a_step, const T* b, Index b_step,
                                   Index depth, Vec<T> (&c)[kRows][kVectors]) {
  // Groups of three rows from one pointer: more pointers than registers would be read from the stack.
  constexpr int kGroups = (kRows + 2) / 3;
  const char* group[kGroups];
  const Index row = kAlongRow ? static_cast<Index>(sizeof(T)) : a_row * static_cast<Index>(sizeof(T));
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; ++g) group[g] = reinterpret_cast<const char*>(a) + 3 * g * row;
  const Index step = a_step * static_cast<Index>(sizeof(T));
  const Index b_bytes = b_step * static_cast<Index>(sizeof(T));
  const char* panel = reinterpret_cast<const char*>(b);
  for (Index k = 0; k < depth; ++k) {
    Vec<T> w[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) w[j] = load(reinterpret_cast<const T*>(panel) + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const T* p = kAlongRow ? reinterpret_cast<const T*>(group[0]) + i
                             : reinterpret_cast<const T*>(group[i / 3] + (i % 3) * row);
      const Vec<T> x = splat(*p);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) c[i][j] = fused<T>(x, w[j], c[i][j]);
    }
    panel += b_bytes;
#pragma GCC unroll 8
    for (int g = 0; g < (kAlongRow ? 1 : kGroups); ++g) group[g] += step;
  }
}

// The same for few rows: kCopies sums over every kCopies-th k, so that additions need not wait for one another.
template <class T, int kRows, int kVectors, bool kAlongRow>
CLEARPROP_INLINE void tile_sum(const T* a, Index a_row, Index a_step, const T* b, Index b_step, Index depth,
                               Vec<T> (&c)[kRows][kVectors]) {
  constexpr int kCopies = kRows * kVectors >= 8 ? 1 : kRows * kVectors >= 4 ? 2 : 4;
  if constexpr (kCopies == 1) {
    multiply_add<T, kRows, kVectors, kAlongRow>(a, a_row, a_step, b, b_step, depth, c);
  } else {
    if (depth < 2 * kCopies) {
      multiply_add<T, kRows, kVectors, kAlongRow>(a, a_row, a_step, b, b_step, depth, c);
      return;
    }
    Vec<T> more[kCopies - 1][kRows][kVectors] = {};
    const Index row = kAlongRow ? 1 : a_row;
    Index k = 0;
    for (; k + kCopies <= depth; k += kCopies) {
#pragma GCC unroll 4
      for (int u = 0; u < kCopies; ++u) {
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) {
          const Vec<T> w = load(b + u * b_step + j * kLanes<T>);
#pragma GCC unroll 4
          for (int i = 0; i < kRows; ++i) {
            Vec<T>& sum = u == 0 ? c[i][j] : more[u == 0 ? 0 : u - 1][i][j];
            sum = fused<T>(splat(a[i * row + u * a_step]), w, sum);
          }
        }
      }
      a += kCopies * a_step;
      b += kCopies * b_step;
    }
    multiply_add<T, kRows, kVectors, kAlongRow>(a, a_row, a_step, b, b_step, depth - k, c);
#pragma GCC unroll 4
    for (int u = 0; u < kCopies - 1; ++u) {
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) c[i][j] += more[u][i][j];
      }
    }
  }
}

// A square block of one vector each way: out[j][k] = in[k][j] for k < columns, j < neurons; beyond columns 0.
template <class T>
CLEARPROP_INLINE void transpose_block(const T* in, Index in_row, Index columns, T* out, Index out_row,
                                      Index neurons) {
  constexpr int kSize = kLanes<T>;
  Vec<T> row[kSize];
#pragma GCC unroll 16
  for (int k = 0; k < kSize; ++k) row[k] = k < columns ? load(in + k * in_row) : Vec<T>{};
  transpose_lanes<T>(row);
#pragma GCC unroll 16
  for (int j = 0; j < kSize; ++j) {
    if (j < neurons) store(out + j * out_row, row[j]);
  }
}

// z = a panels (+ biases): tiles [tile0, tile1) of the rows, panels [panel0, panel1) of the n columns.
template <class T, int kRows, int kVectors>
void rows_tile(const RowsTask<T>& p, Index first_row, const T* panel, Index column) {
  Vec<T> c[kRows][kVectors];
  T* out = p.out + first_row * p.out_row + column;
  if (p.begin == Begin::bias) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const Vec<T> bias = load(panel + p.depth * kVectors * kLanes<T> + j * kLanes<T>);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) c[i][j] = bias;
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) c[i][j] = Vec<T>{};
    }
  }
  tile_sum<T, kRows, kVectors, false>(p.a + first_row * p.a_row, p.a_row, 1, panel, kVectors * kLanes<T>,
                                      p.depth, c);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) store(out + i * p.out_row + j * kLanes<T>, c[i][j]);
  }
}

template <class T>
using RowsTile = void (*)(const RowsTask<T>&, Index, const T*, Index);

template <class T, int kVectors, int... kRows>
RowsTile<T> rows_tile_of(Index rows, std::integer_sequence<int, kRows...>) {
  static constexpr RowsTile<T> kTiles[] = {rows_tile<T, kRows + 1, kVectors>...};
  return kTiles[rows - 1];
}

template <class T>
void rows_product(const RowsTask<T>& p, Index tile0, Index tile1, Index panel0, Index panel1) {
  using Sizes = std::make_integer_sequence<int, kTileRows>;
  const Tiles tiles(p.rows);
  for (Index i = panel0; i < panel1; ++i) {
    const T* panel = p.panels + i * p.panel_depth * kPanel<T>;
    const bool wide = panel_width<T>(p.n, i) == kPanel<T>;
    for (Index t = tile0; t < tile1; ++t) {
      const Index row = tiles.begin(t), rows = tiles.begin(t + 1) - row;
      const RowsTile<T> tile = wide ? rows_tile_of<T, 2>(rows, Sizes{}) : rows_tile_of<T, 1>(rows, Sizes{});
      tile(p, row, panel, i * kPanel<T>);
    }
  }
}

// dC_dW = scale * delta^T a_prev, and dC_db = scale * sum of delta: tiles [tile0, tile1) of the inputs, the
// last of which (number tiles.count) is the row of the biases; panels [panel0, panel1) of the neurons.
template <class T>
struct GradientProduct {
  const T* a;
  Index a_row, rows, inputs;
  const T* delta;
  Index delta_row, n;
  T scale;
  Ahead* ahead;
};

// What becomes of a tile of the gradient: it is written down,
template <class T>
struct WriteDown {
  T* gradient;
  CLEARPROP_INLINE void weights(Index at, Vec<T> g) const { store(gradient + at, g); }
  CLEARPROP_INLINE void biases(Index at, Vec<T> g) const { store(gradient + at, g); }
  CLEARPROP_INLINE void expect(Index) const {}
};
// or an optimiser's rule uses it at once (optimizers.hpp).

template <class T, class Use, int kRows, int kVectors>
void gradient_tile(const GradientProduct<T>& p, const Use& shared, Index input, Index column, Index at) {
  const Use use = shared;
  Vec<T> c[kRows][kVectors] = {};
  // The weights that the rule will want, while the sums are made.
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) use.expect(at + i * kVectors * kLanes<T>);
  tile_sum<T, kRows, kVectors, true>(p.a + input, 1, p.a_row, p.delta + column, p.delta_row, p.rows, c);
  const Vec<T> scale = splat(p.scale);
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      use.weights(at + (i * kVectors + j) * kLanes<T>, c[i][j] * scale);
    }
  }
}

template <class T, class Use, int kVectors>
void bias_tile(const GradientProduct<T>& p, const Use& use, Index column, Index at) {
  Vec<T> c[kVectors] = {};
  for (Index x = 0; x < p.rows; ++x) {
    for (int j = 0; j < kVectors; ++j) c[j] += load(p.delta + x * p.delta_row + column + j * kLanes<T>);
  }
  const Vec<T> scale = splat(p.scale);
  for (int j = 0; j < kVectors; ++j) use.biases(at + j * kLanes<T>, c[j] * scale);
}

template <class T, class Use>
using GradientTile = void (*)(const GradientProduct<T>&, const Use&, Index, Index, Index);

template <class T, class Use, int kVectors, int... kRows>
GradientTile<T, Use> gradient_tile_of(Index rows, std::integer_sequence<int, kRows...>) {
  static constexpr GradientTile<T, Use> kTiles[] = {gradient_tile<T, Use, kRows + 1, kVectors>...};
  return kTiles[rows - 1];
}

template <class T, class Use>
void gradient_product(const GradientProduct<T>& p, const Use& use, Index tile0, Index tile1, Index panel0,
                      Index panel1) {
  using Sizes = std::make_integer_sequence<int, kTileRows>;
  const Tiles tiles(p.inputs);
  for (Index i = panel0; i < panel1; ++i) {
    const int width = panel_width<T>(p.n, i);
    const Index column = i * kPanel<T>, first = column * (p.inputs + 1);
    for (Index t = tile0; t < tile1; ++t) {
      if (t == tiles.count) {
        const Index at = first + p.inputs * width;
        width == kPanel<T> ? bias_tile<T, Use, 2>(p, use, column, at)
                           : bias_tile<T, Use, 1>(p, use, column, at);
        continue;
      }
      const Index input = tiles.begin(t), rows = tiles.begin(t + 1) - input;
      const GradientTile<T, Use> tile = width == kPanel<T> ? gradient_tile_of<T, Use, 2>(rows, Sizes{})
                                                           : gradient_tile_of<T, Use, 1>(rows, Sizes{});
      tile(p, use, input, column, first + input * width);
      if (p.ahead != nullptr) ask_ahead(*p.ahead);
    }
  }
}

// One example at a time: its update, and z of the next example, in one pass over the weights. The sums of z run
// in the order of `tile_sum` for one row, so that it does not matter who computes z.
template <class T, class Use, int kVectors>
void update_and_forward_panel(const GradientProduct<T>& p, const Use& shared, const T* next, bool biases,
                              Index column, Index at, const T* parameters, T* z) {
  const Use use = shared;
  const Vec<T> scale = splat(p.scale);
  const Index width = kVectors * kLanes<T>;
  Vec<T> delta[kVectors], total[4][kVectors] = {};
  for (int j = 0; j < kVectors; ++j) {
    const Index bias = at + p.inputs * width + j * kLanes<T>;
    delta[j] = load(p.delta + column + j * kLanes<T>);
    if (biases) use.biases(bias, delta[j] * scale);
    total[0][j] = load(parameters + bias);
  }
  const auto turn = [&](Index k, Vec<T>(&sums)[kVectors]) {
    const Vec<T> x = splat(p.a[k]), ahead = splat(next[k]);
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const Index place = at + k * width + j * kLanes<T>;
      use.weights(place, fused<T>(x, delta[j], Vec<T>{}) * scale);
      sums[j] = fused<T>(ahead, load(parameters + place), sums[j]);
    }
  };
  Index k = 0;
  if (p.inputs >= 8) {
    for (; k + 4 <= p.inputs; k += 4) {
#pragma GCC unroll 4
      for (int u = 0; u < 4; ++u) turn(k + u, total[u]);
    }
  }
  for (; k < p.inputs; ++k) turn(k, total[0]);
  for (int j = 0; j < kVectors; ++j) {
    store(z + column + j * kLanes<T>, ((total[0][j] + total[1][j]) + total[2][j]) + total[3][j]);
  }
}

template <class T, class Use>
void update_and_forward(const GradientProduct<T>& p, const Use& use, const T* next, bool biases,
                        const T* parameters, T* z) {
  for (Index i = 0; i < panel_count<T>(p.n); ++i) {
    const Index column = i * kPanel<T>, at = column * (p.inputs + 1);
    panel_width<T>(p.n, i) == kPanel<T>
        ? update_and_forward_panel<T, Use, 2>(p, use, next, biases, column, at, parameters, z)
        : update_and_forward_panel<T, Use, 1>(p, use, next, biases, column, at, parameters, z);
  }
}

// W (n, depth), row-major, and b (n) or null, into panels with a row for the biases; and back.
template <class T>
void pack(const T* W, const T* b, Index n, Index depth, T* panels) {
  constexpr Index kBlock = kLanes<T>;
  for (Index i = 0; i < panel_count<T>(n); ++i) {
    const Index width = panel_width<T>(n, i);
    T* panel = panels + i * kPanel<T> * (depth + 1);
    for (Index j0 = 0; j0 < width; j0 += kBlock) {
      const Index first = i * kPanel<T> + j0, left = n - first;
      const Index neurons = left < 0 ? 0 : left < kBlock ? left : kBlock;
      const T* weights = W + first * depth;
      Index k = 0;
      for (; k + kBlock <= depth && neurons > 0; k += kBlock) {
        transpose_block(weights + k, depth, neurons, panel + k * width + j0, width, kBlock);
      }
      for (; k < depth; ++k) {
        for (Index j = 0; j < kBlock; ++j)
          panel[k * width + j0 + j] = j < neurons ? weights[j * depth + k] : T(0);
      }
      for (Index j = 0; j < kBlock; ++j) {
        panel[depth * width + j0 + j] = j < neurons && b != nullptr ? b[first + j] : T(0);
      }
    }
  }
}

template <class T>
void unpack(const T* panels, Index n, Index depth, T* W, T* b) {
  constexpr Index kBlock = kLanes<T>;
  for (Index first = 0; first < n; first += kBlock) {
    const Index i = first / kPanel<T>, width = panel_width<T>(n, i);
    const Index neurons = n - first < kBlock ? n - first : kBlock;
    const T* panel = panels + i * kPanel<T> * (depth + 1) + first % kPanel<T>;
    T* weights = W + first * depth;
    Index k = 0;
    for (; k + kBlock <= depth; k += kBlock) {
      transpose_block(panel + k * width, width, kBlock, weights + k, depth, neurons);
    }
    for (; k < depth; ++k) {
      for (Index j = 0; j < neurons; ++j) weights[j * depth + k] = panel[k * width + j];
    }
    for (Index j = 0; b != nullptr && j < neurons; ++j) b[first + j] = panel[depth * width + j];
  }
}

// The panels of a layer's weights into the panels of their transpose (inputs as columns, neurons as depth,
// no biases): output panels [panel0, panel1).
template <class T>
void transpose(const T* panels, Index n, Index inputs, T* transposed, Index panel0, Index panel1) {
  constexpr Index kBlock = kLanes<T>;
  for (Index q = panel0; q < panel1; ++q) {
    const int out_width = panel_width<T>(inputs, q);
    T* out = transposed + q * kPanel<T> * n;
    for (Index j0 = 0; j0 < n; j0 += kBlock) {
      const Index i = j0 / kPanel<T>;
      const int width = panel_width<T>(n, i);
      const T* in = panels + i * kPanel<T> * (inputs + 1) + j0 % kPanel<T>;
      const Index neurons = n - j0 < kBlock ? n - j0 : kBlock;
      for (int k0 = 0; k0 < out_width; k0 += static_cast<int>(kBlock)) {
        const Index first = q * kPanel<T> + k0, left = inputs - first;
        const Index columns = left < 0 ? 0 : left < kBlock ? left : kBlock;
        transpose_block(in + first * width, width, columns, out + j0 * out_width + k0, out_width, neurons);
      }
    }
  }
}

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
