// The products of a Dense layer, shared among the threads of a machine, and without the zeros of an `a` that has
// many. Neither moves a bit of what the number of threads leaves: work is split over results, never over a sum.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"
#include "threads.hpp"

namespace clearprop {

// A product below this many operations is not worth waking another thread for.
constexpr double kParallelWork = 1.0e6;
// Bytes of a block of rows that stays in the second cache while the panels go by.
constexpr Index kBlockBytes = Index{1} << 19;

// Weights that do not stay in the second cache.
constexpr double kLargeWeights = 2.0e6;

inline Index part_begin(Index count, int part, int parts) { return count * part / parts; }

// Where one value is not zero in the batch at hand.
struct Zeros {
  Numbers<std::uint32_t> columns, starts;
  Numbers<std::uint64_t> bits;
  std::vector<std::uint64_t> sets;
  Nonzeros found;
  std::vector<Index> counts;  // of each thread's rows
  bool known = false;         // whether it was worth looking: else it is worked on densely
  double share = 1.0;         // of the numbers that are not zero

  // Room for the bits of so many rows (rows, n), and for their lists.
  void make_room(Index rows, Index n, Index block, bool lists = true) {
    found.room = n + 64;  // a list is written a little beyond its end
    found.blocks = (n + block - 1) / block;
    found.words = (n + 63) / 64;
    columns.grow(lists ? product(rows, found.room) : 0);
    starts.grow(lists ? product(rows, found.blocks + 1) : 0);
    bits.grow(product(rows, found.words));
    found.columns = lists ? columns.data() : nullptr;
    found.starts = starts.data();
    found.bits = bits.data();
  }

  // Room for the sets of rows; their bits beyond the rows are zero.
  void make_room_for_sets(Index rows) {
    found.row_words = (rows + 63) / 64;
    if (sets_for != rows)
      sets.assign(static_cast<std::size_t>(product(found.words * 64, found.row_words)), 0);
    sets_for = rows;
    found.sets = sets.data();
  }

 private:
  Index sets_for = 0;
};

template <class T>
struct SharedProducts {
  const Kernels<T>& k;
  Threads& pool;

  // n counts as whole vectors.
  int parts_for(Index rows, Index depth, Index n) const {
    const Index width = (n + k.lanes - 1) / k.lanes * k.lanes;
    const double work =
        2.0 * static_cast<double>(rows) * static_cast<double>(depth) * static_cast<double>(width);
    return pool.count() > 1 && work > kParallelWork ? pool.count() : 1;
  }

  // -- zeros ----------------------------------------------------------------------------------------

  // Up to which share of nonzeros leaving out the others is the faster way, for a product of this depth and
  // width. One to three vectors wait for their own sums, and what does not fit the second cache waits for the
  // third: they have less to gain.
  double worthwhile_share(Index depth, Index n) const {
    const Index vectors = (n + k.lanes - 1) / k.lanes;
    if (vectors < 4) return vectors >= 2 ? 0.4 : 0.15;
    return static_cast<double>(depth) * static_cast<double>(n) > kLargeWeights ? 0.4 : 0.55;
  }

  // Looks at the first rows of a; if they have zeros enough, finds those of the others, too. Without lists: for
  // products of at most kPairedRows rows only.
  void look_for_zeros(const T* a, Index a_row, Index rows, Index n, double worthwhile, Zeros& zeros,
                      bool lists = true) const {
    zeros.known = false;
    if (n == 0) return;
    const Index some = std::clamp<Index>(rows / 8, 1, 8);
    zeros.make_room(rows, n, k.zeros_block, lists);
    Index count = k.find_nonzeros(a, a_row, n, zeros.found, 0, some);
    if (static_cast<double>(count) > worthwhile * static_cast<double>(some * n)) return;
    zeros.counts.assign(static_cast<std::size_t>(pool.count()), 0);
    const int parts = parts_for(rows, n, 16);
    if (parts == 1) {
      count += k.find_nonzeros(a, a_row, n, zeros.found, some, rows);
    } else {
      pool.run([&](int part) {
        const Index row0 = some + part_begin(rows - some, part, parts);
        const Index row1 = some + part_begin(rows - some, part + 1, parts);
        zeros.counts[static_cast<std::size_t>(part)] = k.find_nonzeros(a, a_row, n, zeros.found, row0, row1);
      });
      for (const Index found : zeros.counts) count += found;
    }
    zeros.known = true;
    zeros.share = static_cast<double>(count) / static_cast<double>(rows * n);
  }

  bool leaves_out(const Zeros* zeros, Index depth, Index n) const {
    return zeros != nullptr && zeros->known && zeros->share <= worthwhile_share(depth, n);
  }

  // -- rows times panels ----------------------------------------------------------------------------

