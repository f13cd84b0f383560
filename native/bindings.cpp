// Python's way in: checks and converts, releases the interpreter's lock, and calls the engine.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <string>

#include "bindings_arrays.hpp"
#include "bindings_program.hpp"
#include "bindings_reader.hpp"
#include "engine.hpp"
#include "permutation.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearprop {
namespace {

// More would only wait for one another, and a system may not have them.
constexpr int kMostThreads = 1024;

template <class T>
void bind_machine(nb::module_& m, const char* name) {
  using M = Machine<T>;
  nb::class_<M>(m, name)
      .def(
          "__init__",
          [](M* self, const nb::dict& program, const std::string& isa, int threads) {
            check(threads <= kMostThreads, "too many threads");
            new (self) M(read_program(program), read_isa(isa), threads < 1 ? 1 : threads);
          },
          "program"_a, "isa"_a, "threads"_a)
      .def_prop_ro("isa", [](const M& self) { return std::string(self.isa()); })
      .def_prop_ro("threads", &M::threads)
      .def_prop_ro("slot_count", &M::slot_count)
      .def(
          "read_theta",
          [](M& self, const Vector<const T>& theta) {
            check(static_cast<Index>(theta.shape(0)) == self.program().n_theta, "theta has another length");
            const Released released(static_cast<double>(theta.shape(0)));
            self.read_theta(theta.data());
          },
          "theta"_a.noconvert())
      .def(
          "write_theta",
          [](const M& self, const Vector<T>& theta) {
            check(static_cast<Index>(theta.shape(0)) == self.program().n_theta, "theta has another length");
            const Released released(static_cast<double>(theta.shape(0)));
            self.write_theta(theta.data());
          },
          "theta"_a.noconvert())
      .def(
          "read_buffers",
          [](M& self, const Vector<const T>& buffers) {
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            self.read_buffers(buffers.data());
          },
          "buffers"_a.noconvert())
      .def(
          "write_buffers",
          [](const M& self, const Vector<T>& buffers) {
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            self.write_buffers(buffers.data());
          },
          "buffers"_a.noconvert())
      .def("is_finite",
           [](const M& self) {
             const Released released(static_cast<double>(self.program().n_theta));
             return self.is_finite();
           })
      .def(
          "set_optimizer",
          [](M& self, const nb::dict& options) { self.set_optimizer(read_optimizer(options)); }, "options"_a)
      .def(
          "read_slot",
          [](M& self, int slot, const Vector<const T>& flat) {
            check(slot >= 0 && slot < self.slot_count(), "there is no such slot");
            check(static_cast<Index>(flat.shape(0)) == self.program().n_theta, "the slot has another length");
            self.read_slot(slot, flat.data());
          },
          "slot"_a, "flat"_a.noconvert())
      .def(
          "write_slot",
          [](const M& self, int slot, const Vector<T>& flat) {
            check(slot >= 0 && slot < self.slot_count(), "there is no such slot");
            check(static_cast<Index>(flat.shape(0)) == self.program().n_theta, "the slot has another length");
            self.write_slot(slot, flat.data());
          },
          "slot"_a, "flat"_a.noconvert())
      .def(
          "train",
          [](M& self, const std::optional<Matrix<const T>>& X, const std::optional<Vector<const T>>& values,
             const std::optional<Vector<const std::int32_t>>& columns,
             const std::optional<Vector<const std::int64_t>>& starts, const Matrix<const T>& y,
             const std::optional<Vector<const T>>& weights, const Vector<const std::int64_t>& order,
             const std::optional<Vector<const std::int64_t>>& examples, Index batch_size,
             const Vector<const double>& etas, std::uint64_t seed, std::uint64_t first_step,
             Index optimizer_step, double max_seconds, const std::string& rule, double middle,
             const std::optional<Matrix<T>>& outputs, const Vector<double>& costs,
             const Vector<std::int64_t>& correct, const std::optional<nb::callable>& look_at_gradient,
             const std::optional<Vector<T>>& gradient_shown, const std::optional<Vector<double>>& penalties,
             bool mean_over_weights) {
            Steps<T> s;
            s.data = read_data<T>(self.program(), X, y, weights);
            if (!X) {
              check(values && columns && starts, "give X, or the three arrays of a sparse matrix");
              check(starts->shape(0) == y.shape(0) + 1 && values->shape(0) == columns->shape(0),
                    "not a CSR matrix");
              s.data.values = values->data();
              s.data.columns = columns->data();
              s.data.starts = starts->data();
            }
            check(batch_size >= 1 && etas.shape(0) >= 1, "a step needs at least one example and a rate");
            const Index n = static_cast<Index>(y.shape(0));
            for (std::size_t i = 0; i < order.shape(0); ++i) {
              check(order.data()[i] >= 0 && order.data()[i] < n,
                    "order names an example that does not exist");
            }
            if (!X) check_sparse(*columns, *starts, order, self.program().n_in);
            check(!examples || examples->shape(0) == order.shape(0), "examples and order differ in length");
            s.order = order.data();
            s.examples = examples ? examples->data() : nullptr;
            s.n_order = static_cast<Index>(order.shape(0));
            s.batch_size = batch_size;
            s.etas = etas.data();
            s.n_etas = static_cast<Index>(etas.shape(0));
            s.seed = seed;
            s.first_step = first_step;
            s.optimizer_step = optimizer_step;
            s.max_steps = static_cast<Index>(costs.shape(0));
            check(correct.shape(0) == costs.shape(0), "costs and correct differ in length");
            check(!penalties || penalties->shape(0) == costs.shape(0),
                  "penalties and costs differ in length");
            if (penalties) s.penalties = penalties->data();
            s.mean_over_weights = mean_over_weights;
            s.max_seconds = max_seconds;
            s.rule = read_rule(rule);
            s.middle = middle;
            if (outputs) {
              check_result<T>(*outputs, order.shape(0), self.program().n_out, "outputs have another shape");
              s.outputs = outputs->data();
            }
            s.costs = costs.data();
            s.correct = correct.data();
            check(!look_at_gradient || (gradient_shown && static_cast<Index>(gradient_shown->shape(0)) ==
                                                              self.program().n_theta),
                  "a gradient to look at needs an array as long as theta");
            // Python looks at an array of its own, which it may keep.
            const std::function<void(T*)> look = [&](T* gradient) {
              const nb::gil_scoped_acquire acquire;
              const FlushToZero python_keeps_denormals(false);
              const std::size_t n = static_cast<std::size_t>(self.program().n_theta);
              std::copy(gradient, gradient + n, gradient_shown->data());
              (*look_at_gradient)();
              std::copy(gradient_shown->data(), gradient_shown->data() + n, gradient);
            };
            if (look_at_gradient) s.look_at_gradient = &look;
            Done done;
            {
              const Released released(work_of(order.shape(0), self.program().n_theta));
              done = self.train(s);
            }
            return std::pair<Index, bool>(done.steps, done.finite);
          },
          "X"_a.none().noconvert(), "values"_a.none().noconvert(), "columns"_a.none().noconvert(),
          "starts"_a.none().noconvert(), "y"_a.noconvert(), "weights"_a.none().noconvert(),
          "order"_a.noconvert(), "examples"_a.none().noconvert(), "batch_size"_a, "etas"_a.noconvert(),
          "seed"_a, "first_step"_a, "optimizer_step"_a, "max_seconds"_a, "rule"_a, "middle"_a,
          "outputs"_a.none().noconvert(), "costs"_a.noconvert(), "correct"_a.noconvert(),
          "look_at_gradient"_a.none(), "gradient_shown"_a.none().noconvert() = nb::none(),
          "penalties"_a.none().noconvert() = nb::none(), "mean_over_weights"_a = false)
      .def(
          "output",
          [](M& self, const Matrix<const T>& X, const std::optional<Matrix<T>>& z, const Matrix<T>& a) {
            check(static_cast<Index>(X.shape(1)) == self.program().n_in, "X has another number of columns");
            check_result<T>(a, X.shape(0), self.program().n_out, "a has another shape");
            if (z) check_result<T>(*z, X.shape(0), self.program().n_out, "z has another shape");
            const Index x_row = row_stride<T>(X);
            const Released released(work_of(X.shape(0), self.program().n_theta));
            self.output(X.data(), x_row, static_cast<Index>(X.shape(0)), z ? z->data() : nullptr, a.data());
          },
          "X"_a.noconvert(), "z"_a.none().noconvert(), "a"_a.noconvert())
      .def(
          "look",
          [](M& self, const Matrix<const T>& X, const Matrix<const T>& y,
             const std::optional<Vector<const T>>& weights, bool training, std::uint64_t seed,
             std::uint64_t step, const Vector<const std::int64_t>& examples, bool records,
             const Vector<T>& gradient, const Vector<T>& buffers, const std::optional<Matrix<T>>& z,
             const Matrix<T>& a) {
            const Data<T> data = read_data<T>(self.program(), X, y, weights);
            const Index rows = static_cast<Index>(y.shape(0));
            check(examples.shape(0) == y.shape(0), "examples and y differ in length");
            check(rows >= 1, "a pass needs at least one example");
            check(static_cast<Index>(gradient.shape(0)) == self.program().n_theta,
                  "gradient has another length");
            check(static_cast<Index>(buffers.shape(0)) == self.program().n_buffers,
                  "buffers have another length");
            check_result<T>(a, y.shape(0), self.program().n_out, "a has another shape");
            if (z) check_result<T>(*z, y.shape(0), self.program().n_out, "z has another shape");
            std::vector<Seen<T>> seen;
            {
              const Released released(work_of(y.shape(0), self.program().n_theta));
              self.look(data, rows, training, seed, step, examples.data(), &seen, gradient.data(),
                        buffers.data(), z ? z->data() : nullptr, a.data(), records);
            }
            nb::list out;
            for (const Seen<T>& s : seen) {
              nb::dict d;
              const auto put = [&](const char* key, const std::vector<T>& numbers) {
                if (numbers.empty()) return;
                T* copy = new T[numbers.size()];
                std::copy(numbers.begin(), numbers.end(), copy);
                nb::capsule owner(copy, [](void* p) noexcept { delete[] static_cast<T*>(p); });
                d[key] = nb::ndarray<nb::numpy, T, nb::ndim<1>>(copy, {numbers.size()}, owner);
              };
              put("z", s.z);
              put("a", s.a);
              put("mask", s.mask);
              put("x_hat", s.x_hat);
              put("mean", s.mean);
              put("variance", s.variance);
              put("error", s.error);
              put("delta", s.delta);
              put("handed_back", s.handed_back);
              put("alpha_rows", s.alpha_rows);
              out.append(d);
            }
            return out;
          },
          "X"_a.noconvert(), "y"_a.noconvert(), "weights"_a.none().noconvert(), "training"_a, "seed"_a,
          "step"_a, "examples"_a.noconvert(), "records"_a, "gradient"_a.noconvert(), "buffers"_a.noconvert(),
          "z"_a.none().noconvert(), "a"_a.noconvert());
}

}  // namespace
}  // namespace clearprop

