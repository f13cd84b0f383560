// The products that leave out zeros against the dense ones, and against plain code in long double.
#include "../shared_products.hpp"
#include "panels.hpp"

// A matrix with a share of nonzeros, and where they are.
template <class T>
struct Sparse : Padded<T> {
  Zeros zeros;
  Index count = 0;

  Sparse(Index rows, Index n, double share) : Padded<T>(rows, n, std::numeric_limits<T>::quiet_NaN()) {
    for (Index x = 0; x < rows; ++x) {
      for (Index j = 0; j < n; ++j) {
        if (std::rand() >= share * RAND_MAX) this->p[x * this->row + j] = x % 2 == 0 ? T(0) : T(-0.0);
      }
    }
    zeros.make_room(rows, n, table_of<T>().zeros_block);
    zeros.make_room_for_sets(rows);
    count = table_of<T>().find_nonzeros(this->p, this->row, n, zeros.found, 0, rows);
    Index want = 0;
    for (Index x = 0; x < rows; ++x) {
      const Index first = zeros.found.starts[x * (zeros.found.blocks + 1)];
      Index at = x * zeros.found.room + first;
      for (Index j = 0; j < n; ++j) {
        if (this->at(x, j) == 0) continue;
        check(static_cast<Index>(zeros.columns.data()[at++]) == j, "the list of a row", rows, n, x);
        ++want;
      }
    }
    check(count == want, "the number of nonzeros", rows, n);
  }
};

// Whether dense tiles of so many rows have one accumulator for each number, as these products always have.
static bool one_sum(Index rows, Index n) { return rows >= 8 && n % (2 * kLanes<float>) == 0; }

template <class T>
static void test_rows(Index rows, Index n, Index depth, double share) {
  const Kernels<T>& k = table_of<T>();
  const Layer<T> layer(n, depth);
  const Sparse<T> a(rows, depth, share);
  for (const Begin begin : {Begin::bias, Begin::zero}) {
    Padded<T> out(rows, n, T(0)), dense(rows, n, T(0)), pieces(rows, n, T(0));
    pieces.copy(out);
    RowsTask<T> task{a.p, a.row, rows, depth, layer.panels.p, depth + 1, n, out.p, out.row, begin};
    k.rows_product_of_nonzeros(task, a.zeros.found, 0, rows);
    task.out = dense.p;
    k.rows_product(task, 0, k.tile_count(rows), 0, k.panel_count(n));
    for (Index x = 0; x < rows; ++x) {
      for (Index j = 0; j < n; ++j) {
        Real want = begin == Begin::bias ? Real(layer.b[j]) : 0;
        for (Index i = 0; i < depth; ++i) want += Real(a.at(x, i)) * layer.w(j, i);
        near(out.at(x, j), want, 1 + depth, "z without zeros", rows, n, depth);
        if (one_sum(rows, n)) check(out.at(x, j) == dense.at(x, j), "bits of z", rows, n, depth);
      }
      for (Index j = n; j < out.row - out.kLine; ++j) check(out.at(x, j) == 0, "padding", rows, n, depth);
    }
    out.check_line_after_rows("beyond the rows of z");
    task.out = pieces.p;
    for (Index x = rows; x-- > 0;) k.rows_product_of_nonzeros(task, a.zeros.found, x, x + 1);
    check(out.same(pieces), "z in pieces", rows, n, depth);
    if (rows < 2 || rows > kPairedRows) continue;
    Zeros bits;
    bits.make_room(rows, depth, k.zeros_block, false);
    check(k.find_nonzeros(a.p, a.row, depth, bits.found, 0, rows) == a.count, "nonzeros by bits", rows,
          depth);
    Padded<T> paired(rows, n, T(0));
    task.out = paired.p;
    k.rows_product_of_nonzeros(task, bits.found, 0, rows);
    check(out.same(paired), "z in pairs of rows", rows, n, depth);
    paired.check_line_after_rows("beyond the rows of z in pairs");
  }
}

template <class T>
struct Parameters {
  Guarded<T> w, m, v;
  T* slots[3];
  explicit Parameters(Index numbers) : w(numbers), m(numbers), v(numbers), slots{m.p, v.p, nullptr} {
    for (Guarded<T>* each : {&w, &m, &v}) each->fill_randomly();
    for (Index i = 0; i < v.count; ++i) v.p[i] = std::abs(v.p[i]);
  }
  void copy(const Parameters& other) {
    w.copy(other.w);
    m.copy(other.m);
    v.copy(other.v);
  }
  bool equal(const Parameters& other) const {
    return std::equal(w.p, w.p + w.count, other.w.p) && std::equal(m.p, m.p + m.count, other.m.p) &&
           std::equal(v.p, v.p + v.count, other.v.p);
  }
};

