#include "nn/network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/nearest.h"
#include "base/random.h"
#include "nn/op.h"

namespace hadal {

namespace {

// More numbers than any machine has for one sample or one layer's parameters.
constexpr std::int64_t kMostElements = std::int64_t{1} << 40;
constexpr std::int64_t kMostFlops = std::int64_t{1} << 58;

// Infers the layers of one network, one after another.
class Builder {
 public:
  explicit Builder(const NetworkSpec& spec) : spec_(spec) {
    network_.input = spec.input;
    names_["input"] = kNetworkInput;
  }

  Network build() {
    if (count(spec_.input) > kMostElements)
      throw ConfigError(spec_.where, "network.input " + to_string(spec_.input) + " is too large");
    if (spec_.layers.empty()) throw ConfigError(spec_.where, "the network has no layers");
    for (const LayerSpec& layer : spec_.layers) add(layer);
    check_all_used();
    return std::move(network_);
  }

 private:
  void add(const LayerSpec& spec) {
    spec_layer_ = &spec;
    layer_ = Layer{.name = spec.name, .type = spec.type, .options = spec.options, .split = spec.split};
    find_inputs(spec);
    std::visit([this](const auto& options) { infer(options); }, spec.options);
    if (count(layer_.output) > kMostElements)
      fail(layer_.name + ": its output " + to_string(layer_.output) + " is too large");
    layer_.learns = layer_.weight >= 0 || std::any_of(layer_.inputs.begin(), layer_.inputs.end(),
                                                      [this](int source) { return network_.learns(source); });
    const int index = static_cast<int>(network_.layers.size());
    if (!names_.emplace(spec.name, index).second) fail("the name '" + spec.name + "' is used twice");
    network_.layers.push_back(std::move(layer_));
  }

  void find_inputs(const LayerSpec& spec) {
    if (spec.from.empty()) layer_.inputs.push_back(static_cast<int>(network_.layers.size()) - 1);
    for (const std::string& name : spec.from) {
      const auto found = names_.find(name);
      if (found == names_.end()) {
        std::vector<std::string> above;
        for (const auto& [known, index] : names_) above.push_back(known);
        const std::string near = nearest(name, above);
        fail("'" + spec.name + "' takes its input from '" + name + "', which is not a layer above it" +
             (near.empty() ? "" : "; did you mean '" + near + "'?"));
      }
      layer_.inputs.push_back(found->second);
    }
  }

  const Shape& input(std::size_t i = 0) const { return network_.shape_of(layer_.inputs[i]); }

  [[noreturn]] void fail(const std::string& message) const { throw ConfigError(spec_layer_->where, message); }

  // The product of the numbers; past kMostElements where it cannot be counted.
  static std::int64_t count(const Shape& numbers) {
    std::int64_t product = 1;
    for (const std::int64_t number : numbers) {
      if (__builtin_mul_overflow(product, number, &product)) return std::numeric_limits<std::int64_t>::max();
    }
    return product;
  }

  void need_one_input() const {
    if (layer_.inputs.size() != 1) fail(layer_.type + " takes one input, not " + std::to_string(layer_.inputs.size()));
  }

  void need_image() const {
    need_one_input();
    if (input().size() != 3) {
      fail(layer_.name + " needs an input of [channels, height, width]; it gets " + to_string(input()));
    }
  }

  // A window along one side of an image.
  struct Side {
    const char* name;
    std::int64_t size, kernel, stride, pad, dilation = 1;
  };

  // Output size of a window that moves over a side.
  std::int64_t windows(const Side& side, bool ceil) const {
    const std::int64_t padded = side.size + 2 * side.pad, covered = side.dilation * (side.kernel - 1) + 1;
    if (padded < covered) {
      const std::string dilated = side.dilation > 1 ? ", dilated to " + std::to_string(covered) + "," : "";
      fail(layer_.name + ": kernel " + side.name + " " + std::to_string(side.kernel) + dilated +
           " is larger than the " + (side.pad ? "padded " : "") + "input's " + std::to_string(padded) +
           "; the input is " + to_string(input()));
    }
    const std::int64_t span = padded - covered;
    std::int64_t out = span / side.stride + 1;
    // As PyTorch: the last window must begin inside the image or its left padding.
    if (ceil && span % side.stride != 0 && out * side.stride < side.size + side.pad) ++out;
    return out;
  }

