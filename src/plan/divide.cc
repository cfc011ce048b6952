#include "plan/divide.h"

#include <algorithm>

#include "plan/partition.h"

namespace hadal {

namespace {

template <class Options>
const Options* options_of(const Layer& layer) {
  return std::get_if<Options>(&layer.options);
}

using Bounds = std::vector<std::int64_t>;

Bounds times(Bounds bounds, std::int64_t factor) {
  for (std::int64_t& bound : bounds) bound *= factor;
  return bounds;
}

// `total` outputs in steps of `unit`, or nothing where a part would have too few.
Bounds cut(std::int64_t total, std::int64_t unit, std::int64_t parts, std::int64_t smallest) {
  if (total / unit < parts || total / parts < smallest) return {};
  return times(even_bounds(total / unit, parts), unit);
}

// The same in steps of the channels that kernels take at a time, where there are enough; the last part has the rest.
Bounds cut_aligned(std::int64_t total, std::int64_t parts, std::int64_t smallest) {
  constexpr std::int64_t kTogether = 16;
  Bounds bounds = cut(total, total >= kTogether * parts ? kTogether : 1, parts, smallest);
  if (!bounds.empty()) bounds.back() = total;
  return bounds;
}

// Each of `groups` by the same bounds.
Bounds repeated(const Bounds& bounds, std::int64_t groups) {
  Bounds all;
  for (std::int64_t g = 0; g < groups && !bounds.empty(); ++g) {
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i) all.push_back(g * bounds.back() + bounds[i]);
  }
  if (!all.empty()) all.push_back(groups * bounds.back());
  return all;
}

// `pieces` halved, and the halves again, until there are `parts`: the first half has one more of either where they are
// odd, as in sums by halves.
Bounds cut_by_halves(std::int64_t pieces, std::int64_t parts) {
  if (parts == 1) return {0, pieces};
  const std::int64_t middle = (pieces + 1) / 2;
  Bounds bounds = cut_by_halves(middle, (parts + 1) / 2);
  for (const std::int64_t bound : cut_by_halves(pieces - middle, parts / 2)) {
    if (bound > 0) bounds.push_back(middle + bound);
  }
  return bounds;
}

// Whether sums over the pieces of each group, by halves, are those over the parts of their own sums: a group is in one
// part, or in parts of its own that are its halves, or halves of these, ...
bool halves_groups(const Bounds& bounds, std::int64_t pieces_of_group) {
  for (std::int64_t begin = 0; begin < bounds.back(); begin += pieces_of_group) {
    Bounds inside;
    for (const std::int64_t bound : bounds) {
      if (bound >= begin && bound <= begin + pieces_of_group) inside.push_back(bound - begin);
    }
    const bool cut = std::any_of(inside.begin(), inside.end(),
                                 [&](std::int64_t bound) { return bound > 0 && bound < pieces_of_group; });
    if (!cut) continue;
    const bool apart = inside.front() == 0 && inside.back() == pieces_of_group;
    if (!apart || inside != cut_by_halves(pieces_of_group, static_cast<std::int64_t>(inside.size()) - 1)) return false;
  }
  return true;
}

}  // namespace

Division::Division(const Network& network, int parts, std::int64_t smallest, std::int64_t chunks,
                   const std::vector<int>& whole)
    : network_(network), parts_(parts), smallest_(smallest), chunks_(chunks) {
  for (int l = 0; l < static_cast<int>(network.layers.size()); ++l) {
    const Layer& layer = network.layers[static_cast<std::size_t>(l)];
    if (!options_of<FullyConnectedOptions>(layer) && !options_of<ConvOptions>(layer)) {
      const int input = followed(layer);
      chunk_bounds_.push_back(follow(layer, input, chunk_bounds_));
      bounds_.push_back(follow(layer, input, bounds_));
      continue;
    }
    chunk_bounds_.push_back(chunks == 1 ? Bounds{} : cut_outputs(layer, chunks, smallest));
    const bool must = layer.split == LayerSplit::divide;
    const bool may = layer.split != LayerSplit::whole && std::find(whole.begin(), whole.end(), l) == whole.end();
    bounds_.push_back(parts > 1 && (must || may) ? bounds_of(l, must ? 1 : smallest) : Bounds{});
  }
}

// Of a layer that takes channels one by one: the first input whose channels are cut, by the definition of the result
// where that cuts them. kNetworkInput: none.
int Division::followed(const Layer& layer) const {
  if (options_of<ConcatOptions>(layer) && layer.inputs.size() > 1) return kNetworkInput;
  const std::vector<Bounds>& cuts = chunks_ == 1 ? bounds_ : chunk_bounds_;
  const auto first = std::find_if(layer.inputs.begin(), layer.inputs.end(), [&](int input) {
    return input != kNetworkInput && !cuts[static_cast<std::size_t>(input)].empty();
  });
  return first == layer.inputs.end() ? kNetworkInput : *first;
}

Division::Bounds Division::follow(const Layer& layer, int input, const std::vector<Bounds>& cuts) const {
  if (input == kNetworkInput) return {};
  const Bounds& bounds = cuts[static_cast<std::size_t>(input)];
  return options_of<FlattenOptions>(layer) ? times(bounds, layer.output[0] / network_.shape_of(input)[0]) : bounds;
}