// Written down and used at once, against the gradient of the dense product.
template <class T>
static void test_gradient(Index rows, Index n, Index inputs, double share) {
  const Kernels<T>& k = table_of<T>();
  Sparse<T> a(rows, inputs, share);
  const Padded<T> delta(rows, n, T(0));
  const Index numbers = k.panel_numbers(n, inputs + 1), tiles = k.tile_count(inputs),
              panels = k.panel_count(n);
  Guarded<T> dense(numbers), found(numbers), pieces(numbers);
  GradientTask<T> task = gradient_task(a, delta, 1.0 / static_cast<double>(rows), dense.p);
  k.gradient_product(task, 0, tiles + 1, 0, panels);
  const bool same_sums = inputs >= 8 && n % (2 * kLanes<T>) == 0;
  k.rows_of_inputs(a.zeros.found, rows, 0, inputs);
  for (Guarded<T>* g : {&found, &pieces}) {
    task.gradient = g->p;
    k.gradient_product(task, tiles, tiles + 1, 0, panels);
  }
  task.gradient = found.p;
  k.gradient_of_nonzeros(task, a.zeros.found, 0, inputs, 0, panels);
  task.gradient = pieces.p;
  for (Index i = 0; i < inputs; i += 64) {
    for (Index p = panels; p-- > 0;) {
      k.gradient_of_nonzeros(task, a.zeros.found, i, std::min(i + 64, inputs), p, p + 1);
    }
  }
  check(found.same(pieces), "the gradient in pieces", rows, n, inputs);
  std::vector<T> W(static_cast<std::size_t>(n * inputs)), want(W.size());
  k.unpack(found.p, n, inputs, W.data(), nullptr);
  k.unpack(dense.p, n, inputs, want.data(), nullptr);
  for (std::size_t i = 0; i < W.size(); ++i) {
    near(W[i], want[i], 2 + rows, "dC_dW without zeros", rows, n, inputs);
    if (same_sums) check(W[i] == want[i], "bits of dC_dW", rows, n, inputs);
  }
  task.gradient = found.p;
  for (StepNumbers s : {sgd_numbers(), adam_numbers()}) {
    for (const double keep : {1.0, 0.9}) {
      s.keep = keep;
      Parameters<T> down(numbers), at_once(numbers);
      at_once.copy(down);
      k.update_panels(s, s, down.w.p, down.slots, found.p, n, inputs, 0, panels);
      GradientTask<T> use = task;
      use.gradient = nullptr;
      use.weights = use.biases = &s;
      use.parameters = at_once.w.p;
      use.slots = at_once.slots;
      k.gradient_product(use, tiles, tiles + 1, 0, panels);
      k.gradient_of_nonzeros(use, a.zeros.found, 0, inputs, 0, panels);
      check(down.equal(at_once), "used at once or written down", rows, n, inputs);
    }
  }
}

template <class T>
static void print_speed(Index rows, Index depth, Index n, double share) {
  const Kernels<T>& k = table_of<T>();
  const Layer<T> layer(n, depth);
  Sparse<T> a(rows, depth, share);
  const Padded<T> delta(rows, n, T(0));
  Padded<T> out(rows, n, T(0));
  Guarded<T> gradient(k.panel_numbers(n, depth + 1));
  const RowsTask<T> task{a.p, a.row, rows, depth, layer.panels.p, depth + 1, n, out.p, out.row, Begin::bias};
  GradientTask<T> back = gradient_task(a, delta, 1.0, gradient.p);
  const double search = seconds_of([&] { k.find_nonzeros(a.p, a.row, depth, a.zeros.found, 0, rows); });
  const double dense = seconds_of([&] { k.rows_product(task, 0, k.tile_count(rows), 0, k.panel_count(n)); });
  const double without = seconds_of([&] { k.rows_product_of_nonzeros(task, a.zeros.found, 0, rows); });
  const double dense_gradient =
      seconds_of([&] { k.gradient_product(back, 0, k.tile_count(depth), 0, k.panel_count(n)); });
  const double sets = seconds_of([&] { k.rows_of_inputs(a.zeros.found, rows, 0, depth); });
  const double gradient_without =
      seconds_of([&] { k.gradient_of_nonzeros(back, a.zeros.found, 0, depth, 0, k.panel_count(n)); });
  std::printf(
      "float%d %4ld x %4ld x %4ld, %2.0f %% not zero: search %.2f us; forward %.2f us, %.2f times the speed "
      "of the dense one; sets %.2f us, gradient %.2f us, %.2f times\n",
      static_cast<int>(8 * sizeof(T)), static_cast<long>(rows), static_cast<long>(depth),
      static_cast<long>(n), 100 * share, 1e6 * search, 1e6 * without, dense / without, 1e6 * sets,
      1e6 * gradient_without, dense_gradient / gradient_without);
}

template <class T>
static void test_all() {
  for (const double share : {0.0, 0.1, 0.5, 1.0}) {
    for (const Index rows : {1, 2, 3, 13, 32, 33, 65, 130}) {
      for (const Index n : {1, 17, 32, 64, 100}) {
        test_rows<T>(rows, n, (7 * rows + 3 * n) % 90 + 1, share);
        test_gradient<T>(rows, n, (5 * rows + 11 * n) % 150 + 1, share);
      }
    }
    for (const Index depth : {1, 63, 64, 65, 128, 129, 300, 600}) test_rows<T>(9, 96, depth, share);
  }
}

int main() {
  std::srand(1);
  test_all<float>();
  test_all<double>();
  for (const double share : {0.2, 0.5}) {
    print_speed<float>(10, 784, 30, share);
    print_speed<float>(24, 784, 64, share);
    print_speed<float>(32, 784, 128, share);
    print_speed<float>(64, 784, 128, share);
    print_speed<float>(64, 64, 64, share);
    print_speed<float>(256, 256, 256, share);
    print_speed<float>(128, 512, 512, share);
    print_speed<double>(64, 256, 256, share);
  }
  if (failures != 0) std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
