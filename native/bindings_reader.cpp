#include "bindings_reader.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "bindings_arrays.hpp"
#include "bindings_program.hpp"
#include "reader.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace clearprop {
namespace {

// With fewer parameters the call is over before another thread could have begun.
constexpr Index kKeepsLock = Index{1} << 18;

template <class T>
using Rows = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// CLEARPROP_ISA and CLEARPROP_NUM_THREADS as they are now, "" where they are not set.
std::pair<std::string, std::string> settings() {
  return {variable("CLEARPROP_ISA"), variable("CLEARPROP_NUM_THREADS")};
}

// A reader for as long as the settings under which it was made hold; one call at a time.
template <class T>
struct Shared {
  Reader<T> reader;
  std::pair<std::string, std::string> made_under = settings();
  std::atomic_flag busy = ATOMIC_FLAG_INIT;

  struct Clear {
    void operator()(std::atomic_flag* flag) const { flag->clear(std::memory_order_release); }
  };

  Shared(Program program, const InstructionSet& set) : reader(std::move(program), set) {}

  bool holds() const {
    const auto is = [](const std::string& then, const char* name) {
      const char* now = std::getenv(name);
      return now == nullptr ? then.empty() : then == now;
    };
    return is(made_under.first, "CLEARPROP_ISA") && is(made_under.second, "CLEARPROP_NUM_THREADS");
  }

  bool output(const T* theta, const Rows<const T>& X, T* a) {
    if (busy.test_and_set(std::memory_order_acquire)) return false;
    const std::unique_ptr<std::atomic_flag, Clear> until_done(&busy);
    const auto run = [&] {
      return reader.output(theta, X.data(), reader.program().n_in, static_cast<Index>(X.shape(0)), a);
    };
    if (reader.program().n_theta < kKeepsLock) return run();
    const nb::gil_scoped_release release;
    return run();
  }
};

template <class T>
void bind_reader(nb::module_& m, const char* name) {
  using S = Shared<T>;
  nb::class_<S>(m, name)
      .def(
          "__init__",
          [](S* self, const nb::dict& program, const std::string& isa) {
            Program read = read_program(program);
            check(Reader<T>::suits(read), "a reader runs chains only");
            new (self) S(std::move(read), read_isa(isa));
          },
          "program"_a, "isa"_a)
      .def_prop_ro("holds", &S::holds)
      // False, and nothing written, where only the general way will do: for an X that it does not read as it is,
      // NaN in X, other settings than at first, or while another thread is here.
      .def(
          "output",
          [](S& self, const Vector<const T>& theta, nb::handle X, const Rows<T>& a) {
            const Program& program = self.reader.program();
            check(static_cast<Index>(theta.shape(0)) == program.n_theta, "theta has another length");
            Rows<const T> rows;
            if (!nb::try_cast(X, rows, false)) return false;
            if (static_cast<Index>(rows.shape(1)) != program.n_in) return false;
            if (reinterpret_cast<std::uintptr_t>(rows.data()) % alignof(T) != 0) return false;
            if (rows.shape(0) < 1 || static_cast<Index>(rows.shape(0)) > kFewRows) return false;
            check(a.shape(0) == rows.shape(0) && static_cast<Index>(a.shape(1)) == program.n_out,
                  "a has another shape");
            return self.holds() && self.output(theta.data(), rows, a.data());
          },
          "theta"_a.noconvert(), "X"_a, "a"_a.noconvert());
}

template <class T>
bool rows_finite(const Matrix<const T>& X) {
  const Index row = row_stride<T>(X), n = static_cast<Index>(X.shape(1)),
              rows = static_cast<Index>(X.shape(0));
  int count = 0;
  const Kernels<T>& k = kernels_of<T>(*instruction_sets(&count));
  const Released released(static_cast<double>(rows) * static_cast<double>(n));
  if (row == n) return k.all_finite(X.data(), rows * n);
  for (Index x = 0; x < rows; ++x) {
    if (!k.all_finite(X.data() + x * row, n)) return false;
  }
  return true;
}

}  // namespace

void bind_readers(nb::module_& m) {
  m.attr("few_rows") = kFewRows;
  m.def("settings", settings);
  m.def("all_finite", rows_finite<float>, "X"_a.noconvert());
  m.def("all_finite", rows_finite<double>, "X"_a.noconvert());
  bind_reader<float>(m, "Reader32");
  bind_reader<double>(m, "Reader64");
}

}  // namespace clearprop
