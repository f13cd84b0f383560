// Networks and options as Python writes them down: dictionaries whose names are those of the registries.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "engine.hpp"

namespace clearprop {

// Each throws std::invalid_argument for a name that the engine does not have, or for what does not fit.
Program read_program(const nanobind::dict& d);
Optimizer read_optimizer(const nanobind::dict& d);
Rule read_rule(const std::string& name);
const InstructionSet& read_isa(const std::string& name);

}  // namespace clearprop
