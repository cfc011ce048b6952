#include "plan/divide.h"

#include <algorithm>

#include "plan/partition.h"

namespace hadal {

namespace {

template <class Options>
const Options* as(const Layer& layer) {
  return std::get_if<Options>(&layer.options);
}

std::vector<std::int64_t> times(std::vector<std::int64_t> bounds, std::int64_t factor) {
  for (std::int64_t& bound : bounds) bound *= factor;
  return bounds;
}

// `total` outputs in steps of `unit`, or nothing where a part would have too few.
std::vector<std::int64_t> cut(std::int64_t total, std::int64_t unit, std::int64_t parts, std::int64_t smallest) {
  if (total / unit < parts || total / parts < smallest) return {};
  return times(even_bounds(total / unit, parts), unit);
}

}  // namespace

Division::Division(const Network& network, int parts, std::int64_t smallest, const std::vector<int>& whole)
    : network_(network), parts_(parts) {
  for (const Layer& layer : network.layers) {
    const auto l = static_cast<int>(bounds_.size());
    const bool divided = parts > 1 && layer.split != LayerSplit::whole &&
                         (layer.split == LayerSplit::divide || std::find(whole.begin(), whole.end(), l) == whole.end());
    bounds_.push_back(divided ? bounds_of(layer, layer.split == LayerSplit::divide ? 1 : smallest)
                              : std::vector<std::int64_t>{});
  }
}

std::vector<std::int64_t> Division::bounds_of(const Layer& layer, std::int64_t smallest) const {
  const auto of_input = [&](std::size_t i) {
    const int input = layer.inputs[i];
    return divides(input) ? bounds_[static_cast<std::size_t>(input)] : std::vector<std::int64_t>{};
  };
  if (const auto* o = as<FullyConnectedOptions>(layer)) return cut(o->out, 1, parts_, smallest);
  if (as<ConvOptions>(layer)) return bounds_of_conv(layer, smallest);
  if (as<FlattenOptions>(layer)) return times(of_input(0), layer.output[0] / network_.shape_of(layer.inputs[0])[0]);
  if (as<ConcatOptions>(layer) && layer.inputs.size() > 1) return {};
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    if (divides(layer.inputs[i])) return of_input(i);
  }
  return {};
}

// Whole groups, or where there are fewer groups than parts as many parts of each: if each part has input channels of
// one group, so that it gets all of their gradient from the parts of that group.
std::vector<std::int64_t> Division::bounds_of_conv(const Layer& layer, std::int64_t smallest) const {
  const auto& o = *as<ConvOptions>(layer);
  if (o.groups == 1) return cut(o.out, 1, parts_, smallest);
  if (o.groups >= parts_) return cut(o.out, o.out / o.groups, parts_, smallest);
  if (parts_ % o.groups != 0) return {};
  const int input = layer.inputs[0];
  if (input != kNetworkInput && !divides(input)) return {};
  for (std::int64_t g = 0; g < o.groups && input != kNetworkInput; ++g) {
    const std::int64_t first =
        bounds_[static_cast<std::size_t>(input)][static_cast<std::size_t>(g * parts_ / o.groups)];
    if (first != g * all(input).count / o.groups) return {};
  }
  return cut(o.out, 1, parts_, smallest);
}

std::string Division::why_not(int l) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  if (parts_ == 1 || layer.split != LayerSplit::divide || divides(l)) return "";
  const auto* conv = as<ConvOptions>(layer);
  const std::string parts = std::to_string(parts_), outputs = std::to_string(layer.output[0]);
  if (layer.output[0] < parts_) return "it has only " + outputs + " outputs for " + parts + " parts";
  if (conv && conv->groups > 1) {
    return "its " + std::to_string(conv->groups) + " groups cannot be shared evenly by " + parts +
           " parts, each with the input channels of one group";
  }
  return "it takes its channels as they come";
}

Channels Division::computed(int layer, int part) const {
  if (!divides(layer)) return all(layer);
  const std::vector<std::int64_t>& bounds = bounds_[static_cast<std::size_t>(layer)];
  const auto p = static_cast<std::size_t>(part);
  return {bounds[p], bounds[p + 1] - bounds[p]};
}

Channels Division::needed(int l, std::size_t input, int part) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  const Channels every = all(layer.inputs[input]);
  if (!divides(l) || as<FullyConnectedOptions>(layer)) return every;
  const Channels own = computed(l, part);
  if (const auto* o = as<ConvOptions>(layer)) {  // of the groups that its outputs are of
    const std::int64_t outputs = o->out / o->groups, inputs = every.count / o->groups;
    const std::int64_t first = own.first / outputs, end = (own.first + own.count - 1) / outputs + 1;
    return {first * inputs, (end - first) * inputs};
  }
  if (const auto* o =
          as<LrnOptions>(layer)) {  // twice the window: the gradient of a channel depends on its neighbours'
    const std::int64_t first = std::max<std::int64_t>(own.first - 2 * (o->size / 2), 0);
    return {first, std::min(own.first + own.count + 2 * (o->size / 2), every.count) - first};
  }
  if (as<FlattenOptions>(layer)) {
    const std::int64_t pixels = layer.output[0] / every.count;
    return {own.first / pixels, own.count / pixels};
  }
  return own;
}

bool Division::adds_up(int l) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  const auto* conv = as<ConvOptions>(layer);
  return divides(l) && (as<FullyConnectedOptions>(layer) || (conv && conv->groups < parts_));
}

}  // namespace hadal