NB_MODULE(_native, m) {
  m.doc() = "The native rung's engine; used through clearprop.engines.";
  m.def("instruction_sets", [] {
    int count = 0;
    const clearprop::InstructionSet* sets = clearprop::instruction_sets(&count);
    std::vector<std::string> names;
    for (int i = 0; i < count; ++i) names.emplace_back(sets[i].name);
    return names;
  });
  m.def("available_processors", &clearprop::available_processors);
  m.def("permutation", [](const std::string& isa, std::uint32_t key0, std::uint32_t key1,
                          std::uint32_t nonce2, std::uint32_t nonce3, clearprop::Vector<std::int64_t> order) {
    const clearprop::Index n = static_cast<clearprop::Index>(order.shape(0));
    int count = 0;
    const clearprop::InstructionSet* set = clearprop::instruction_sets(&count);
    while (count > 1 && isa != set->name) ++set, --count;
    const auto& kernels = *set->float_kernels;
    const clearprop::Released released(100.0 * static_cast<double>(n));
    std::vector<std::uint64_t> keys(static_cast<std::size_t>(n) + 64);
    kernels.random_numbers(clearprop::Stream{key0, key1, nonce2, nonce3}, keys.data(), n);
    clearprop::sort_by_key(keys.data(), n, order.data());
  });
  clearprop::bind_readers(m);
  clearprop::bind_machine<float>(m, "Machine32");
  clearprop::bind_machine<double>(m, "Machine64");
}