// The outputs of a fully-connected layer or a convolution in `parts`: of groups whole ones, or of each group alike.
Division::Bounds Division::cut_outputs(const Layer& layer, std::int64_t parts, std::int64_t smallest) const {
  const auto cut_evenly = [&](std::int64_t outputs, std::int64_t count) {
    return chunks_ == 1 ? cut(outputs, 1, count, smallest) : cut_aligned(outputs, count, smallest);
  };
  if (const auto* o = options_of<FullyConnectedOptions>(layer)) return cut_evenly(o->out, parts);
  const auto& o = *options_of<ConvOptions>(layer);
  if (o.groups >= parts && o.groups > 1) return cut(o.out, o.out / o.groups, parts, smallest);
  if (parts % o.groups != 0) return {};
  return repeated(cut_evenly(o.out / o.groups, parts / o.groups), o.groups);
}

Division::Bounds Division::bounds_of(int l, std::int64_t smallest) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  const auto* conv = options_of<ConvOptions>(layer);
  Bounds bounds;
  if (chunks_ == 1) {
    bounds = cut_outputs(layer, parts_, smallest);
  } else if (const Bounds& chunks = chunk_bounds_[static_cast<std::size_t>(l)]; !chunks.empty() && parts_ <= chunks_) {
    const Bounds halves = cut_by_halves(chunks_, parts_);
    if (conv && conv->groups < chunks_ && !halves_groups(halves, chunks_ / conv->groups)) return {};
    for (const std::int64_t chunk : halves) bounds.push_back(chunks[static_cast<std::size_t>(chunk)]);
  }
  return conv && conv->groups > 1 && !bounds.empty() && !gathers_gradients(layer, bounds) ? Bounds{} : bounds;
}

// Where parts have less than a group, whether each part has input channels of one group: so it gets all of their
// gradient from the parts of that group.
bool Division::gathers_gradients(const Layer& layer, const Bounds& bounds) const {
  const std::int64_t groups = options_of<ConvOptions>(layer)->groups, outputs = bounds.back() / groups;
  const bool less = std::any_of(bounds.begin(), bounds.end(), [&](std::int64_t bound) { return bound % outputs != 0; });
  const int input = layer.inputs[0];
  if (!less || input == kNetworkInput) return true;
  if (!divides(input)) return false;
  const Bounds& of_input = bounds_[static_cast<std::size_t>(input)];
  const auto has = [](const Bounds& all, std::int64_t bound) {
    return std::find(all.begin(), all.end(), bound) != all.end();
  };
  for (std::int64_t g = 0; g < groups; ++g) {
    if (!has(bounds, g * outputs) || !has(of_input, g * of_input.back() / groups)) return false;
  }
  return true;
}

OutputUnits Division::units(int l, int part) const {
  const Bounds& chunks = chunk_bounds_[static_cast<std::size_t>(l)];
  const Channels own = computed(l, part);
  OutputUnits units;
  for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
    if (chunks[i] >= own.first && chunks[i] < own.first + own.count) units.push_back(chunks[i + 1] - chunks[i]);
  }
  return units;
}

std::string Division::why_not(int l) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  if (parts_ == 1 || layer.split != LayerSplit::divide || divides(l)) return "";
  const auto* conv = options_of<ConvOptions>(layer);
  const std::string parts = std::to_string(parts_), outputs = std::to_string(layer.output[0]);
  if (layer.output[0] < parts_) return "it has only " + outputs + " outputs for " + parts + " parts";
  if (chunks_ > 1 && chunk_bounds_[static_cast<std::size_t>(l)].empty()) {
    return "under reproducible its " + outputs + " outputs must be " + std::to_string(chunks_) +
           " chunks of at least " + std::to_string(smallest_) + " each";
  }
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
  if (!divides(l) || options_of<FullyConnectedOptions>(layer)) return every;
  const Channels own = computed(l, part);
  if (const auto* o = options_of<ConvOptions>(layer)) {  // of the groups that its outputs are of
    const std::int64_t outputs = o->out / o->groups, inputs = every.count / o->groups;
    const std::int64_t first = own.first / outputs, end = (own.first + own.count - 1) / outputs + 1;
    return {first * inputs, (end - first) * inputs};
  }
  if (const auto* o =
          options_of<LrnOptions>(layer)) {  // twice the window: the gradient of a channel depends on its neighbours'
    const std::int64_t first = std::max<std::int64_t>(own.first - 2 * (o->size / 2), 0);
    return {first, std::min(own.first + own.count + 2 * (o->size / 2), every.count) - first};
  }
  if (options_of<FlattenOptions>(layer)) {
    const std::int64_t pixels = layer.output[0] / every.count;
    return {own.first / pixels, own.count / pixels};
  }
  return own;
}

bool Division::adds_up(int l) const {
  const Layer& layer = network_.layers[static_cast<std::size_t>(l)];
  const auto* conv = options_of<ConvOptions>(layer);
  return divides(l) && (options_of<FullyConnectedOptions>(layer) || (conv && conv->groups < parts_));
}

}  // namespace hadal
