// The kernels of one instruction set as a table of functions; `kernels.cpp` is compiled once for each.
//
// Matrices are row-major with padded rows: (rows, row), `row` numbers apart. What each function computes is
// said where it is defined: products.hpp, zeros.hpp, few_rows.hpp, lanes.hpp, optimizers.hpp, activations.hpp,
// costs.hpp, layers.hpp.
#pragma once

#include "random.hpp"
#include "spec.hpp"

namespace clearprop {

enum class Begin : int { zero, bias };

template <class T>
struct RowsTask {
  const T* a;
  Index a_row, rows, depth;
  const T* panels;
  Index panel_depth, n;
  T* out;
  Index out_row;
  Begin begin;
};

// Rows that inference handles straight from theta; see few_rows.hpp.
constexpr Index kFewRows = 4;

template <class T>
struct FewRowsTask {
  const T* a;
  Index a_row, rows, depth;
  const T* W;  // (n, depth), row-major
  const T* b;  // (n), or null
  Index n;
  T* z;
  Index z_row;
};

// The rows of the next batch, whose cache lines are asked for a few at a time while this one is worked on.
struct Ahead {
  const char* X = nullptr;
  const char* y = nullptr;
  Index x_stride = 0, y_stride = 0, row_bytes = 0;
  const std::int64_t* which = nullptr;
  Index rows = 0, row = 0, byte = 0;
  Index per_tile = 0;  // cache lines for each tile of a gradient
};

// Internal to each file that includes it, so that each is compiled for its own instruction set.
static inline void ask_ahead(Ahead& ahead) {
  for (Index line = 0; line < ahead.per_tile && ahead.row < ahead.rows; ++line) {
    const Index example = ahead.which[ahead.row];
    if (ahead.byte == 0) __builtin_prefetch(ahead.y + example * ahead.y_stride);
    __builtin_prefetch(ahead.X + example * ahead.x_stride + ahead.byte);
    ahead.byte += static_cast<Index>(kAlignment);
    if (ahead.byte >= ahead.row_bytes) {
      ahead.byte = 0;
      ++ahead.row;
    }
  }
}

template <class T>
struct GradientTask {
  const T* a;
  Index a_row, rows, inputs;
  const T* delta;
  Index delta_row, n;
  double scale;
  T* gradient;  // written down here, or null: then `weights` and `biases` say how the parameters follow
  const StepNumbers* weights;
  const StepNumbers* biases;
  T* parameters;
  T* const* slots;
  Ahead* ahead;  // or null
};

// Where a matrix (rows, n) is not zero: for the products that leave its zeros out (zeros.hpp).
struct Nonzeros {
  std::uint32_t* columns = nullptr;  // of row x, in order, from columns + x * room; null: bits will do
  std::uint32_t* starts = nullptr;   // of row x and each block of columns in that list: blocks + 1 numbers
  std::uint64_t* bits = nullptr;     // of row x: one for each column, `words` words
  std::uint64_t* sets = nullptr;     // of each column: one bit for each row, row_words words
  Index room = 0, blocks = 0, words = 0, row_words = 0;
};

// Up to so many rows products take two rows at a time and go by their bits, without sets.
constexpr Index kPairedRows = 32;

// What lanes.hpp works on: a layer of a small network, matrices (units, width) with the examples in the lanes.
template <class T>
struct LanesLayer {
  Index n_in, n_out;
  const Activation* activation;
  const T* W;
  Index step_out, step_in;  // from the weight of one neuron, of one input, to that of the next
  const T* b;               // or null
};

// Rows of a matrix by index, and how many after them will be read next.
template <class T>
struct LanesRows {
  const T* X;
  Index x_row, n;
  const std::int64_t* which;
  Index rows, ahead;
};

template <class T>
struct LanesBatch {
  const T *z, *a, *y, *weights;  // weights: (width), or null
  T* delta;
  Index rows, n, width;
};

// A sum over the examples for each weight: of the errors times the inputs, one of which is the fast side.
template <class T>
struct LanesGradient {
  const T* slow;
  const T* fast;
  Index n_slow, n_fast, rows, width;
  T* into;     // (n_slow, n_fast): a vector each of lanes_sums, a number each of lanes_by_rows
  bool first;  // lanes_sums: the sums begin here, else they go on
  double scale;
  T* room;  // lanes_by_rows: (width) vectors
};

template <class T>
struct Kernels {
  int lanes;
  int panel;  // neurons of a full panel
  Index (*panel_count)(Index n);
  Index (*panel_numbers)(Index n, Index depth);
  Index (*tile_count)(Index rows);
  Index (*tile_begin)(Index rows, Index tile);

