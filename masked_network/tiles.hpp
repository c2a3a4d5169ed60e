// How codes lie for the products by looked-up weights: signed, 2 * code + (weight < 0), in tiles of
// outputs, [tiles][terms][TILE].

#pragma once

#include <cstddef>

#include "vectors.hpp"

namespace {

constexpr int64_t TILE = 10;  // outputs that are summed side by side

}  // namespace
