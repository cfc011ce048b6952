#pragma once
// What a user writes of a network: layers with their options, before shapes are known.

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "nn/extent.h"
#include "tensor/tensor.h"

namespace hadal {

// How a parameter starts. fan_in and fan_out count a unit's inputs and outputs (times the kernel's area).
struct Initializer {
  enum class Kind {
    constant,  // value
    gaussian,  // normal, mean 0, deviation `value`
    xavier,    // uniform in +-sqrt(6 / (fan_in + fan_out)): Glorot and Bengio 2010
    msra,      // normal, deviation sqrt(2 / fan_in): He et al. 2015
  };
  Kind kind = Kind::constant;
  float value = 0;

  bool operator==(const Initializer&) const = default;
};

struct InitOptions {
  Initializer weight{Initializer::Kind::xavier, 0};
  Initializer bias{Initializer::Kind::constant, 0};

  bool operator==(const InitOptions&) const = default;
};

// What the update rule's rate, or its weight decay, is multiplied by for the parameters of one layer.
struct Multipliers {
  double weight = 1, bias = 1;
};

// The numbers of a kernel lie `dilation` pixels apart.
struct ConvOptions {
  std::int64_t out = 0;
  Extent kernel = 0, stride = 1, pad = 0;
  std::int64_t groups = 1;
  Extent dilation = 1;
  InitOptions init;
  Multipliers rate_mult, decay_mult;
};

enum class PoolKind { max, average };

// average_pool divides by the window's elements inside the image (PyTorch's count_include_pad=False).
struct PoolOptions {
  PoolKind kind = PoolKind::max;
  Extent kernel = 0, stride = 1, pad = 0;
  bool ceil = false;
};

struct FullyConnectedOptions {
  std::int64_t out = 0;
  InitOptions init;
  Multipliers rate_mult, decay_mult;
};

enum class ActivationKind { relu, sigmoid, tanh };

struct ActivationOptions {
  ActivationKind kind = ActivationKind::relu;
};

struct DropoutOptions {
  float p = 0.5f;
};

// Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3), as PyTorch scales it:
//   y[c] = x[c] (k + alpha / size * the sum of x[c']^2 over c - size/2 <= c' <= c + (size - 1)/2)^-beta
struct LrnOptions {
  std::int64_t size = 5;
  float alpha = 1e-4f, beta = 0.75f, k = 1;
};

// Batch normalisation by channel (Ioffe and Szegedy 2015), the statistics over all rows of a pass on all devices:
//   y = weight (x - mean) / sqrt(variance + epsilon) + bias
// In training by the batch's mean and (biased) variance, of which moving means are kept, that of the unbiased variance:
// running = (1 - momentum) running + momentum batch's. Elsewhere by the moving means. As PyTorch's BatchNorm.
struct BatchNormOptions {
  float epsilon = 1e-5f;
  double momentum = 0.1;
  InitOptions init{{Initializer::Kind::constant, 1}, {Initializer::Kind::constant, 0}};
  Multipliers rate_mult, decay_mult;
};

struct FlattenOptions {};
struct ConcatOptions {};  // along the first dimension of a sample
struct AddOptions {};

using LayerOptions = std::variant<ConvOptions, PoolOptions, FullyConnectedOptions, ActivationOptions, DropoutOptions,
                                  LrnOptions, BatchNormOptions, FlattenOptions, ConcatOptions, AddOptions>;

// Whether the devices that hold one model together divide a layer among them (plan/divide.h). Layers that take channels
// one by one follow their input.
enum class LayerSplit {
  automatic,  // where its parts are not too narrow, and as parallel.split says
  whole,      // never
  divide,     // in any case
};

struct LayerSpec {
  std::string type;               // as in job.yaml: "conv", "max_pool", ...
  std::string name;               // unique; "conv1" where the user gave none
  std::vector<std::string> from;  // names of layers, or "input"; empty: the layer above
  LayerOptions options;
  Position where;  // of the layer's type in the job file
  LayerSplit split = LayerSplit::automatic;
  Position split_where;
};

struct NetworkSpec {
  Shape input;  // of one sample
  std::vector<LayerSpec> layers;
  Position where;
};

}  // namespace hadal
