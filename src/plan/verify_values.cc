#include "plan/verify_values.h"

#include <type_traits>
#include <utility>

namespace hadal {

namespace {

using What = ValueUse::What;

template <class O, class... Others>
constexpr bool is_one_of = (std::is_same_v<O, Others> || ...);

template <class O>
std::vector<ValueUse> used_by(const O& op, const Step& step, bool forward) {
  const auto read = [&](std::size_t i, What what) { return ValueUse{step.reads[i], what, 0}; };
  const auto diff = [&](bool in_place) {
    return in_place ? ValueUse{step.writes[0], What::diff, 0} : read(1, What::diff);
  };
  if constexpr (is_one_of<O, ConcatForward, Add>) {
    std::vector<ValueUse> inputs;
    for (std::size_t i = 0; forward && i < step.reads.size(); ++i) inputs.push_back({step.reads[i], What::input, i});
    return inputs;
  } else if constexpr (is_one_of<O, ActivationForward>) {
    return {op.in_place ? ValueUse{step.writes[0], What::input, 0} : read(0, What::input)};
  } else if constexpr (is_one_of<O, ConvForward, PoolForward, LrnForward, BatchNormForward, BatchNormSums,
                                 FullyConnectedForward>) {
    return {read(0, What::input)};
  } else if constexpr (is_one_of<O, Dropout>) {
    return {read(0, forward ? What::input : What::diff)};
  } else if constexpr (is_one_of<O, ConvBackwardData, PoolBackward, FullyConnectedBackwardData, ConcatBackward>) {
    return {read(0, What::diff)};
  } else if constexpr (is_one_of<O, LrnBackward>) {
    return {read(0, What::input), diff(op.in_place)};
  } else if constexpr (is_one_of<O, ActivationBackward>) {
    return {read(0, What::own), diff(op.in_place)};
  } else if constexpr (is_one_of<O, BatchNormBackwardSums, BatchNormBackwardData, ConvBackwardWeights,
                                 FullyConnectedBackwardWeights>) {
    return {read(0, What::input), read(1, What::diff)};
  } else {
    return {};
  }
}

}  // namespace

std::vector<ValueUse> values_used(const Plan& plan, const Network& network, const Step& step) {
  const auto* compute = std::get_if<Compute>(&step.body);
  if (compute == nullptr || step.layer < 0) return {};
  if (plan.content[step.layer] == ExchangeContent::factors &&
      std::holds_alternative<FullyConnectedBackwardWeights>(compute->op)) {
    return {};
  }
  const bool forward = step.name == network.layers[step.layer].name + ".forward";
  return std::visit([&](const auto& op) { return used_by(op, step, forward); }, compute->op);
}

ValueSources::ValueSources(const Plan& plan, const Network& network)
    : plan_(plan), network_(network), diffs_(network.layers.size()) {
  for (std::size_t l = network.layers.size(); l > 0; --l) {
    const Layer& consumer = network.layers[l - 1];
    std::set<std::string>& own = diffs_[l - 1];
    own.insert(consumer.name + ".sum_diffs");
    if (l == network.layers.size()) own.insert("loss");
    const bool passes = is_view(consumer) || std::holds_alternative<AddOptions>(consumer.options);
    for (const int input : consumer.inputs) {
      if (input == kNetworkInput) continue;
      if (passes) {
        diffs_[static_cast<std::size_t>(input)].insert(own.begin(), own.end());
      } else {
        diffs_[static_cast<std::size_t>(input)].insert(consumer.name + ".backward");
      }
    }
  }
}

bool ValueSources::is_view(const Layer& layer) const {
  const auto* dropout = std::get_if<DropoutOptions>(&layer.options);
  return std::holds_alternative<FlattenOptions>(layer.options) ||
         (dropout != nullptr && (plan_.mode != PlanMode::train || dropout->p == 0)) ||
         (std::holds_alternative<ConcatOptions>(layer.options) && layer.inputs.size() == 1);
}

std::string ValueSources::value_of(int layer) const {
  while (layer != kNetworkInput && is_view(network_.layers[layer])) layer = network_.layers[layer].inputs[0];
  if (layer != kNetworkInput) return network_.layers[layer].name + ".forward";
  return plan_.precision == DType::f32 ? "input.load" : "input.convert";
}

bool ValueSources::gives(const std::string& step, int layer, const ValueUse& use) const {
  if (use.what == What::diff) return diffs_[static_cast<std::size_t>(layer)].contains(step);
  return step == value_of(use.what == What::own ? layer : network_.layers[layer].inputs[use.input]);
}

}  // namespace hadal