  // The product in blocks of rows, each handed to `then` while it is in the cache.
  template <class Then>
  void rows(const RowsTask<T>& task, const Zeros* zeros, const Then& then) const {
    const int parts = parts_for(task.rows, task.depth, task.n);
    if (leaves_out(zeros, task.depth, task.n)) return rows_of_nonzeros(task, *zeros, parts, then);
    const Index tiles = k.tile_count(task.rows), panels = k.panel_count(task.n);
    const auto blocks = [&](Index tile0, Index tile1) {
      const Index row_bytes = std::max<Index>(1, task.depth * static_cast<Index>(sizeof(T)));
      const Index per_tile = std::max<Index>(1, task.rows / tiles);
      const Index step = std::max<Index>(1, kBlockBytes / (row_bytes * per_tile));
      for (Index t = tile0; t < tile1; t += step) {
        const Index end = std::min(t + step, tile1);
        k.rows_product(task, t, end, 0, panels);
        then(k.tile_begin(task.rows, t), k.tile_begin(task.rows, end));
      }
    };
    if (parts == 1) return blocks(0, tiles);
    if (tiles >= 2 * parts) {
      pool.run([&](int part) { blocks(part_begin(tiles, part, parts), part_begin(tiles, part + 1, parts)); });
    } else {
      pool.run([&](int part) {
        k.rows_product(task, 0, tiles, part_begin(panels, part, parts), part_begin(panels, part + 1, parts));
      });
      then(0, task.rows);
    }
  }

  template <class Then>
  void rows_of_nonzeros(const RowsTask<T>& task, const Zeros& zeros, int parts, const Then& then) const {
    const Index row_bytes = std::max<Index>(1, (task.depth + task.n) * static_cast<Index>(sizeof(T)));
    const Index step = std::max<Index>(64, kBlockBytes / row_bytes);
    const auto blocks = [&](Index row0, Index row1) {
      for (Index x = row0; x < row1; x += step) {
        const Index end = std::min(x + step, row1);
        k.rows_product_of_nonzeros(task, zeros.found, x, end);
        then(x, end);
      }
    };
    if (parts == 1) return blocks(0, task.rows);
    pool.run([&](int part) {
      blocks(part_begin(task.rows, part, parts), part_begin(task.rows, part + 1, parts));
    });
  }

  // -- the gradient ---------------------------------------------------------------------------------

  void gradient(const GradientTask<T>& task, Zeros* zeros, bool biases) const {
    const Index tiles = k.tile_count(task.inputs), panels = k.panel_count(task.n);
    const int parts = parts_for(task.rows, task.inputs, task.n);
    if (leaves_out(zeros, task.inputs, task.n) && has_zeros_kernel(task, *zeros)) {
      gradient_of_nonzeros(task, *zeros, parts);
      if (biases) k.gradient_product(task, tiles, tiles + 1, 0, panels);
      return;
    }
    const Index end = tiles + (biases ? 1 : 0);
    const auto blocks = [&](Index tile0, Index tile1) {
      const Index per_tile = std::max<Index>(1, task.inputs / std::max<Index>(1, tiles));
      const Index tile_bytes = task.rows * per_tile * static_cast<Index>(sizeof(T));
      const Index step = std::max<Index>(1, kBlockBytes / tile_bytes);
      for (Index t = tile0; t < tile1; t += step) {
        k.gradient_product(task, t, std::min(t + step, tile1), 0, panels);
      }
    };
    if (parts == 1) return blocks(0, end);
    if (end >= 4 * parts || panels < parts) {
      pool.run([&](int part) { blocks(part_begin(end, part, parts), part_begin(end, part + 1, parts)); });
    } else {
      pool.run([&](int part) {
        k.gradient_product(task, 0, end, part_begin(panels, part, parts),
                           part_begin(panels, part + 1, parts));
      });
    }
  }

  // Above this share the gradient of at most kPairedRows rows is faster in dense tiles.
  static constexpr double kShareForFewRows = 0.35;

  // One example: only a rule that leaves alone what has no gradient.
  bool has_zeros_kernel(const GradientTask<T>& task, const Zeros& zeros) const {
    if (task.rows == 1) {
      return task.gradient == nullptr && k.descends(*task.weights) && k.descends(*task.biases);
    }
    return task.rows > kPairedRows || zeros.share < kShareForFewRows;
  }

  void gradient_of_nonzeros(const GradientTask<T>& task, Zeros& zeros, int parts) const {
    const Index panels = k.panel_count(task.n);
    if (task.rows == 1) return k.gradient_of_nonzeros(task, zeros.found, 0, task.inputs, 0, panels);
    const bool few = task.rows <= kPairedRows;
    const Index unit = few ? 64 : 8, units = (task.inputs + unit - 1) / unit;
    if (!few) zeros.make_room_for_sets(task.rows);
    const Index column_bytes = task.rows * static_cast<Index>(sizeof(T));
    const Index step = std::max<Index>(64, kBlockBytes / column_bytes / 64 * 64);
    const auto some = [&](Index unit0, Index unit1) {
      const Index input0 = unit * unit0, input1 = std::min(unit * unit1, task.inputs);
      if (!few) k.rows_of_inputs(zeros.found, task.rows, input0, input1);
      for (Index i = input0; i < input1; i += step) {
        k.gradient_of_nonzeros(task, zeros.found, i, std::min(i + step, input1), 0, panels);
      }
    };
    if (parts == 1) return some(0, units);
    pool.run([&](int part) { some(part_begin(units, part, parts), part_begin(units, part + 1, parts)); });
  }
};

}  // namespace clearprop
