// The forward and backward steps of a plan.

#include <algorithm>

#include "base/error.h"
#include "plan/builder.h"
#include "plan/recompute.h"

namespace hadal {

namespace {

template <class Options>
const Options* as(const Layer& layer) {
  return std::get_if<Options>(&layer.options);
}

// Layers that keep any layout of their input as it is.
bool keeps_layout(const Layer& layer) {
  return as<ActivationOptions>(layer) || as<AddOptions>(layer) || as<LrnOptions>(layer) || as<BatchNormOptions>(layer);
}

// Layers that take and give images in any layout.
bool takes_any_layout(const Layer& layer) {
  return as<ConvOptions>(layer) || as<PoolOptions>(layer) || keeps_layout(layer);
}

bool has_max_workspace(const Layer& layer) {
  return as<PoolOptions>(layer) && as<PoolOptions>(layer)->kind == PoolKind::max;
}

}  // namespace

// A convolution of some output channels is a smaller one: of all input channels, or of its groups'.
ConvShape PlanBuilder::conv_shape(int l, int device) const {
  const Layer& layer = network_.layers[l];
  const auto& o = *as<ConvOptions>(layer);
  const Shape& in = network_.shape_of(layer.inputs[0]);
  const std::int64_t out = computed(l, device).count;
  return {input_channels(l, device),
          in[1],
          in[2],
          out,
          o.kernel,
          o.stride,
          o.pad,
          std::max<std::int64_t>(o.groups * out / o.out, 1),
          o.dilation};
}

PoolShape PlanBuilder::pool_shape(int l, int device) const {
  const Layer& layer = network_.layers[l];
  const auto& o = *as<PoolOptions>(layer);
  const Shape& in = network_.shape_of(layer.inputs[0]);
  return {o.kind, computed(l, device).count, in[1], in[2], o.kernel, o.stride, o.pad, layer.output[1], layer.output[2]};
}

LrnShape PlanBuilder::lrn_shape(int l, int device) const {
  return {input_channels(l, device), pixels(l), *as<LrnOptions>(network_.layers[l])};
}

// What goes together.
void PlanBuilder::check_options() const {
  HADAL_CHECK(!options_.devices.empty() && options_.rows > 0 && options_.rows <= options_.batch);
  HADAL_CHECK(options_.split >= 1 && device_count() % options_.split == 0);
  const auto refuse = [&](bool what, const std::string& why) {
    if (what && split() > 1) throw ConfigError("parallel.split: " + std::to_string(split()) + " " + why);
  };
  const bool reproducible = options_.reproducible_shards > 0;
  refuse(reproducible && options_.precision != DType::f32,
         "with reproducible is supported for precision: fp32 only: use split: 1");
  refuse(reproducible && split() > options_.reproducible_chunks,
         "is more than reproducible.chunks, the parts that results are made of then: use at most split: " +
             std::to_string(options_.reproducible_chunks) + ", or more chunks (which is another result)");
  refuse(options_.device_states, "with adagrad's exchange: approximate or full is not supported: use exchange: owner");
  for (std::size_t l = 0; l < network_.layers.size(); ++l) {
    const std::string why = division_.why_not(static_cast<int>(l));
    refuse(!why.empty(), "divides '" + network_.layers[l].name + "' as its split: divide says, but " + why);
  }
  for (const PlanDevice& device : options_.devices) {
    if (shared() && device.memory != options_.devices[0].memory) {
      throw ConfigError("exchange.topology: shared needs devices that address one memory; " + device.name + " and " +
                        options_.devices[0].name + " do not: use another topology");
    }
  }
}

PlanBuilder::PlanBuilder(const Network& network, const PlanOptions& options)
    : network_(network),
      options_(options),
      division_(network, options.split, options.smallest_part, options.output_chunks(), options.whole) {
  check_options();
  plan_.mode = options.mode;
  plan_.precision = options.precision;
  plan_.topology = options.topology;
  plan_.rows = options.rows;
  plan_.split = options.split;
  plan_.whole = options.whole;
  plan_.devices = options.devices;
  const std::vector<RowSpan> of_groups = partition_rows(options.rows, groups(), options.reproducible_shards);
  for (int d = 0; d < device_count(); ++d) plan_.device_rows.push_back(of_groups[d / split()]);
  HADAL_CHECK(!options.device_states || (options.rule.kind == RuleKind::adagrad && options.clip_norm == 0 &&
                                         options.reproducible_shards == 0 && options.precision == DType::f32));
  owners_ = partition_parameters(network, division_, groups(), options.reproducible_shards);

  const std::size_t layers = network.layers.size();
  owned_of_layer_.resize(layers);
  workspaces_.assign(layers, std::vector<int>(options.devices.size(), -1));
  gradients_.resize(layers);
  means_.resize(layers);
  variances_.resize(layers);
  pass_gradients_.resize(layers);
  consumers_.resize(layers + 1);
  values_.resize(layers + 1);
  diffs_.resize(layers + 1);
  diff_parts_.resize(layers + 1);
  for (std::size_t l = 0; l < layers; ++l) {
    for (const int input : network.layers[l].inputs) consumers_[input + 1].push_back(static_cast<int>(l));
    plan_.content.push_back(exchange_content(network, static_cast<int>(l), options));
    plan_.parts.push_back(division_.divides(static_cast<int>(l)) ? split() : 1);
  }
  divide_into_passes();
  HADAL_CHECK(options.deferred.updates == 0 ||
              (training() && !shared() && groups() > 1 && options.pass_rows == 0 && options.clip_norm == 0));
}

Plan PlanBuilder::build() {
  choose_layouts();
  find_full_rows();
  place_persistent();
  if (options_.mode == PlanMode::average) {
    average_states();
  } else {
    for (int pass = 0; pass < static_cast<int>(plan_.passes.size()); ++pass) {
      begin_pass(pass);
      run_pass();
    }
    if (training() && options_.clip_norm > 0) clip_and_update();
    if (options_.deferred.updates > 0) defer_exchange();
    std::sort(plan_.results.begin(), plan_.results.end(),
              [](const ResultRows& a, const ResultRows& b) { return a.first < b.first; });
  }
  compute_again(plan_, options_.recompute);
  synchronise(plan_);
  wait_for_room(plan_);
  return std::move(plan_);
}

void PlanBuilder::run_pass() {
  const int layers = static_cast<int>(network_.layers.size());
  load_batch();
  for (int l = 0; l < layers; ++l) {
    forward(l);
    if (training()) send_inputs(l);
  }
  loss();
  if (!training()) return add_up_ranks();
  // The update of a layer stands one layer's backward later than its gather: by then the others' parts are there.
  int pending = -1;
  for (int l = layers - 1; l >= 0; --l) {
    if (!network_.layers[l].learns) continue;
    backward(l);
    if (network_.layers[l].weight < 0) continue;
    gather(l);
    if (options_.clip_norm > 0 || !in_last_pass()) continue;
    if (pending >= 0) update(pending);
    pending = l;
  }
  add_up_ranks();
  if (pending >= 0) update(pending);
}

// Moves what is deferred from behind the backward pass of its layer to before the forward pass.
void PlanBuilder::defer_exchange() {
  std::vector<int> rank(network_.layers.size(), -1);  // among the layers that send gradients
  int ranks = 0;
  for (std::size_t l = 0; l < rank.size(); ++l) {
    if (plan_.content[l] == ExchangeContent::gradients) rank[l] = ranks++;
  }
  std::vector<std::vector<Step>> deferred(network_.layers.size());
  std::vector<Step> others;
  for (Step& step : plan_.steps) {
    const int at = step.layer < 0 ? -1 : rank[static_cast<std::size_t>(step.layer)];
    const bool gathers = step.stream == StreamKind::gather || step.stream == StreamKind::gather_down;
    const bool exchanges = step.stream != StreamKind::compute && step.stream != StreamKind::transfer;
    const int limit =
        gathers ? std::min(options_.deferred.gathers, options_.deferred.updates) : options_.deferred.updates;
    step.deferred = exchanges && at >= 0 && at < limit;
    (step.deferred ? deferred[static_cast<std::size_t>(step.layer)] : others).push_back(std::move(step));
  }
  std::vector<bool> written(plan_.tensors.size());
  for (const Step& step : others) {
    for (const Range& range : step.writes) written[static_cast<std::size_t>(range.tensor)] = true;
  }
  plan_.steps.clear();
  for (Step& step : others) {
    if (step.layer >= 0) {
      std::vector<Step>& before = deferred[static_cast<std::size_t>(step.layer)];
      std::move(before.begin(), before.end(), std::back_inserter(plan_.steps));
      before.clear();
    }
    plan_.steps.push_back(std::move(step));
  }
  for (const Step& step : plan_.steps) {
    if (step.deferred) plan_.deferral = Deferral::continues;
    for (const Range& range : step.reads) {
      PlanTensor& tensor = plan_.tensors[static_cast<std::size_t>(range.tensor)];
      if (step.deferred && written[static_cast<std::size_t>(range.tensor)] && !tensor.persistent())
        tensor.carried = true;
    }
  }
}

bool PlanBuilder::is_view(const Layer& layer) const {
  return as<FlattenOptions>(layer) ||
         (as<DropoutOptions>(layer) && (!training() || as<DropoutOptions>(layer)->p == 0)) ||
         (as<ConcatOptions>(layer) && layer.inputs.size() == 1);
}

bool PlanBuilder::passes_diff(const Layer& layer) const { return is_view(layer) || as<AddOptions>(layer); }

// The layer below must not need what it gave: all but activations need at most what they got.
bool PlanBuilder::runs_in_place(int l) const {
  const Layer& layer = network_.layers[l];
  if (!options_.in_place || !as<ActivationOptions>(layer) || layer.inputs[0] == kNetworkInput) return false;
  const Layer& below = network_.layers[layer.inputs[0]];
  return consumers_[layer.inputs[0] + 1].size() == 1 && !is_view(below) && !as<ActivationOptions>(below);
}

bool PlanBuilder::owns_diff(int l) const {
  const std::vector<int>& above = consumers_[l + 1];
  if (above.size() != 1) return true;  // a sum, or the loss's
  const Layer& consumer = network_.layers[above[0]];
  return is_view(consumer) ? owns_diff(above[0]) : !passes_diff(consumer);
}

bool PlanBuilder::diff_in_place(int l) const { return runs_in_place(l) && owns_diff(l); }

// A product sums in fp32: where the loss reads its result as it is, that is not rounded.
int PlanBuilder::logits_in_fp32() const {
  int l = static_cast<int>(network_.layers.size()) - 1;
  while (l != kNetworkInput && is_view(network_.layers[l])) l = network_.layers[l].inputs[0];
  if (l == kNetworkInput || consumers_[l + 1].size() > 1) return -2;
  const Layer& layer = network_.layers[l];
  return as<ConvOptions>(layer) || as<FullyConnectedOptions>(layer) ? l : -2;
}

DType PlanBuilder::type_of(int l) const { return root(l) == logits_in_fp32() ? DType::f32 : options_.precision; }

int PlanBuilder::root(int layer) const {
  while (layer != kNetworkInput && (is_view(network_.layers[layer]) || runs_in_place(layer))) {
    layer = network_.layers[layer].inputs[0];
  }
  return layer;
}

void PlanBuilder::choose_layouts() {
  const int layers = static_cast<int>(network_.layers.size());
  layouts_.assign(static_cast<std::size_t>(layers) + 1, Layout::canonical);
  if (options_.image_layout == Layout::canonical) return;
  const auto image = [this](int l) { return l >= 0 && network_.shape_of(l).size() == 3; };
  for (int l = 0; l < layers - 1; ++l) {
    if (image(l) && takes_any_layout(network_.layers[l])) layouts_[l + 1] = options_.image_layout;
  }
  const auto must_be_canonical = [&](int l) {
    const auto canonical = [&](int other) { return layouts_[other + 1] == Layout::canonical; };
    const Layer& layer = network_.layers[l];
    if (keeps_layout(layer) && std::any_of(layer.inputs.begin(), layer.inputs.end(), canonical)) return true;
    return std::any_of(consumers_[l + 1].begin(), consumers_[l + 1].end(), [&](int c) {
      return !takes_any_layout(network_.layers[c]) || (keeps_layout(network_.layers[c]) && canonical(c));
    });
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (int l = 0; l < layers; ++l) {
      if (layouts_[l + 1] == Layout::canonical || !must_be_canonical(l)) continue;
      layouts_[l + 1] = Layout::canonical;
      changed = true;
    }
  }
}

int PlanBuilder::add_tensor(const std::string& name, int device, TensorKind kind, std::int64_t count, DType type,
                            Layout layout) {
  plan_.tensors.push_back({name, device, kind, type, count, layout});
  return static_cast<int>(plan_.tensors.size()) - 1;
}

void PlanBuilder::compute(const std::string& name, int device, int layer, Op op, std::vector<Range> reads,
                          std::vector<Range> writes) {
  plan_.steps.push_back({name,
                         device,
                         StreamKind::compute,
                         layer,
                         Compute{std::move(op)},
                         std::move(reads),
                         std::move(writes),
                         {},
                         span_of(device).first});
}

void PlanBuilder::place_persistent() {
  for (const Parameter& parameter : network_.parameters) {
    ParameterPlace place{elements(parameter.shape)};
    const std::int64_t per_output = place.elements / parameter.shape[0];
    const DType type = has_copies(parameter) ? DType::bf16 : DType::f32;
    for (int d = 0; d < device_count(); ++d) {
      const Channels outputs = computed(parameter.layer, d);
      place.first.push_back(outputs.first * per_output);
      place.tensor.push_back(
          keeper_of(d) == d ? add_tensor(parameter.name, d, TensorKind::parameter, outputs.count * per_output, type)
                            : place.tensor[keeper_of(d)]);
    }
    for (int d = 0; d < device_count() && options_.updates && options_.device_states && parameter.learned; ++d) {
      place.squares.push_back(add_tensor(parameter.name + ".squares", d, TensorKind::state, elements(parameter.shape)));
    }
    plan_.parameters.push_back(std::move(place));
  }
  std::int64_t slot = 0;
  for (std::size_t l = 0; l < network_.layers.size(); ++l) {
    const Layer& layer = network_.layers[l];
    if (layer.weight < 0) continue;
    for (const int p : {layer.weight, layer.bias}) {
      const Parameter& parameter = network_.parameters[p];
      const std::int64_t per_output = elements(parameter.shape) / parameter.shape[0];
      for (const OwnerSpan& owner : owners_[l]) {
        OwnedRange owned{p, owner.device, owner.first * per_output, owner.count * per_output, -1, {}};
        if (options_.updates && has_copies(parameter)) {
          owned.master = add_tensor(parameter.name + ".master", owner.device, TensorKind::parameter, owned.count);
        }
        for (const std::string& state : options_.rule.states()) {
          if (!options_.updates || options_.device_states) break;
          owned.states.push_back(
              add_tensor(parameter.name + "." + state, owner.device, TensorKind::state, owned.count));
        }
        owned_of_layer_[l].push_back(static_cast<int>(plan_.owned.size()));
        plan_.owned.push_back(owned);
        owned_pieces_.push_back(slot);
        std::vector<std::int64_t> pieces = owner.pieces;
        for (std::int64_t& piece : pieces) piece *= per_output;
        slot += static_cast<std::int64_t>(pieces.size());
        owned_piece_elements_.push_back(std::move(pieces));
      }
    }
  }
  sources_.resize(plan_.owned.size());
}

void PlanBuilder::load_batch() {
  const std::int64_t row_elements = elements(network_.input);
  values_[0] = add_rows(kNetworkInput, options_.precision == DType::f32 ? "input" : "input.converted",
                        TensorKind::input, options_.precision, shape_of(kNetworkInput), full_value_[0]);
  labels_ = {std::vector<int>(options_.devices.size(), -1),
             std::vector<std::int64_t>(options_.devices.size()),
             {std::vector<Columns>(options_.devices.size(), {0, 1})}};
  const std::size_t labels_offset = static_cast<std::size_t>(options_.rows * row_elements) * 4;
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const RowSpan& span = span_of(d);
    const auto load = [&](const std::string& name, std::size_t offset, Range to) {
      plan_.steps.push_back({name, d, StreamKind::compute, -1, Load{offset}, {}, {to}, {}, span.first});
    };
    const std::size_t offset = static_cast<std::size_t>(span.first * row_elements) * 4;
    if (options_.precision == DType::f32) {
      load("input.load", offset, value(kNetworkInput, d));
    } else {
      const Range loaded = whole(add_tensor("input", d, TensorKind::input, span.count * row_elements));
      load("input.load", offset, loaded);
      compute("input.convert", d, -1, Convert{loaded.count, DType::f32, options_.precision}, {loaded},
              {value(kNetworkInput, d)});
    }
    if (options_.mode == PlanMode::predict) continue;
    labels_.tensor[d] = add_tensor("labels", d, TensorKind::input, span.count, DType::i32);
    labels_.first_row[d] = span.first;
    load("labels.load", labels_offset + static_cast<std::size_t>(span.first) * 4,
         labels_.rows(d, span.first, span.count));
  }
}

