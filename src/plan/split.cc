// What the devices of a group, which hold one model together, bring each other: channels of values that a layer needs
// and another device has, and of the gradients by these. Each value, and its diff, lies whole on every device of the
// group, or each has the channels that it computes.

#include <algorithm>

#include "base/error.h"
#include "plan/builder.h"

namespace hadal {

std::int64_t PlanBuilder::pixels(int layer) const {
  const Shape& shape = network_.shape_of(layer);
  return elements(shape) / shape[0];
}

RowShape PlanBuilder::shape_of(int layer) const {
  RowShape shape = whole_shape_of(layer);
  for (int d = 0; d < device_count(); ++d) {
    const Channels channels = computed(layer, d);
    shape.columns[d] = {channels.first * pixels(layer), channels.count * pixels(layer)};
  }
  return shape;
}

RowShape PlanBuilder::whole_shape_of(int layer) const {
  const Layout layout = layout_of(layer);
  return {std::vector<Columns>(options_.devices.size(), {0, elements(network_.shape_of(layer))}), layout,
          layout == Layout::channels_last ? pixels(layer) : 1};
}

RowShape PlanBuilder::needed(int layer, std::size_t i) const {
  const int input = network_.layers[layer].inputs[i];
  RowShape shape = whole_shape_of(input);
  for (int d = 0; d < device_count(); ++d) {
    const Channels channels = division_.needed(layer, i, partition_of(d));
    shape.columns[d] = {channels.first * pixels(input), channels.count * pixels(input)};
  }
  return shape;
}

bool PlanBuilder::needs_more(int layer, std::size_t i) const {
  return split() > 1 && needed(layer, i).columns != shape_of(network_.layers[layer].inputs[i]).columns;
}

const RowTensor& PlanBuilder::input(int layer, std::size_t i) const {
  const auto brought = inputs_.find({layer, i});
  return brought != inputs_.end() ? brought->second : values_[root(network_.layers[layer].inputs[i]) + 1];
}

std::int64_t PlanBuilder::input_channels(int layer, int device) const {
  return input(layer, 0).row_elements(device) / pixels(network_.layers[layer].inputs[0]);
}

void PlanBuilder::bring_inputs(int l) {
  const Layer& layer = network_.layers[l];
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    if (!needs_more(l, i)) continue;
    const RowShape shape = needed(l, i);
    const std::pair<int, std::vector<Columns>> key{root(layer.inputs[i]), shape.columns};
    if (!brought_.contains(key)) {
      const auto full = full_brought_.find(key);
      brought_[key] = bring(l, layer.name + ".input_" + std::to_string(i), values_[key.first + 1], shape,
                            full != full_brought_.end() ? full->second : std::vector<bool>(options_.devices.size()));
    }
    inputs_[{l, i}] = brought_[key];
  }
}

// The same rows with other columns: from the device itself where it has them all, else each from the device of its
// group that has it.
RowTensor PlanBuilder::bring(int layer, const std::string& name, const RowTensor& from, const RowShape& shape,
                             const std::vector<bool>& full) {
  const int some = from.tensor[static_cast<std::size_t>(
      std::find_if(from.tensor.begin(), from.tensor.end(), [](int tensor) { return tensor >= 0; }) -
      from.tensor.begin())];
  RowTensor to = add_rows(layer, name, TensorKind::activation, plan_.tensors[some].type, shape, full);
  for (int shift = 0; shift < split(); ++shift) {  // each sends to the next first, so that not all send to one
    for (int sender = 0; sender < device_count(); ++sender) {
      const int receiver = sender - partition_of(sender) + (partition_of(sender) + shift) % split();
      const Columns has = from.shape.columns[sender], own = from.shape.columns[receiver],
                    wants = shape.columns[receiver];
      const bool has_all = own.first <= wants.first && wants.end() <= own.end();
      const std::int64_t first = std::max(has.first, wants.first), end = std::min(has.end(), wants.end());
      if (!works(sender) || end <= first || (shift > 0 && has_all)) continue;
      copy_columns(name, sender, receiver, layer, from, to, {first, end - first});
    }
  }
  return to;
}

// Columns of the rows of the devices' group.
void PlanBuilder::copy_columns(const std::string& name, int from, int to, int layer, const RowTensor& source,
                               const RowTensor& destination, Columns columns) {
  const std::int64_t lines = source.shape.lines, rows = span_of(from).count * lines, width = columns.count / lines;
  const auto place = [&](const RowTensor& of, int device) {
    const Columns has = of.shape.columns[device];
    const Range all = own_rows(of, device);
    const std::int64_t pitch = has.count / lines, first = (columns.first - has.first) / lines;
    return std::pair{Range{all.tensor, all.first + first, (rows - 1) * pitch + width}, pitch};
  };
  const auto [read, source_pitch] = place(source, from);
  const auto [written, destination_pitch] = place(destination, to);
  const std::size_t element = size_of(plan_.tensors[read.tensor].type);
  const auto bytes = [&](std::int64_t count) { return static_cast<std::size_t>(count) * element; };
  const bool in_one = source_pitch == width && destination_pitch == width;
  const Transfer transfer = in_one ? Transfer{to, 1, bytes(rows * width), bytes(rows * width), bytes(rows * width)}
                                   : Transfer{to, static_cast<std::size_t>(rows), bytes(width), bytes(source_pitch),
                                              bytes(destination_pitch)};
  plan_.steps.push_back({name + (from == to ? ".copy" : ".send"),
                         from,
                         from == to ? StreamKind::compute : StreamKind::transfer,
                         layer,
                         transfer,
                         {read},
                         {written},
                         {},
                         span_of(from).first});
}

