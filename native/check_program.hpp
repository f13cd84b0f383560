// Whether a program may be run: every place it names must exist. What runs it checks nothing again.
#pragma once

#include "engine.hpp"

namespace clearprop {

// Throws std::invalid_argument where an operation names a value, parameter or buffer that is not there, or
// where sizes do not fit one another.
void check_program(const Program& program);

}  // namespace clearprop