Dropout PlanBuilder::dropout_of(const DropoutOptions& o, int l, int d) const {
  const Columns columns = shape_of(l).columns[d];
  return {o.p,          columns.count, rows_of(d), options_.seed, static_cast<std::uint32_t>(l), options_.precision,
          columns.first};
}

void PlanBuilder::forward(int l) {
  const Layer& layer = network_.layers[l];
  if (is_view(layer)) return;
  const bool in_place = runs_in_place(l);
  bring_inputs(l);
  const bool beside = as<LrnOptions>(layer) && needs_more(l, 0);  // of the neighbours' channels too, and cut
  if (!in_place) {
    values_[l + 1] = add_rows(l, layer.name + (beside ? ".beside" : ""), TensorKind::activation, type_of(l),
                              beside ? needed(l, 0) : shape_of(l), full_value_[l + 1]);
  }
  if (training() && as<BatchNormOptions>(layer)) batch_norm_statistics(l);
  for (int d = 0; d < device_count(); ++d) {
    if (!works(d)) continue;
    const Rows rows = rows_of(d);
    const std::int64_t in_elements = input(l, 0).row_elements(d), out = computed(l, d).count;
    std::vector<Range> reads;
    for (std::size_t i = 0; i < layer.inputs.size() && !in_place; ++i) reads.push_back(input(l, i, d));
    if (as<BatchNormOptions>(layer)) {
      for (const Range& range : statistics_of(l, d)) reads.push_back(range);
    }
    if (layer.weight >= 0) {
      for (const int p : {layer.weight, layer.bias}) reads.push_back(whole(plan_.parameters[p].tensor[d]));
    }
    std::vector<Range> writes{value(l, d)};
    const Layout source = layout_of(layer.inputs[0]), destination = layouts_[l + 1];
    const DType type = options_.precision;
    Op op;
    if (as<ConvOptions>(layer)) {
      op = ConvForward{conv_shape(l, d), rows, source, destination, type, type_of(l), units_of(l, d)};
    } else if (as<PoolOptions>(layer)) {
      op = PoolForward{pool_shape(l, d), rows, source, destination, training(), type};
      if (training() && has_max_workspace(layer)) {
        workspaces_[l][d] =
            add_tensor(layer.name + ".workspace", d, TensorKind::workspace, rows.count * out * pixels(l), DType::i32);
        writes.push_back(whole(workspaces_[l][d]));
      }
    } else if (as<LrnOptions>(layer)) {
      op = LrnForward{lrn_shape(l, d), rows, source, type};
    } else if (as<BatchNormOptions>(layer)) {
      op = BatchNormForward{batch_norm_shape(l, d), rows, source, type};
    } else if (as<FullyConnectedOptions>(layer)) {
      op = FullyConnectedForward{in_elements, out, rows, type, type_of(l), units_of(l, d)};
    } else if (const auto* activation = as<ActivationOptions>(layer)) {
      op = ActivationForward{activation->kind, in_elements, rows, in_place, type};
    } else if (const auto* dropout = as<DropoutOptions>(layer)) {
      op = dropout_of(*dropout, l, d);
    } else if (as<ConcatOptions>(layer)) {
      ConcatForward concat{{}, rows, type};
      for (std::size_t i = 0; i < layer.inputs.size(); ++i) concat.row_elements.push_back(input(l, i).row_elements(d));
      op = concat;
    } else {
      op = Add{static_cast<int>(layer.inputs.size()), in_elements, rows, type};
    }
    compute(layer.name + ".forward", d, l, std::move(op), std::move(reads), std::move(writes));
  }
  if (beside) values_[l + 1] = bring(l, layer.name, values_[l + 1], shape_of(l), full_value_[l + 1]);
}