  void (*pack)(const T* W, const T* b, Index n, Index depth, T* panels);
  void (*unpack)(const T* panels, Index n, Index depth, T* W, T* b);
  void (*transpose)(const T* panels, Index n, Index inputs, T* transposed, Index panel0, Index panel1);
  void (*rows_product)(const RowsTask<T>&, Index tile0, Index tile1, Index panel0, Index panel1);
  bool (*uses_at_once)(const StepNumbers&);
  void (*gradient_product)(const GradientTask<T>&, Index tile0, Index tile1, Index panel0, Index panel1);
  // The same for an `a` with many zeros.
  Index zeros_block;  // columns of a block of Nonzeros
  Index (*find_nonzeros)(const T* a, Index a_row, Index n, const Nonzeros& to, Index row0, Index row1);
  void (*rows_product_of_nonzeros)(const RowsTask<T>&, const Nonzeros&, Index row0, Index row1);
  void (*rows_of_inputs)(const Nonzeros&, Index rows, Index input0, Index input1);
  void (*gradient_of_nonzeros)(const GradientTask<T>&, const Nonzeros&, Index input0, Index input1,
                               Index panel0, Index panel1);
  bool (*descends)(const StepNumbers&);
  void (*few_rows_product)(const FewRowsTask<T>&);
  bool (*all_finite)(const T* x, Index count);
  // One example: its update by plain SGD, and z of the next example, in one pass over the weights.
  void (*update_and_forward)(const GradientTask<T>&, const T* next, bool biases, T* z);
  // Parameters of a Dense layer from its gradient in memory: panels [panel0, panel1).
  void (*update_panels)(const StepNumbers& weights, const StepNumbers& biases, T* w, T* const* slots,
                        const T* gradient, Index n, Index inputs, Index panel0, Index panel1);
  void (*update)(const StepNumbers&, T* w, T* const* slots, const T* gradient, Index begin, Index end);
  void (*limit_norms)(T* panels, Index n, Index inputs, double limit);
  double (*square_sum)(const T* x, Index count);
  void (*scale)(T* x, Index count, double factor);
  void (*clip)(T* x, Index count, double limit);
  void (*add)(const T* x, T* sum, Index count);
  void (*gather)(const T* X, Index x_row, const std::int64_t* which, Index rows, Index n, T* out, Index row);
  void (*add_penalty)(const StepNumbers&, const T* w, T* gradient, Index begin, Index end);

  void (*activation_forward)(const Activation&, const T* alpha, const T* z, T* a, Index rows, Index n,
                             Index row);
  void (*activation_backward)(const Activation&, const T* alpha, const T* z, const T* a, T* delta,
                              T* alpha_rows, Index rows, Index n, Index row);
  void (*cost_and_error)(const Cost&, const T* z, const T* a, const T* y, const T* weights, T* delta,
                         double* values, Index rows, Index n, Index row);
  Index (*count_correct)(Rule, double middle, const T* a, const T* y, Index rows, Index n, Index row);

  void (*dropout_mask)(const Stream&, const std::int64_t* examples, double rate, bool alpha, T* mask,
                       Index rows, Index n, Index row);
  // The first n 64-bit numbers of a stream; room for whole vectors.
  void (*random_numbers)(const Stream&, std::uint64_t* numbers, Index n);
  void (*dropout_forward)(const T* a_prev, const T* mask, double rate, bool alpha, T* a, Index rows, Index n,
                          Index row);
  void (*dropout_backward)(const T* mask, const T* dC_da, T* dC_da_prev, bool add, Index rows, Index n,
                           Index row);
  void (*batch_norm_statistics)(const T* a_prev, T* mean, T* variance, Index rows, Index c0, Index c1,
                                Index row);
  void (*batch_norm_running)(T* running_mean, T* running_variance, const T* mean, const T* variance,
                             double momentum, Index c0, Index c1);
  void (*norm_columns_forward)(const T* a_prev, const T* mean, const T* variance, double epsilon,
                               const T* gamma, const T* beta, T* x_hat, T* a, Index rows, Index c0, Index c1,
                               Index row);
  void (*norm_columns_backward)(const T* dC_da, const T* x_hat, const T* variance, double epsilon,
                                const T* gamma, bool batch_statistics, T* dC_dgamma, T* dC_dbeta,
                                T* dC_da_prev, bool add, Index rows, Index c0, Index c1, Index row);
  void (*layer_norm_forward)(const T* a_prev, double epsilon, const T* gamma, const T* beta, T* x_hat, T* a,
                             T* mean, T* variance, Index rows, Index n, Index row);
  void (*layer_norm_backward)(const T* dC_da, const T* x_hat, const T* variance, double epsilon,
                              const T* gamma, T* dC_da_prev, bool add, Index rows, Index n, Index row);
  void (*layer_norm_parameters)(const T* dC_da, const T* x_hat, T* dC_dgamma, T* dC_dbeta, Index rows,
                                Index n, Index row);

  void (*lanes_gather)(const LanesRows<T>&, T* out, Index width);
  void (*lanes_rows)(const T* lanes, Index width, Index rows, Index n, T* out);
  void (*lanes_forward)(const LanesLayer<T>&, const T* a_prev, T* z, T* a, Index width);
  void (*lanes_back)(const LanesLayer<T>&, const T* delta, const T* rectified, T* into, Index width);
  void (*lanes_slope)(const Activation&, const T* z, const T* a, T* delta, Index n, Index width);
  void (*lanes_sums)(const LanesGradient<T>&);
  void (*lanes_by_rows)(const LanesGradient<T>&);
  void (*lanes_bias_sums)(const T* delta, Index n, Index width, T* sums, bool first);
  void (*lanes_total)(const T* sums, Index count, double scale, T* gradient);
  double (*lanes_cost)(const Cost&, const LanesBatch<T>&);
  Index (*lanes_correct)(Rule, double middle, const LanesBatch<T>&);
};

// The instruction sets this library was built with and this processor has, the fastest first.
struct InstructionSet {
  const char* name;
  const Kernels<float>* float_kernels;
  const Kernels<double>* double_kernels;
};
const InstructionSet* instruction_sets(int* count);

template <class T>
const Kernels<T>& kernels_of(const InstructionSet& set);
template <>
inline const Kernels<float>& kernels_of<float>(const InstructionSet& set) {
  return *set.float_kernels;
}
template <>
inline const Kernels<double>& kernels_of<double>(const InstructionSet& set) {
  return *set.double_kernels;
}

}  // namespace clearprop
