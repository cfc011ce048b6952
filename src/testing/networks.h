#pragma once
// Small networks for tests, each with something the others lack.

#include <string>

#include "nn/network.h"

namespace hadal::testing {

inline LayerSpec layer(const std::string& type, const std::string& name, LayerOptions options,
                       std::vector<std::string> from = {}) {
  return {type, name, std::move(from), std::move(options), {}};
}

inline LayerSpec conv(const std::string& name, ConvOptions options, std::vector<std::string> from = {}) {
  return layer("conv", name, options, std::move(from));
}

inline LayerSpec fully_connected(const std::string& name, std::int64_t out, std::vector<std::string> from = {}) {
  return layer("fully_connected", name, FullyConnectedOptions{out, {}}, std::move(from));
}

inline LayerSpec activation(const std::string& name, ActivationKind kind, std::vector<std::string> from = {}) {
  return layer("relu", name, ActivationOptions{kind}, std::move(from));
}

inline LayerSpec max_pool(const std::string& name, std::int64_t kernel, std::int64_t stride) {
  return layer("max_pool", name, PoolOptions{PoolKind::max, kernel, stride, 0, false});
}

// A chain with convolutions, pooling, and two fully-connected layers of which the first is wide enough for factors.
inline NetworkSpec small_lenet() {
  return {{1, 12, 12},
          {conv("conv1", {.out = 6, .kernel = 3}), max_pool("pool1", 2, 2),
           conv("conv2", {.out = 8, .kernel = 3, .pad = 1, .groups = 2}), activation("relu0", ActivationKind::relu),
           layer("average_pool", "pool2", PoolOptions{PoolKind::average, 3, 2, 1, false}), fully_connected("wide", 96),
           activation("relu1", ActivationKind::relu), layer("dropout", "drop", DropoutOptions{0.3f}),
           fully_connected("out", 5)},
          {}};
}

// Branches, concat, add, an output used twice, and every activation.
inline NetworkSpec small_dag() {
  return {{2, 8, 8},
          {conv("stem", {.out = 4, .kernel = 3, .pad = 1}), activation("stem_tanh", ActivationKind::tanh),
           layer("lrn", "stem_lrn", LrnOptions{.size = 3, .alpha = 0.5f}),
           conv("left", {.out = 4, .kernel = 3, .pad = 1}, {"stem_lrn"}),
           conv("right", {.out = 4, .kernel = 1}, {"stem_lrn"}),
           layer("add", "sum", AddOptions{}, {"left", "right", "stem_lrn"}),
           layer("concat", "join", ConcatOptions{}, {"sum", "stem"}), max_pool("pool", 2, 2),
           layer("flatten", "flat", FlattenOptions{}), fully_connected("a", 64),
           activation("a_sigmoid", ActivationKind::sigmoid), fully_connected("b", 64),
           layer("add", "residual", AddOptions{}, {"a_sigmoid", "b"}), fully_connected("out", 4)},
          {}};
}

// Batch normalisation of images, of a sum that an activation overwrites, and of vectors.
inline NetworkSpec small_batch_norm() {
  return {
      {2, 8, 8},
      {layer("batch_norm", "input_norm", BatchNormOptions{}), conv("stem", {.out = 6, .kernel = 3, .pad = 1}),
       layer("batch_norm", "stem_norm", BatchNormOptions{.momentum = 0.3}), activation("relu1", ActivationKind::relu),
       conv("body", {.out = 6, .kernel = 3, .pad = 1}), layer("add", "sum", AddOptions{}, {"body", "relu1"}),
       layer("batch_norm", "sum_norm", BatchNormOptions{}), activation("relu2", ActivationKind::relu),
       max_pool("pool", 2, 2), fully_connected("wide", 96), layer("batch_norm", "wide_norm", BatchNormOptions{}),
       activation("tanh", ActivationKind::tanh), fully_connected("out", 5)},
      {}};
}

inline NetworkSpec small_mlp() {
  return {{40},
          {fully_connected("h1", 64), activation("s1", ActivationKind::sigmoid), fully_connected("h2", 64),
           activation("s2", ActivationKind::sigmoid), fully_connected("out", 7)},
          {}};
}

// Each row of each activation is a page of 4 KiB, so that closed memory shows a row too many.
inline NetworkSpec pages() {
  return {{1024},
          {fully_connected("h1", 1024), activation("s1", ActivationKind::tanh), fully_connected("h2", 1024),
           layer("dropout", "drop", DropoutOptions{0.3f}), fully_connected("out", 1024)},
          {}};
}

}  // namespace hadal::testing