void PlanBuilder::give_diff(int layer, std::size_t input, RowTensor diff) {
  diff_parts_[network_.layers[layer].inputs[input] + 1].push_back(std::move(diff));
}

void PlanBuilder::backward(int l) {
  const Layer& layer = network_.layers[l];
  if (l + 1 < static_cast<int>(network_.layers.size())) diffs_[l + 1] = combine_diffs(l);
  std::vector<bool> wanted(layer.inputs.size());
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) wanted[i] = network_.learns(layer.inputs[i]);

  if (passes_diff(layer)) {
    for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
      if (wanted[i]) give_diff(l, i, diffs_[l + 1]);
    }
    return;
  }
  if (as<BatchNormOptions>(layer)) batch_norm_gradient(l);
  // What is sent leaves first: gradients, or where data gradients are added up over the group these.
  const bool gradients = plan_.content[l] == ExchangeContent::gradients, addends = division_.adds_up(l);
  if (gradients && !addends) backward_weights(l);
  const bool in_place = diff_in_place(l);
  const std::vector<bool> none(options_.devices.size());
  // LRN writes over the diff of its output where that is its own, as what was brought together is.
  const bool beside = as<LrnOptions>(layer) && needs_more(l, 0);
  const bool overwrites = as<LrnOptions>(layer) && wanted[0] && options_.in_place && (beside || owns_diff(l)) &&
                          full_diff_[layer.inputs[0] + 1] == none;
  std::vector<RowTensor> input_diffs(layer.inputs.size());
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    const int input = layer.inputs[i];
    if (!wanted[i] && !as<ConcatOptions>(layer)) continue;
    if (in_place || overwrites) {
      input_diffs[i] = diffs_[l + 1];
      continue;
    }
    RowShape shape = whole_shape_of(input);
    shape.columns = this->input(l, i).shape.columns;
    const bool only = consumers_[input + 1].size() == 1 && !addends && shape.columns == shape_of(input).columns;
    input_diffs[i] = add_rows(l, layer.name + ".diff_" + std::to_string(i), TensorKind::activation, options_.precision,
                              shape, only ? full_diff_[input + 1] : none);
    input_diffs[i].addends = addends || diffs_[l + 1].addends;
  }
  if (beside && wanted[0]) {
    diffs_[l + 1] = bring(l, layer.name + ".diff_beside", diffs_[l + 1], needed(l, 0), none);
  }
  if (overwrites) input_diffs[0] = diffs_[l + 1];
  const bool data_gradient = std::any_of(wanted.begin(), wanted.end(), [](bool w) { return w; });
  const Layout source = layout_of(layer.inputs[0]), destination = layouts_[l + 1];
  for (int d = 0; d < device_count() && data_gradient; ++d) {
    if (!works(d)) continue;
    const Rows rows = rows_of(d);
    const std::int64_t in_elements = input(l, 0).row_elements(d);
    std::vector<Range> writes;
    for (const RowTensor& to : input_diffs) writes.push_back(to.rows(d, rows.first, rows.count));
    std::vector<Range> reads;
    if (!in_place && !overwrites) reads.push_back(diff(l, d));
    const DType type = options_.precision;
    Op op;
    if (as<ConvOptions>(layer)) {
      op = ConvBackwardData{conv_shape(l, d), rows, source, destination, type, units_of(l, d)};
      reads.push_back(whole(plan_.parameters[layer.weight].tensor[d]));
    } else if (as<PoolOptions>(layer)) {
      op = PoolBackward{pool_shape(l, d), rows, source, destination, type};
      if (has_max_workspace(layer)) reads.push_back(whole(workspaces_[l][d]));
    } else if (as<LrnOptions>(layer)) {
      op = LrnBackward{lrn_shape(l, d), rows, source, type, overwrites};
      reads.insert(reads.begin(), input(l, 0, d));
    } else if (as<BatchNormOptions>(layer)) {
      op = BatchNormBackwardData{batch_norm_shape(l, d), rows, rows_of_pass(), source, type};
      const auto& [weight, bias] = pass_gradients_[l][d];
      reads = {value(layer.inputs[0], d), diff(l, d)};
      for (const Range& range : statistics_of(l, d)) reads.push_back(range);
      for (const Range& range : {whole(plan_.parameters[layer.weight].tensor[d]), weight, bias}) reads.push_back(range);
    } else if (as<FullyConnectedOptions>(layer)) {
      op = FullyConnectedBackwardData{in_elements, computed(l, d).count, rows, type, units_of(l, d)};
      reads.push_back(whole(plan_.parameters[layer.weight].tensor[d]));
    } else if (const auto* activation = as<ActivationOptions>(layer)) {
      op = ActivationBackward{activation->kind, in_elements, rows, in_place, type};
      reads.insert(reads.begin(), value(l, d));
    } else if (const auto* dropout = as<DropoutOptions>(layer)) {
      op = dropout_of(*dropout, l, d);
    } else {
      ConcatBackward concat{{}, rows, type};
      for (std::size_t i = 0; i < layer.inputs.size(); ++i) concat.row_elements.push_back(input(l, i).row_elements(d));
      op = concat;
    }
    compute(layer.name + ".backward", d, l, std::move(op), std::move(reads), std::move(writes));
  }
  for (std::size_t i = 0; i < layer.inputs.size(); ++i) {
    if (!wanted[i]) continue;
    if (beside) input_diffs[i] = bring(l, layer.name + ".diff", input_diffs[i], shape_of(l), none);
    give_diff(l, i, input_diffs[i]);
  }
  if (gradients && addends) backward_weights(l);
  if (options_.device_states && layer.weight >= 0 && in_last_pass()) scale_by_own_squares(l);
}

