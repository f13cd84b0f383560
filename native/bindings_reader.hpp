// What Python calls for a few rows, and for looking at its own data.
#pragma once

#include <nanobind/nanobind.h>

namespace clearprop {

void bind_readers(nanobind::module_& m);

}  // namespace clearprop
