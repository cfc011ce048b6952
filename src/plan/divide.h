#pragma once
// Which part of each layer each device of a group computes: a pure function of the network.

#include <cstdint>
#include <string>
#include <vector>

#include "nn/network.h"
#include "nn/op.h"

namespace hadal {

// Channels first ... first + count - 1 of a value: of the first dimension of its shape.
struct Channels {
  std::int64_t first = 0, count = 0;

  bool operator==(const Channels&) const = default;
};

// How the layers of a network are divided among the `parts` devices that hold it together. A fully-connected layer is
// divided by its outputs, a convolution by its output channels, or groups of them; where each part would have fewer
// than `smallest` of these it stays whole: each device computes all of it. Layers that take channels one by one follow
// their input. A concat is whole, since what comes after it mostly needs all channels, which are gathered once so.
// What the network says of a layer (LayerSplit) goes before `smallest`.
//
// With `chunks` above 1 results are defined by as many pieces of each layer's outputs (nn/op.h, OutputUnits), whatever
// the number of parts, and what the network says of them. A part has a piece, or a half, or half of a half, ... of all:
// so sums over pieces, by halves, are the sums over the parts of their own sums. What cannot be divided so is whole.
class Division {
 public:
  // Keeps a reference to `network`. whole: further layers that stay whole.
  Division(const Network& network, int parts, std::int64_t smallest, std::int64_t chunks = 1,
           const std::vector<int>& whole = {});

  int parts() const { return parts_; }
  std::int64_t chunks() const { return chunks_; }
  bool divides(int layer) const { return layer != kNetworkInput && !bounds_[static_cast<std::size_t>(layer)].empty(); }

  // Why a fully-connected layer or a convolution of which the network says `divide` is not divided; empty where it is,
  // and of all others.
  std::string why_not(int layer) const;

  // The channels of a layer's value that `part` computes, and has.
  Channels computed(int layer, int part) const;

  // The pieces of those, which are `chunks` in all; none where results are free, or of the whole layer.
  OutputUnits units(int layer, int part) const;

  // The channels of its input that `part` needs for that.
  Channels needed(int layer, std::size_t input, int part) const;

  // Whether what several parts compute of the data gradient of one channel of the input adds up to it, since each reads
  // all channels, or all of a group, and computes some.
  bool adds_up(int layer) const;

 private:
  using Bounds = std::vector<std::int64_t>;

  int followed(const Layer& layer) const;
  Bounds follow(const Layer& layer, int input, const std::vector<Bounds>& cuts) const;
  Bounds cut_outputs(const Layer& layer, std::int64_t parts, std::int64_t smallest) const;
  Bounds bounds_of(int layer, std::int64_t smallest) const;
  bool gathers_gradients(const Layer& layer, const Bounds& bounds) const;
  Channels all(int layer) const { return {0, network_.shape_of(layer)[0]}; }

  const Network& network_;
  int parts_;
  std::int64_t smallest_, chunks_;
  std::vector<Bounds> chunk_bounds_;  // by layer: of its pieces
  std::vector<Bounds> bounds_;        // by layer: part p has channels bounds[p] ... bounds[p + 1] - 1
};

}  // namespace hadal