// The gradient of a layer over each fixed part of the rows: a device's shards, or all its rows.
void PlanBuilder::backward_weights(int l) {
  const Layer& layer = network_.layers[l];
  for (int d = 0; d < device_count(); ++d) {
    const RowSpan& own = span_of(d);
    const bool fixed = options_.reproducible_shards > 0;
    std::vector<std::int64_t> counts = fixed ? own.units : std::vector<std::int64_t>{own.count};
    std::int64_t first = own.first;
    for (const std::int64_t count : counts) {
      if (count == 0) continue;
      const Rows rows{first, count, fixed ? std::vector<std::int64_t>{count} : std::vector<std::int64_t>{}};
      GradientPart part{d, {first, count, {}}};
      part.weight =
          add_tensor(layer.name + ".weight.gradient", d, TensorKind::gradient, parameter_elements(layer.weight, d));
      part.bias = add_tensor(layer.name + ".bias.gradient", d, TensorKind::gradient, parameter_elements(layer.bias, d));
      std::vector<Range> reads{input(l, 0).rows(d, first, count), diffs_[l + 1].rows(d, first, count)};
      Op op;
      if (as<ConvOptions>(layer)) {
        op = ConvBackwardWeights{conv_shape(l, d),   rows,          layout_of(layer.inputs[0]), layouts_[l + 1],
                                 options_.precision, units_of(l, d)};
      } else {
        const std::int64_t out = computed(l, d).count;
        op = FullyConnectedBackwardWeights{input(l, 0).row_elements(d), out, 0, out, units_of(l, d), rows,
                                           options_.precision};
      }
      compute(layer.name + ".backward_weights", d, l, std::move(op), std::move(reads),
              {whole(part.weight), whole(part.bias)});
      first += count;
      if (fixed) {
        gradients_[l].push_back(std::move(part));
      } else {
        add_to_earlier_passes(l, part);
      }
    }
  }
}

