// The kernels for the instruction set that this file is compiled for; see simd.hpp and kernels.hpp.
#include "kernels.hpp"

#include "activations.hpp"
#include "costs.hpp"
#include "few_rows.hpp"
#include "lanes.hpp"
#include "lanes_costs.hpp"
#include "lanes_gradient.hpp"
#include "layers.hpp"
#include "optimizers.hpp"
#include "products.hpp"
#include "vectors.hpp"
#include "zeros.hpp"
#include "zeros_gradient.hpp"

namespace clearprop {
namespace CLEARPROP_ISA {
namespace {

template <class T>
Index tile_count(Index rows) {
  return Tiles(rows).count;
}

template <class T>
Index tile_begin(Index rows, Index tile) {
  return Tiles(rows).begin(tile);
}

template <class T>
Index count_of_panels(Index n) {
  return panel_count<T>(n);
}

template <class T>
Index numbers_of_panels(Index n, Index depth) {
  return panel_numbers<T>(n, depth);
}

template <class T>
GradientProduct<T> product_of(const GradientTask<T>& t) {
  return {t.a, t.a_row, t.rows, t.inputs, t.delta, t.delta_row, t.n, T(t.scale), t.ahead};
}

// Calls run(use) with what becomes of the gradient.
template <class T, class Run>
void with_use(const GradientTask<T>& t, const Run& run) {
  if (t.gradient != nullptr) return run(WriteDown<T>{t.gradient});
  if (descends(*t.weights) && descends(*t.biases)) {
    return run(Descend<T>{splat(T(t.weights->rate)), splat(T(t.biases->rate)), t.parameters});
  }
  const Constants<T> weights(*t.weights), biases(*t.biases);
  const auto apply = [&](auto rule, auto plain) {
    run(UseAtOnce<T, decltype(rule), decltype(plain)::value>{
        weights, biases, t.parameters, {t.slots[0], t.slots[1], t.slots[2]}});
  };
  if (t.weights->rule == UpdateRule::sgd) {
    apply(SGDRule<T>{}, std::false_type{});
  } else {
    weights.plain() ? apply(AdamRule<T, false>{}, std::true_type{})
                    : apply(AdamRule<T, false>{}, std::false_type{});
  }
}

template <class T>
void run_gradient(const GradientTask<T>& t, Index tile0, Index tile1, Index panel0, Index panel1) {
  with_use(t,
           [&](const auto& use) { gradient_product<T>(product_of(t), use, tile0, tile1, panel0, panel1); });
}

template <class T>
void run_gradient_of_nonzeros(const GradientTask<T>& t, const Nonzeros& found, Index input0, Index input1,
                              Index panel0, Index panel1) {
  with_use(t, [&](const auto& use) {
    gradient_of_nonzeros<T>(product_of(t), found, use, input0, input1, panel0, panel1);
  });
}

template <class T>
void run_update_and_forward(const GradientTask<T>& t, const T* next, bool biases, T* z) {
  const Descend<T> use{splat(T(t.weights->rate)), splat(T(t.biases->rate)), t.parameters};
  update_and_forward<T>(product_of(t), use, next, biases, t.parameters, z);
}

bool uses_at_once(const StepNumbers& s) { return s.rule == UpdateRule::sgd || s.rule == UpdateRule::adam; }

template <class T>
void update_panels(const StepNumbers& weights, const StepNumbers& biases, T* w, T* const* slots,
                   const T* gradient, Index n, Index inputs, Index panel0, Index panel1) {
  for (Index i = panel0; i < panel1; ++i) {
    const Index begin = i * kPanel<T> * (inputs + 1), width = panel_width<T>(n, i);
    update<T>(weights, w, slots, gradient, begin, begin + inputs * width);
    update<T>(biases, w, slots, gradient, begin + inputs * width, begin + (inputs + 1) * width);
  }
}

template <class T>
constexpr Kernels<T> table() {
  Kernels<T> k{};
  k.lanes = kLanes<T>;
  k.panel = kPanel<T>;
  k.panel_count = count_of_panels<T>;
  k.panel_numbers = numbers_of_panels<T>;
  k.tile_count = tile_count<T>;
  k.tile_begin = tile_begin<T>;
  k.pack = pack<T>;
  k.unpack = unpack<T>;
  k.transpose = transpose<T>;
  k.rows_product = rows_product<T>;
  k.uses_at_once = uses_at_once;
  k.gradient_product = run_gradient<T>;
  k.zeros_block = kZerosBlock;
  k.find_nonzeros = find_nonzeros<T>;
  k.rows_product_of_nonzeros = rows_product_of_nonzeros<T>;
  k.rows_of_inputs = rows_of_inputs;
  k.gradient_of_nonzeros = run_gradient_of_nonzeros<T>;
  k.descends = descends;
  k.few_rows_product = few_rows_product<T>;
  k.all_finite = all_finite<T>;
  k.update_and_forward = run_update_and_forward<T>;
  k.update_panels = update_panels<T>;
  k.update = update<T>;
  k.limit_norms = limit_norms<T>;
  k.square_sum = square_sum<T>;
  k.scale = scale<T>;
  k.clip = clip<T>;
  k.add = add<T>;
  k.gather = gather<T>;
  k.add_penalty = add_penalty<T>;
  k.activation_forward = activation_forward<T>;
  k.activation_backward = activation_backward<T>;
  k.cost_and_error = cost_and_error<T>;
  k.count_correct = count_correct<T>;
  k.dropout_mask = dropout_mask<T>;
  k.random_numbers = random_numbers;
  k.dropout_forward = dropout_forward<T>;
  k.dropout_backward = dropout_backward<T>;
  k.batch_norm_statistics = batch_norm_statistics<T>;
  k.batch_norm_running = batch_norm_running<T>;
  k.norm_columns_forward = norm_columns_forward<T>;
  k.norm_columns_backward = norm_columns_backward<T>;
  k.layer_norm_forward = layer_norm_forward<T>;
  k.layer_norm_backward = layer_norm_backward<T>;
  k.layer_norm_parameters = layer_norm_parameters<T>;
  k.lanes_gather = lanes_gather<T>;
  k.lanes_rows = lanes_rows<T>;
  k.lanes_forward = lanes_forward<T>;
  k.lanes_back = lanes_back<T>;
  k.lanes_slope = lanes_slope<T>;
  k.lanes_sums = lanes_sums<T>;
  k.lanes_by_rows = lanes_by_rows<T>;
  k.lanes_bias_sums = lanes_bias_sums<T>;
  k.lanes_total = lanes_total<T>;
  k.lanes_cost = lanes_cost<T>;
  k.lanes_correct = lanes_correct<T>;
  return k;
}

constexpr Kernels<float> kFloat = table<float>();
constexpr Kernels<double> kDouble = table<double>();

}  // namespace

extern const Kernels<float>* const float_kernels;
extern const Kernels<double>* const double_kernels;
const Kernels<float>* const float_kernels = &kFloat;
const Kernels<double>* const double_kernels = &kDouble;

}  // namespace CLEARPROP_ISA
}  // namespace clearprop
