// What brings gradients, or their factors, to the owners of parameters, and new parameters back.

#include <algorithm>

#include "plan/builder.h"

namespace hadal {

namespace {

// The same rows in as few spans as possible.
std::vector<RowSpan> joined(std::vector<RowSpan> spans) {
  std::sort(spans.begin(), spans.end(), [](const RowSpan& a, const RowSpan& b) { return a.first < b.first; });
  std::vector<RowSpan> result;
  for (const RowSpan& span : spans) {
    if (!result.empty() && result.back().first + result.back().count == span.first) {
      result.back().count += span.count;
    } else {
      result.push_back(span);
    }
  }
  return result;
}

}  // namespace

// The stream of `kind`, gather or distribute, on which a device sends to another.
StreamKind PlanBuilder::stream_for(StreamKind kind, int from, int to) const {
  const bool two_neighbours =
      options_.topology == ExchangeTopology::line || options_.topology == ExchangeTopology::tree;
  if (!two_neighbours || to > from) return kind;
  return kind == StreamKind::gather ? StreamKind::gather_down : StreamKind::distribute_down;
}

void PlanBuilder::transfer(const std::string& name, int from, int to, StreamKind kind, int layer, Range source,
                           Range destination) {
  const std::size_t bytes = bytes_of(source);
  const StreamKind stream = stream_for(kind, from, to);
  plan_.steps.push_back(
      {name, from, stream, layer, Transfer{to, 1, bytes, bytes, bytes}, {source}, {destination}, {}, 0});
}

// Brings each flow to all that want it, and those on the way. What is read where it lies with one memory is counted for
// devices that work.
void PlanBuilder::spread(StreamKind stream, int layer, std::vector<Spread> flows) {
  if (shared()) {
    for (const Spread& flow : flows) {
      for (int to = 0; to < device_count(); ++to) {
        const bool reads = works(to) || options_.mode == PlanMode::average;
        if (to != flow.from && same_partition(to, flow.from) && flow.wanted[to] && reads)
          plan_.remote_read_bytes += bytes_of(flow.where(flow.from));
      }
    }
    return;
  }
  std::vector<int> owners;
  for (const Spread& flow : flows) owners.push_back(flow.from);
  const std::vector<Hop> ways = hops(false, owners);
  for (auto hop = ways.rbegin(); hop != ways.rend(); ++hop) {
    if (flows[hop->flow].wanted[hop->to]) flows[hop->flow].wanted[hop->from] = true;
  }
  for (const Hop& hop : ways) {
    const Spread& flow = flows[hop.flow];
    if (flow.wanted[hop.to])
      transfer(flow.name, hop.from, hop.to, stream, layer, flow.where(hop.from), flow.where(hop.to));
  }
}

// Copies columns of a matrix of rows `pitch` elements long.
void PlanBuilder::transfer_columns(const std::string& name, int from, int to, int layer, Range source,
                                   Range destination, std::int64_t pitch, std::int64_t first_column,
                                   std::int64_t columns) {
  const auto rows = static_cast<std::size_t>(source.count / pitch);
  const std::size_t element = size_of(plan_.tensors[source.tensor].type);
  const auto shift = [&](Range range) {
    return Range{range.tensor, range.first + first_column, range.count - pitch + columns};
  };
  plan_.steps.push_back({name,
                         from,
                         stream_for(StreamKind::gather, from, to),
                         layer,
                         Transfer{to, rows, static_cast<std::size_t>(columns) * element,
                                  static_cast<std::size_t>(pitch) * element, static_cast<std::size_t>(pitch) * element},
                         {shift(source)},
                         {shift(destination)},
                         {},
                         0});
}

// Sends the rows of a fully-connected layer's input to its owners as soon as they are there.
void PlanBuilder::send_inputs(int l) {
  const Layer& layer = network_.layers[l];
  if (plan_.content[l] != ExchangeContent::factors) return;
  const int input = root(layer.inputs[0]);
  const RowTensor& rows = this->input(l, 0);
  std::vector<bool> wanted(options_.devices.size());
  for (int other = 0; other < static_cast<int>(network_.layers.size()); ++other) {
    if (plan_.content[other] != ExchangeContent::factors || root(network_.layers[other].inputs[0]) != input) continue;
    if (other < l) return;  // that layer has sent the rows already
    for (const OwnerSpan& owner : owners_[other]) wanted[owner.device] = true;
  }
  std::vector<Spread> flows;
  for (int from = 0; from < device_count(); ++from) {
    if (!works(from)) continue;
    const RowSpan& span = span_of(from);
    flows.push_back({layer.name + ".send_input", from, wanted,
                     [&](int device) { return rows.rows(device, span.first, span.count); }});
  }
  spread(StreamKind::gather, l, std::move(flows));
}

void PlanBuilder::gather(int l) {
  if (plan_.content[l] == ExchangeContent::factors) {
    gather_factors(l);
  } else if (plan_.content[l] == ExchangeContent::statistics) {
    for (const int index : owned_of_layer_[l]) {
      const OwnedRange& owned = plan_.owned[index];
      for (const GradientPart& part : gradients_[l]) {
        const int tensor = owned.parameter == network_.layers[l].weight ? part.weight : part.bias;
        if (part.device == owned.device) sources_[index] = {{tensor, first_in_place(owned), owned.count}};
      }
    }
  } else if (in_last_pass()) {
    gather_gradients(l);
  }
}

// Parts of a gradient are added up on their way, unless each is part of the definition of the result. Weights leave
// before biases.
void PlanBuilder::gather_gradients(int l) {
  const Layer& layer = network_.layers[l];
  for (const int parameter : {layer.weight, layer.bias}) {
    std::vector<int> indices, owners;
    for (const int index : owned_of_layer_[l]) {
      if (plan_.owned[index].parameter != parameter) continue;
      indices.push_back(index);
      owners.push_back(plan_.owned[index].device);
    }
    std::vector<std::vector<std::vector<GradientPiece>>> held;  // by flow and device
    for (const int index : indices) held.push_back(parts_of(l, plan_.owned[index]));
    if (!shared()) {
      for (const Hop& hop : hops(true, owners)) {
        const OwnedRange& owned = plan_.owned[indices[hop.flow]];
        const std::string& name = network_.parameters[parameter].name;
        std::vector<GradientPiece>&from = held[hop.flow][hop.from], &to = held[hop.flow][hop.to];
        if (options_.reproducible_shards == 0)
          add_up(name, stream_for(StreamKind::gather, hop.from, hop.to), hop.from, l, from);
        for (const GradientPiece& piece : from) {
          const Range received = whole(add_tensor(name + ".received", hop.to, TensorKind::gradient, owned.count));
          transfer(name + (training() ? ".send_gradient" : ".send_squares"), hop.from, hop.to, StreamKind::gather, l,
                   piece.range, received);
          to.push_back({piece.first_row, received});
        }
      }
    }
    for (std::size_t flow = 0; flow < indices.size(); ++flow) {
      std::vector<GradientPiece>& pieces = held[flow][owners[flow]];
      std::sort(pieces.begin(), pieces.end());
      for (const GradientPiece& piece : pieces) sources_[indices[flow]].push_back(piece.range);
    }
  }
}

// The parts of an owned range's gradient, by the device of its partition that has them; with one memory the owner has
// all.
std::vector<std::vector<PlanBuilder::GradientPiece>> PlanBuilder::parts_of(int l, const OwnedRange& owned) {
  std::vector<std::vector<GradientPiece>> held(options_.devices.size());
  for (const GradientPart& part : gradients_[l]) {
    if (!same_partition(part.device, owned.device)) continue;
    const int tensor = owned.parameter == network_.layers[l].weight ? part.weight : part.bias;
    held[shared() ? owned.device : part.device].push_back(
        {part.rows.first, {tensor, first_in_place(owned), owned.count}});
    if (shared() && part.device != owned.device) plan_.remote_read_bytes += bytes_of(held[owned.device].back().range);
  }
  return held;
}

// Several pieces become their sum. It waits for what comes from others, so it is not for the compute stream.
void PlanBuilder::add_up(const std::string& name, StreamKind stream, int device, int l,
                         std::vector<GradientPiece>& pieces) {
  if (pieces.size() < 2) return;
  std::sort(pieces.begin(), pieces.end());
  std::vector<Range> reads;
  for (const GradientPiece& piece : pieces) reads.push_back(piece.range);
  const std::int64_t count = reads[0].count;
  const Range sum = whole(add_tensor(name + ".partial_sum", device, TensorKind::gradient, count));
  plan_.steps.push_back({name + ".add_up",
                         device,
                         stream,
                         l,
                         Compute{SumParts{static_cast<int>(reads.size()), count, 1}},
                         std::move(reads),
                         {sum},
                         {},
                         0});
  pieces = {{pieces[0].first_row, sum}};
}

// Brings the columns of the output's diff that each owner needs.
void PlanBuilder::gather_factors(int l) {
  const Layer& layer = network_.layers[l];
  const RowTensor& diffs = diffs_[l + 1];
  std::vector<std::vector<std::vector<RowSpan>>> held;  // by owner and device
  std::vector<int> owners;
  for (const OwnerSpan& owner : owners_[l]) {
    owners.push_back(owner.device);
    held.emplace_back(options_.devices.size());
    for (int d = 0; d < device_count(); ++d) {
      const RowSpan& own = span_of(d);
      if (!works(d) || !same_partition(d, owner.device)) continue;
      if (shared() && d != owner.device)
        plan_.remote_read_bytes += bytes_of({diffs.tensor[d], 0, own.count * owner.count});
      held.back()[d].push_back({own.first, own.count, {}});
    }
  }
  if (shared()) return;
  for (const Hop& hop : hops(true, owners)) {
    const OwnerSpan& owner = owners_[l][hop.flow];
    for (const RowSpan& span : joined(held[hop.flow][hop.from])) {
      transfer_columns(layer.name + ".send_diff", hop.from, hop.to, l, diffs.rows(hop.from, span.first, span.count),
                       diffs.rows(hop.to, span.first, span.count), diffs.row_elements(hop.to),
                       owner.first - computed(l, hop.to).first, owner.count);
      held[hop.flow][hop.to].push_back(span);
    }
  }
}

void PlanBuilder::update(int l) {
  const bool factors = plan_.content[l] == ExchangeContent::factors, clips = options_.clip_norm > 0;
  if (factors) {
    for (const OwnerSpan& owner : owners_[l]) clips ? gradient_of_factors(l, owner) : update_by_factors(l, owner);
  }
  if (clips) return;
  // Weights leave before biases are there.
  for (const int parameter : {network_.layers[l].weight, network_.layers[l].bias}) {
    for (const int index : owned_of_layer_[l]) {
      if (!factors && plan_.owned[index].parameter == parameter) update_range(index, sources_[index], -1);
    }
    distribute(l, parameter);
  }
}

FullyConnectedBackwardWeights PlanBuilder::product_of_factors(int l, const OwnerSpan& owner) const {
  const bool fixed = options_.reproducible_shards > 0;
  return {input(l, 0).row_elements(owner.device),
          diffs_[l + 1].row_elements(owner.device),
          owner.first - computed(l, owner.device).first,
          owner.count,
          fixed ? owner.pieces : std::vector<std::int64_t>{},
          {0, options_.rows, fixed ? std::vector<std::int64_t>{options_.rows} : std::vector<std::int64_t>{}},
          options_.precision};
}

std::vector<Range> PlanBuilder::factors_on(int l, int device) const {
  return {input(l, 0).rows(device, 0, options_.rows), diffs_[l + 1].rows(device, 0, options_.rows)};
}

void PlanBuilder::gradient_of_factors(int l, const OwnerSpan& owner) {
  std::vector<Range> gradient;
  for (const int index : owned_of_layer_[l]) {
    const OwnedRange& owned = plan_.owned[index];
    if (owned.device != owner.device) continue;
    const std::string& name = network_.parameters[owned.parameter].name;
    gradient.push_back(whole(add_tensor(name + ".gradient", owner.device, TensorKind::gradient, owned.count)));
    sources_[index] = {gradient.back()};
  }
  compute(network_.layers[l].name + ".backward_weights", owner.device, l, product_of_factors(l, owner),
          factors_on(l, owner.device), std::move(gradient));
}

void PlanBuilder::update_by_factors(int l, const OwnerSpan& owner) {
  std::vector<Range> writes, copies;
  std::vector<std::vector<Range>> states(options_.rule.state_count());
  for (const int index : owned_of_layer_[l]) {  // the weight's before the bias's
    const OwnedRange& owned = plan_.owned[index];
    if (owned.device != owner.device) continue;
    writes.push_back(master_of(owned));
    for (std::size_t s = 0; s < states.size(); ++s) states[s].push_back(whole(owned.states[s]));
    if (owned.master >= 0) copies.push_back(place_of(owned, owned.device));
  }
  for (const auto& of_parameters : states) writes.insert(writes.end(), of_parameters.begin(), of_parameters.end());
  writes.insert(writes.end(), copies.begin(), copies.end());
  compute(network_.layers[l].name + ".update", owner.device, l,
          FullyConnectedUpdate{product_of_factors(l, owner), rule_of(network_.layers[l].weight),
                               rule_of(network_.layers[l].bias), !copies.empty()},
          factors_on(l, owner.device), std::move(writes));
}

// Where an owned range begins in what the devices of its partition have of the parameter.
std::int64_t PlanBuilder::first_in_place(const OwnedRange& owned) const {
  return owned.first - plan_.parameters[owned.parameter].first[owned.device];
}

Range PlanBuilder::place_of(const OwnedRange& owned, int device) const {
  return {plan_.parameters[owned.parameter].tensor[device], first_in_place(owned), owned.count};
}

// The fp32 values of an owned range, which the rule updates.
Range PlanBuilder::master_of(const OwnedRange& owned) const {
  return owned.master >= 0 ? whole(owned.master) : place_of(owned, owned.device);
}

std::size_t PlanBuilder::bytes_of(const Range& range) const {
  return static_cast<std::size_t>(range.count) * size_of(plan_.tensors[range.tensor].type);
}

// The job's rule as it is for a parameter.
UpdateRule PlanBuilder::rule_of(int parameter) const {
  UpdateRule rule = options_.rule;
  rule.rate_mult = network_.parameters[parameter].rate_mult;
  rule.weight_decay *= network_.parameters[parameter].decay_mult;
  return rule;
}

// What an owner does with the sum of the devices' gradients, which they have scaled where the states are theirs.
UpdateRule PlanBuilder::owners_rule_of(int parameter) const {
  UpdateRule rule = rule_of(parameter);
  if (options_.device_states) rule = {.kind = RuleKind::sgd, .rate_mult = rule.rate_mult};
  return rule;
}

// Applies the rule to one owned range.
void PlanBuilder::update_range(int index, const std::vector<Range>& parts, int scale) {
  const OwnedRange& owned = plan_.owned[index];
  const Parameter& parameter = network_.parameters[owned.parameter];
  std::vector<Range> reads = parts;
  if (scale >= 0) reads.push_back(whole(scale));
  std::vector<Range> writes{master_of(owned)};
  for (const int state : owned.states) writes.push_back(whole(state));
  if (owned.master >= 0) writes.push_back(place_of(owned, owned.device));
  compute(parameter.name + ".update", owned.device, parameter.layer,
          Update{static_cast<int>(parts.size()), owned.count, owners_rule_of(owned.parameter), scale >= 0,
                 owned.master >= 0},
          std::move(reads), std::move(writes));
  // It waits for what comes from others, and what it writes is sent on: not for the compute stream. Where all gradients
  // are scaled by their norm nothing is left to compute meanwhile.
  if (!shared() && groups() > 1 && scale < 0) plan_.steps.back().stream = StreamKind::distribute;
}

// Sends a layer's new values to those who hold a copy.
void PlanBuilder::distribute(int l, int parameter) {
  std::vector<Spread> flows;
  for (const int index : owned_of_layer_[l]) {
    const OwnedRange& owned = plan_.owned[index];
    if (owned.parameter != parameter) continue;
    flows.push_back({network_.parameters[parameter].name + ".send", owned.device,
                     std::vector<bool>(options_.devices.size(), true),
                     [this, &owned](int device) { return place_of(owned, device); }});
  }
  spread(StreamKind::distribute, l, std::move(flows));
}

// Numbers the norms of owned ranges as if one device owned all: by layers, their parameters and outputs, so that their
// sum does not depend on how these are divided. Those of a layer that is not divided, of which each partition has the
// same ones, have the same numbers. Returns those of each partition's own, from and past.
std::vector<std::map<std::int64_t, std::int64_t>> PlanBuilder::number_norms(std::int64_t& count) {
  std::vector<std::map<std::int64_t, std::int64_t>> own(static_cast<std::size_t>(split()));
  count = 0;
  for (std::size_t l = 0; l < network_.layers.size(); ++l) {
    std::vector<std::int64_t> next(own.size());  // by partition, of a layer that is not divided
    const bool divided = plan_.parts[l] > 1;
    for (const int index : owned_of_layer_[l]) {
      const auto partition = static_cast<std::size_t>(partition_of(plan_.owned[index].device));
      const auto pieces = static_cast<std::int64_t>(owned_piece_elements_[index].size());
      std::int64_t& first = divided ? count : next[partition];
      owned_pieces_[index] = divided ? first : count + first;
      first += pieces;
      if (!divided) continue;
      const auto before = own[partition].empty() ? own[partition].end() : std::prev(own[partition].end());
      if (before != own[partition].end() && before->second == owned_pieces_[index]) {
        before->second += pieces;
      } else {
        own[partition][owned_pieces_[index]] = owned_pieces_[index] + pieces;
      }
    }
    if (!divided) count += *std::max_element(next.begin(), next.end());
  }
  return own;
}

// Clipping by the global norm: owners hold their gradients until the sums of squares of all are known to all.
void PlanBuilder::clip_and_update() {
  std::int64_t slot_count = 0;
  const auto own_slots = number_norms(slot_count);
  std::vector<int> slots(options_.devices.size());
  for (int d = 0; d < device_count(); ++d) {
    slots[d] =
        keeper_of(d) == d ? add_tensor("norms", d, TensorKind::workspace, slot_count, DType::f64) : slots[keeper_of(d)];
  }
  const int layers = static_cast<int>(network_.layers.size());
  for (int l = layers - 1; l >= 0; --l) {
    if (network_.layers[l].weight < 0) continue;
    update(l);
    for (const int index : owned_of_layer_[l]) {
      const OwnedRange& owned = plan_.owned[index];
      const std::string& name = network_.parameters[owned.parameter].name;
      if (sources_[index].size() > 1) {
        const int sum = add_tensor(name + ".gradient_sum", owned.device, TensorKind::gradient, owned.count);
        compute(name + ".sum", owned.device, l, SumParts{static_cast<int>(sources_[index].size()), owned.count},
                sources_[index], {whole(sum)});
        sources_[index] = {whole(sum)};
      }
      const auto count = static_cast<std::int64_t>(owned_piece_elements_[index].size());
      compute(name + ".norms", owned.device, l, SquaredNorms{owned_piece_elements_[index]}, sources_[index],
              {Range{slots[owned.device], owned_pieces_[index], count}});
      share_norms(slots, owned_pieces_[index], count, owned.device);
    }
  }
  for (int shift = 1; shift < split(); ++shift) {  // what a partition's devices know of each other, to their groups
    for (int d = 0; d < device_count(); ++d) {
      if (keeper_of(d) != d) continue;
      const int partition = partition_of(d), receiver = d - partition + (partition + shift) % split();
      for (const auto& [first, end] : own_slots[static_cast<std::size_t>(partition)]) {
        transfer("norms.send_to_group", d, receiver, StreamKind::gather, -1, {slots[d], first, end - first},
                 {slots[receiver], first, end - first});
      }
    }
  }
  const std::vector<int> scales = scales_from(slots, slot_count);
  for (int l = layers - 1; l >= 0; --l) {
    for (const int index : owned_of_layer_[l]) {
      update_range(index, sources_[index], scales[plan_.owned[index].device]);
    }
    if (owned_of_layer_[l].empty()) continue;
    for (const int parameter : {network_.layers[l].weight, network_.layers[l].bias}) distribute(l, parameter);
  }
}

// The states of all devices become their mean: owners take that of their ranges, as they do with gradients.
void PlanBuilder::average_states() {
  const float share = 1 / static_cast<float>(device_count());
  for (int l = 0; l < static_cast<int>(network_.layers.size()); ++l) {
    const Layer& layer = network_.layers[l];
    if (layer.weight < 0) continue;
    for (int d = 0; d < device_count(); ++d) {
      gradients_[l].push_back(
          {d, {d, 1, {}}, plan_.parameters[layer.weight].squares[d], plan_.parameters[layer.bias].squares[d]});
    }
    gather_gradients(l);
    std::vector<Spread> flows;
    std::vector<Range> means;
    const auto squares_on = [this](const OwnedRange& owned, int device) {
      return Range{plan_.parameters[owned.parameter].squares[device], owned.first, owned.count};
    };
    for (const int index : owned_of_layer_[l]) {
      const OwnedRange& owned = plan_.owned[index];
      const std::string& name = network_.parameters[owned.parameter].name;
      const Range mean = whole(add_tensor(name + ".mean", owned.device, TensorKind::gradient, owned.count));
      means.push_back(mean);
      compute(name + ".average", owned.device, l,
              SumParts{static_cast<int>(sources_[index].size()), owned.count, share}, sources_[index], {mean});
      flows.push_back({name + ".send_mean", owned.device, std::vector<bool>(options_.devices.size(), true),
                       [=, &owned](int device) { return device == owned.device ? mean : squares_on(owned, device); }});
    }
    spread(StreamKind::distribute, l, std::move(flows));
    for (std::size_t i = 0; i < means.size(); ++i) {
      const OwnedRange& owned = plan_.owned[owned_of_layer_[l][i]];
      for (int d = 0; d < device_count(); ++d) {
        if (d != owned.device && !shared()) continue;
        compute(network_.parameters[owned.parameter].name + ".store", d, l, SumParts{1, owned.count}, {means[i]},
                {squares_on(owned, d)});
      }
    }
  }
}

void PlanBuilder::share_norms(const std::vector<int>& slots, std::int64_t first, std::int64_t count, int owner) {
  if (shared()) return;
  spread(StreamKind::gather, -1,
         {{"norms.send", owner, std::vector<bool>(options_.devices.size(), true), [&](int device) {
             return Range{slots[device], first, count};
           }}});
}

std::vector<int> PlanBuilder::scales_from(const std::vector<int>& slots, std::int64_t count) {
  std::vector<int> scales(options_.devices.size());
  for (int d = 0; d < device_count(); ++d) {
    if (keeper_of(d) != d) {
      scales[d] = scales[keeper_of(d)];
      continue;
    }
    scales[d] = add_tensor("clip.scale", d, TensorKind::workspace, 1);
    const int norm = add_tensor("clip.norm", d, TensorKind::result, 1);
    if (d == 0) plan_.clip_norm = norm;
    compute("clip.scale", d, -1, ClipScale{count, options_.clip_norm}, {whole(slots[d])},
            {whole(scales[d]), whole(norm)});
  }
  return scales;
}

}  // namespace hadal