// Where a sum may have any order, a device's part of a gradient is one sum that grows from pass to pass.
void PlanBuilder::add_to_earlier_passes(int l, GradientPart& part) {
  std::vector<GradientPart>& parts = gradients_[l];
  const auto earlier =
      std::find_if(parts.begin(), parts.end(), [&](const GradientPart& other) { return other.device == part.device; });
  if (earlier == parts.end()) {
    parts.push_back(part);
    return;
  }
  for (int GradientPart::*of : {&GradientPart::weight, &GradientPart::bias}) {
    const PlanTensor& tensor = plan_.tensors[part.*of];
    const std::int64_t count = tensor.elements;
    const int sum = add_tensor(tensor.name, part.device, TensorKind::gradient, count);
    compute(network_.layers[l].name + ".accumulate", part.device, l, SumParts{2, count},
            {whole((*earlier).*of), whole(part.*of)}, {whole(sum)});
    (*earlier).*of = sum;
  }
  earlier->rows.count += part.rows.count;
}

void PlanBuilder::scale_by_own_squares(int l) {
  const Layer& layer = network_.layers[l];
  for (const GradientPart& part : gradients_[l]) {
    const auto scale = [&](int parameter, int gradient) {
      const ParameterPlace& place = plan_.parameters[parameter];
      const UpdateRule rule = rule_of(parameter);
      const bool of_all = plan_.content[l] == ExchangeContent::statistics;
      const auto rows = static_cast<double>(of_all ? options_.rows : plan_.device_rows[part.device].count);
      const double share = rows / static_cast<double>(options_.rows);
      std::vector<Range> reads;
      if (rule.weight_decay > 0) reads.push_back(whole(place.tensor[part.device]));
      const Range whole_gradient = whole(gradient);
      compute(network_.parameters[parameter].name + ".scale", part.device, l,
              AdagradScale{whole_gradient.count, rule, static_cast<float>(share)}, std::move(reads),
              {whole_gradient, whole(place.squares[part.device])});
    };
    scale(layer.weight, part.weight);
    scale(layer.bias, part.bias);
  }
}

}  // namespace hadal