// Where devices of a group have addends of a diff, those of each partition on the devices that want them: with the
// columns of the layer's value. A partition whose addends are of other columns has none for a device.
std::vector<RowTensor> PlanBuilder::addends_of(int l, const RowTensor& diff) {
  const Layer& layer = network_.layers[l];
  const RowShape wanted = shape_of(l);
  std::vector<RowTensor> terms(static_cast<std::size_t>(split()), diff);
  for (RowTensor& term : terms) term.shape = wanted, term.addends = false;
  for (int shift = 0; shift < split(); ++shift) {
    for (int sender = 0; sender < device_count(); ++sender) {
      if (!works(sender)) continue;
      const int receiver = sender - partition_of(sender) + (partition_of(sender) + shift) % split();
      RowTensor& term = terms[partition_of(sender)];
      const Columns columns = wanted.columns[receiver], has = diff.shape.columns[sender];
      term.tensor[receiver] = -1;
      if (columns.end() <= has.first || has.end() <= columns.first) continue;
      HADAL_CHECK(has.first <= columns.first && columns.end() <= has.end());
      if (sender == receiver && has == columns) {  // it is there as it is
        term.tensor[receiver] = diff.tensor[receiver];
        continue;
      }
      term.tensor[receiver] =
          add_part(layer.name + ".diff_of_" + std::to_string(partition_of(sender)), receiver, TensorKind::activation,
                   options_.precision, span_of(sender).count, wanted, receiver);
      term.first_row[receiver] = span_of(sender).first;
      copy_columns(layer.name + ".diff", sender, receiver, l, diff, term, columns);
    }
  }
  return terms;
}

RowTensor PlanBuilder::sum_of(int l, const std::string& name, const std::vector<RowTensor>& terms,
                              const RowShape& shape, const std::vector<bool>& full) {
  if (terms.size() == 1) return terms[0];
  RowTensor sum = add_rows(l, name, TensorKind::activation, options_.precision, shape, full);
  sum.addends = terms[0].addends;
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    std::vector<Range> reads;
    for (const RowTensor& term : terms) {
      if (term.tensor[d] >= 0) reads.push_back(own_rows(term, d));
    }
    const int count = static_cast<int>(reads.size());
    compute(network_.layers[l].name + ".sum_diffs", d, l,
            Add{count, sum.row_elements(d), rows_of(d), options_.precision}, std::move(reads), {own_rows(sum, d)});
  }
  return sum;
}

// The diff of a layer's output, from what its consumers gave: those of one kind are added up before they are sent,
// unless the order of sums is part of the result.
RowTensor PlanBuilder::combine_diffs(int l) {
  const Layer& layer = network_.layers[l];
  const RowShape wanted = shape_of(l);
  const std::string name = layer.name + ".diff";
  const std::vector<bool> none(options_.devices.size());
  const std::vector<RowTensor>& parts = diff_parts_[l + 1];
  const bool fixed = split() > 1 && options_.reproducible_shards > 0;
  std::vector<std::vector<RowTensor>> kinds;
  for (const RowTensor& part : parts) {
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const std::vector<RowTensor>& other) {
      return !fixed && other[0].shape.columns == part.shape.columns && other[0].addends == part.addends;
    });
    kind == kinds.end() ? kinds.push_back({part}) : kind->push_back(part);
  }
  // What a layer passes on to one other as it is, is sent only there.
  const bool passes_on = is_view(layer) || (std::get_if<ConcatOptions>(&layer.options) && kinds[0][0].addends);
  const RowTensor& first = kinds[0][0];
  if (kinds.size() == 1 && (passes_on || (!first.addends && first.shape.columns == wanted.columns))) {
    return sum_of(l, name, kinds[0], first.shape, full_diff_[l + 1]);
  }
  std::vector<RowTensor> terms;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const std::string of_kind = name + "_" + std::to_string(k);
    const RowTensor sum = sum_of(l, of_kind, kinds[k], kinds[k][0].shape, none);
    if (sum.addends) {
      const std::vector<RowTensor> addends = addends_of(l, sum);
      if (fixed && kinds.size() > 1) {
        terms.push_back(sum_of(l, of_kind + ".sum", addends, wanted, none));
      } else {
        terms.insert(terms.end(), addends.begin(), addends.end());
      }
    } else if (sum.shape.columns == wanted.columns) {
      terms.push_back(sum);
    } else {
      terms.push_back(bring(l, of_kind + ".here", sum, wanted, kinds.size() == 1 ? full_diff_[l + 1] : none));
    }
  }
  return sum_of(l, name, terms, wanted, full_diff_[l + 1]);
}

// The hops of flows to their owners, or from there, among the devices of each owner's partition.
std::vector<Hop> PlanBuilder::hops(bool inwards, const std::vector<int>& owners) const {
  std::vector<Hop> all;
  for (int p = 0; p < split(); ++p) {
    std::vector<int> flows, groups_of_owners;
    for (std::size_t flow = 0; flow < owners.size(); ++flow) {
      if (partition_of(owners[flow]) != p) continue;
      flows.push_back(static_cast<int>(flow));
      groups_of_owners.push_back(owners[flow] / split());
    }
    const auto of_partition = inwards ? gather_hops : distribute_hops;
    for (const Hop& hop : of_partition(options_.topology, groups(), groups_of_owners)) {
      all.push_back({flows[hop.flow], hop.from * split() + p, hop.to * split() + p});
    }
  }
  return all;
}

}  // namespace hadal