  std::int64_t flops(const Shape& factors) const {
    const std::int64_t product = count(factors);
    if (product > kMostFlops)
      fail(layer_.name + " is too large: it would take more than 2^58 operations for one sample");
    return product;
  }

  template <class Options>
  void add_parameters(const Shape& weight_shape, const Options& options, std::int64_t fan_in, std::int64_t fan_out) {
    const int layer = static_cast<int>(network_.layers.size());
    layer_.weight = static_cast<int>(network_.parameters.size());
    layer_.bias = layer_.weight + 1;
    network_.parameters.push_back({layer_.name + ".weight", layer, weight_shape, options.init.weight, fan_in, fan_out,
                                   options.rate_mult.weight, options.decay_mult.weight});
    network_.parameters.push_back({layer_.name + ".bias",
                                   layer,
                                   {weight_shape[0]},
                                   options.init.bias,
                                   fan_in,
                                   fan_out,
                                   options.rate_mult.bias,
                                   options.decay_mult.bias});
    if (count(weight_shape) > kMostElements) fail(layer_.name + " has more than 2^40 parameters");
  }

  void infer(const ConvOptions& o) {
    need_image();
    const std::int64_t channels = input()[0];
    if (channels % o.groups != 0 || o.out % o.groups != 0) {
      fail(layer_.name + ": groups: " + std::to_string(o.groups) + " must divide its " + std::to_string(channels) +
           " input channels and its " + std::to_string(o.out) + " output channels");
    }
    const std::int64_t height =
        windows({"height", input()[1], o.kernel.height, o.stride.height, o.pad.height, o.dilation.height}, false);
    const std::int64_t width =
        windows({"width", input()[2], o.kernel.width, o.stride.width, o.pad.width, o.dilation.width}, false);
    layer_.output = {o.out, height, width};
    const std::int64_t area = o.kernel.area();
    const std::int64_t fan_in = channels / o.groups * area;
    layer_.forward_flops = flops({2, o.out, height, width, fan_in});
    add_parameters({o.out, channels / o.groups, o.kernel.height, o.kernel.width}, o, fan_in, o.out / o.groups * area);
  }

  void infer(const PoolOptions& o) {
    need_image();
    const Side rows{"height", input()[1], o.kernel.height, o.stride.height, o.pad.height};
    const Side columns{"width", input()[2], o.kernel.width, o.stride.width, o.pad.width};
    for (const Side& side : {rows, columns}) {
      if (2 * side.pad > side.kernel) {
        fail(layer_.name + ": pad " + std::to_string(side.pad) + " of the " + side.name +
             " is more than half of kernel " + side.name + " " + std::to_string(side.kernel));
      }
    }
    layer_.output = {input()[0], windows(rows, o.ceil), windows(columns, o.ceil)};
  }

  void infer(const LrnOptions&) {
    need_image();
    layer_.output = input();
  }

  void infer(const FullyConnectedOptions& o) {
    need_one_input();
    const std::int64_t in = elements(input());
    layer_.output = {o.out};
    layer_.forward_flops = flops({2, in, o.out});
    add_parameters({o.out, in}, o, in, o.out);
  }

  void infer(const BatchNormOptions& o) {
    same_as_input();
    const Shape channels{input()[0]};
    add_parameters(channels, o, 1, 1);
    const auto add_running = [&](const char* name, float start) {
      network_.parameters.push_back({.name = layer_.name + name,
                                     .layer = static_cast<int>(network_.layers.size()),
                                     .shape = channels,
                                     .init = {Initializer::Kind::constant, start},
                                     .learned = false});
      return static_cast<int>(network_.parameters.size()) - 1;
    };
    layer_.running_mean = add_running(".running_mean", 0);
    layer_.running_variance = add_running(".running_variance", 1);
  }

