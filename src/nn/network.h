#pragma once
// A network: a DAG of layers with inferred shapes. Data only; knows no device and no batch.

#include <span>

#include "nn/layer.h"

namespace hadal {

inline constexpr int kNetworkInput = -1;

// One array of a model's numbers, [out, ...]: [out, in] for fully_connected, [out, in/groups, kernel, kernel] for conv,
// [out] for biases and all of batch_norm's: as PyTorch has them.
struct Parameter {
  std::string name;  // "conv1.weight"
  int layer = 0;
  Shape shape;
  Initializer init;
  std::int64_t fan_in = 1, fan_out = 1;
  double rate_mult = 1, decay_mult = 1;  // of the update rule's rate and weight decay
  bool learned = true;                   // by gradients; false: a moving mean
};

struct Layer {
  std::string name, type;
  LayerOptions options;
  std::vector<int> inputs;     // layers, or kNetworkInput
  Shape output;                // of one sample
  int weight = -1, bias = -1;  // indices into Network::parameters, -1: none
  int running_mean = -1, running_variance = -1;
  std::int64_t forward_flops = 0;  // of one sample: 2 for each multiply-add
  bool learns = false;             // something at or below it has parameters: a gradient must reach its output
  LayerSplit split = LayerSplit::automatic;
};

// Layers stand in an order in which each comes after its inputs. The last layer gives the logits.
struct Network {
  Shape input;
  std::vector<Layer> layers;
  std::vector<Parameter> parameters;

  const Shape& shape_of(int layer) const { return layer == kNetworkInput ? input : layers[layer].output; }
  std::int64_t parameter_elements() const;  // that are learned

  // FLOPs of one sample in a training step: forward, weight gradient, and data gradient where something below learns.
  std::int64_t training_flops() const;

  bool learns(int layer) const { return layer != kNetworkInput && layers[layer].learns; }
};

// Infers shapes. Throws ConfigError at the layer's position: an unknown `from`, shapes that do not fit, a kernel larger
// than its padded image, groups that do not divide, a layer whose output is used by nothing.
Network build_network(const NetworkSpec& spec);

// The starting values of parameter `index`, canonical: a function of the seed and the index alone.
std::vector<float> initial_values(const Network& network, int index, std::uint64_t seed);

}  // namespace hadal