  void infer(const ActivationOptions&) { same_as_input(); }
  void infer(const DropoutOptions&) { same_as_input(); }

  void same_as_input() {
    need_one_input();
    layer_.output = input();
  }

  void infer(const FlattenOptions&) {
    need_one_input();
    layer_.output = {elements(input())};
  }

  void infer(const ConcatOptions&) {
    layer_.output = input();
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) {
      const Shape& other = input(i);
      if (other.size() != input().size() || !std::equal(other.begin() + 1, other.end(), input().begin() + 1)) {
        fail(layer_.name + ": cannot join " + to_string(input()) + " and " + to_string(other) +
             ": only their first dimensions may differ");
      }
      layer_.output[0] += other[0];
    }
  }

  void infer(const AddOptions&) {
    if (layer_.inputs.size() < 2) fail(layer_.name + ": add needs at least two inputs; name them with from: [a, b]");
    layer_.output = input();
    for (std::size_t i = 1; i < layer_.inputs.size(); ++i) {
      if (input(i) != input()) {
        fail(layer_.name + ": cannot add " + to_string(input()) + " and " + to_string(input(i)));
      }
    }
  }

  void check_all_used() const {
    std::vector<bool> used(network_.layers.size());
    used.back() = true;
    for (const Layer& layer : network_.layers) {
      for (const int source : layer.inputs) {
        if (source != kNetworkInput) used[source] = true;
      }
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i]) {
        throw ConfigError(spec_.layers[i].where, "nothing uses the output of '" + network_.layers[i].name +
                                                     "'; only the last layer may end the network");
      }
    }
  }

  const NetworkSpec& spec_;
  const LayerSpec* spec_layer_ = nullptr;
  Network network_;
  Layer layer_;
  std::map<std::string, int> names_;
};

}  // namespace

Network build_network(const NetworkSpec& spec) { return Builder(spec).build(); }

std::int64_t Network::parameter_elements() const {
  std::int64_t sum = 0;
  for (const Parameter& parameter : parameters) sum += parameter.learned ? elements(parameter.shape) : 0;
  return sum;
}

std::int64_t Network::training_flops() const {
  std::int64_t sum = 0;
  for (const Layer& layer : layers) {
    const bool data_gradient =
        std::any_of(layer.inputs.begin(), layer.inputs.end(), [this](int source) { return learns(source); });
    sum += layer.forward_flops * (data_gradient ? 3 : 2);
  }
  return sum;
}

std::vector<float> initial_values(const Network& network, int index, std::uint64_t seed) {
  const Parameter& parameter = network.parameters[index];
  const RandomSequence random(seed, RandomUse::initialise, static_cast<std::uint32_t>(index));
  std::vector<float> values(static_cast<std::size_t>(elements(parameter.shape)));
  const auto fill = [&](auto&& value_at) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = value_at(i);
  };
  switch (parameter.init.kind) {
    case Initializer::Kind::constant:
      fill([&](std::size_t) { return parameter.init.value; });
      break;
    case Initializer::Kind::gaussian:
      fill([&](std::size_t i) { return parameter.init.value * random.normal(i); });
      break;
    case Initializer::Kind::xavier: {
      const auto limit = static_cast<float>(std::sqrt(6.0 / static_cast<double>(parameter.fan_in + parameter.fan_out)));
      fill([&](std::size_t i) { return limit * (2 * random.uniform(i) - 1); });
      break;
    }
    case Initializer::Kind::msra: {
      const auto deviation = static_cast<float>(std::sqrt(2.0 / static_cast<double>(parameter.fan_in)));
      fill([&](std::size_t i) { return deviation * random.normal(i); });
      break;
    }
  }
  return values;
}

}  // namespace hadal
