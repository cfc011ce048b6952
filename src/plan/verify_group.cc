#include "plan/verify_group.h"

#include <fmt/format.h>

#include <algorithm>

namespace hadal {

GroupVerifier::Origin GroupVerifier::origin_of(const Producer& producer) const {
  if (const auto found = brought_.find(producer.step); found != brought_.end()) return found->second;
  const Step& step = plan_.steps[producer.step];
  return {name_of(step, static_cast<std::size_t>(producer.write)),
          {step.device},
          addends_.contains(producer.step),
          step.first_row,
          step.writes[producer.write].count,
          {},
          producer};
}

void GroupVerifier::begin() {
  arriving_.clear();
  brought_.clear();
  addends_.clear();
  addend_tensors_.clear();
}

std::string GroupVerifier::bring(int i, std::vector<Contents>& contents) {
  const Step& step = plan_.steps[i];
  const auto& transfer = std::get<Transfer>(step.body);
  const Range &read = step.reads[0], &written = step.writes[0];
  const PlanTensor &source = plan_.tensors[read.tensor], &to = plan_.tensors[written.tensor];
  if (step.device / plan_.split != transfer.to / plan_.split) return "leaves its group";
  if (!plan_.lies_on(read.tensor, step.device) || !plan_.lies_on(written.tensor, transfer.to) ||
      source.type != to.type || source.width == 0 || to.width == 0) {
    return "copies something else than channels";
  }
  const auto elements = [&](std::size_t bytes) { return static_cast<std::int64_t>(bytes / size_of(source.type)); };
  const auto rows = static_cast<std::int64_t>(transfer.rows);
  const std::int64_t piece = elements(transfer.row_bytes);
  if (rows > 1 && (elements(transfer.source_pitch) != source.width || elements(transfer.destination_pitch) != to.width))
    return "copies pieces that are no channels";
  const bool in_one = rows == 1 && source.width == to.width && piece % to.width == 0;
  const auto lines_of = [&](const PlanTensor& tensor, const Range& range) {
    const std::int64_t line = range.first / tensor.width, first = range.first % tensor.width;
    return in_one ? Lines{line, piece / tensor.width, first, tensor.width} : Lines{line, rows, first, piece};
  };
  const Lines from = lines_of(source, read), at = lines_of(to, written);
  if (from.first + from.width > source.width || at.first + at.width > to.width ||
      source.first_column + from.first != to.first_column + at.first) {
    return "brings channels to where others belong";
  }
  const auto parts = contents[read.tensor].read(from.line * source.width, from.count * source.width);
  if (parts.size() != 1 || parts[0].second.sum_of.size() != 1) return "brings what is not all there";
  const Origin origin = origin_of(parts[0].second.sum_of[0]);
  if (parts[0].first + parts[0].second.shift != 0 || origin.elements != from.count * source.width ||
      origin.first_row != step.first_row) {
    return "brings only some of the rows";
  }
  if (!right_rows(step, to, at)) return "brings rows to where others belong";
  return arrive(i, origin, at, contents);
}

// The device's rows lie where they should: at the beginning, or among the whole batch's.
bool GroupVerifier::right_rows(const Step& step, const PlanTensor& to, const Lines& at) const {
  if (to.elements == at.count * to.width) return at.line == 0;
  return std::any_of(plan_.passes.begin(), plan_.passes.end(), [&](const std::vector<RowSpan>& pass) {
    const RowSpan& span = pass[step.device];
    return span.first == step.first_row && at.line * span.count == span.first * at.count;
  });
}

std::string GroupVerifier::arrive(int i, const Origin& origin, const Lines& at, std::vector<Contents>& contents) {
  const int tensor = plan_.steps[i].writes[0].tensor;
  const std::int64_t width = plan_.tensors[tensor].width;
  Origin& arriving = arriving_[{tensor, at.line}];
  if (!arriving.columns.empty() && (arriving.name != origin.name || arriving.addend != origin.addend))
    return "brings together what different steps computed";
  for (const auto& [first, end] : arriving.columns) {
    if (first < at.first + at.width && at.first < end) return "brings channels that are there already";
  }
  arriving.name = origin.name;
  arriving.addend = origin.addend;
  arriving.first_row = origin.first_row;
  arriving.by = origin.by;
  arriving.devices.insert(origin.devices.begin(), origin.devices.end());
  arriving.columns[at.first] = at.first + at.width;
  arriving.elements += at.count * at.width;
  if (arriving.elements < at.count * width) return "";
  brought_[i] = arriving;
  contents[tensor].write(at.line * width, arriving.elements, {{i, 0}}, -at.line * width);
  return "";
}

// Whether its data gradients add up over the devices of a group.
bool GroupVerifier::adds_up(const Step& step) const {
  const Op& op = std::get<Compute>(step.body).op;
  if (step.layer < 0 || plan_.parts[step.layer] == 1) return false;
  if (std::holds_alternative<FullyConnectedBackwardData>(op)) return true;
  const auto* conv = std::get_if<ConvOptions>(&network_.layers[step.layer].options);
  return std::holds_alternative<ConvBackwardData>(op) && conv != nullptr && conv->groups < plan_.split;
}

// Of which some channels alone have come from other groups.
bool GroupVerifier::is_product_of_factors(const Step& step) const {
  const Op& op = std::get<Compute>(step.body).op;
  return step.layer >= 0 && plan_.content[step.layer] == ExchangeContent::factors &&
         (std::holds_alternative<FullyConnectedUpdate>(op) ||
          std::holds_alternative<FullyConnectedBackwardWeights>(op));
}

std::string GroupVerifier::use(int i, const std::vector<Contents>& contents) {
  const Step& step = plan_.steps[i];
  const auto* compute = std::get_if<Compute>(&step.body);
  if (compute == nullptr) return "";
  if (std::string error = use_in_loss(i, contents); !error.empty()) return error;
  if (std::string error = takes_its_own(i, contents); !error.empty()) return error;
  if (adds_up(step)) note_addend(i);
  std::vector<std::pair<Origin, bool>> terms;  // with whether they were brought
  for (const Range& range : step.reads) {
    if (plan_.tensors[range.tensor].width == 0) continue;
    const auto parts = contents[range.tensor].read(range.first, range.count);
    for (const auto& [first, part] : parts) {
      if (part.sum_of.empty() && !is_product_of_factors(step)) return "reads channels that are not there";
    }
    if (parts.size() != 1 || parts[0].second.sum_of.size() != 1) continue;
    const Producer& producer = parts[0].second.sum_of[0];
    terms.emplace_back(origin_of(producer), brought_.contains(producer.step));
  }
  if (std::none_of(terms.begin(), terms.end(), [](const auto& term) { return term.first.addend; })) return "";
  if (std::holds_alternative<Add>(compute->op)) return add_up(i, terms);
  if (!std::holds_alternative<ConcatBackward>(compute->op)) return "takes a part of a diff for all of it";
  note_addend(i);
  return "";
}

// Values and diffs of the layer that the step is of, of its own rows.
std::string GroupVerifier::takes_its_own(int i, const std::vector<Contents>& contents) const {
  const Step& step = plan_.steps[i];
  for (const ValueUse& used : values_used(plan_, network_, step)) {
    const auto parts = contents[used.range.tensor].read(used.range.first, used.range.count);
    if (parts.size() != 1 || parts[0].second.sum_of.size() != 1) continue;
    const Origin origin = origin_of(parts[0].second.sum_of[0]);
    if (!sources_.gives(plan_.steps[origin.by.step].name, step.layer, used))
      return fmt::format("takes what {} gave for {}", origin.name,
                         used.what == ValueUse::What::diff ? "its layer's diff" : "its layer's input");
  }
  return "";
}

// Of a loss whose classes are divided: each part takes the logits of its classes, what it needs of all classes has come
// from all devices of the group, and so have the counts that a rank is the sum of.
std::string GroupVerifier::use_in_loss(int i, const std::vector<Contents>& contents) const {
  const Op& op = std::get<Compute>(plan_.steps[i].body).op;
  if (const auto* sums = std::get_if<SoftmaxSums>(&op)) return has_classes(i, sums->first_class, sums->classes);
  if (const auto* part = std::get_if<SoftmaxCrossEntropyPart>(&op)) {
    const std::string error = has_classes(i, part->first_class, part->classes);
    return error.empty() ? has_all_parts<SoftmaxSums>(i, 2, 0, contents) : error;
  }
  return std::holds_alternative<LabelRank>(op) ? has_all_parts<SoftmaxCrossEntropyPart>(i, 0, 1, contents) : "";
}

std::string GroupVerifier::has_classes(int i, std::int64_t first, std::int64_t count) const {
  const Step& step = plan_.steps[i];
  const PlanTensor& logits = plan_.tensors[step.reads[0].tensor];
  const bool own = logits.device == step.device && plan_.tensors[step.reads[1].tensor].device == step.device;
  return own && logits.width == count && logits.first_column == first ? "" : "takes the logits of other classes";
}

// What the kernels of one kind wrote for the same rows on each device of the group.
template <class By>
std::string GroupVerifier::has_all_parts(int i, std::size_t read, int write,
                                         const std::vector<Contents>& contents) const {
  const Step& step = plan_.steps[i];
  const Range& range = step.reads[read];
  const auto parts = contents[range.tensor].read(range.first, range.count);
  if (parts.size() != 1 || parts[0].second.sum_of.size() != 1) return "reads channels that are not there";
  const Origin origin = origin_of(parts[0].second.sum_of[0]);
  std::set<int> group;
  for (int p = 0; p < plan_.split; ++p) group.insert(step.device / plan_.split * plan_.split + p);
  const auto* compute = std::get_if<Compute>(&plan_.steps[origin.by.step].body);
  if (compute && std::holds_alternative<By>(compute->op) && origin.by.write == write && origin.devices == group &&
      origin.first_row == step.first_row && plan_.tensors[range.tensor].device == step.device) {
    return "";
  }
  return "reads something else for what its group knows of the loss";
}

void GroupVerifier::note_addend(int i) {
  const Step& step = plan_.steps[i];
  addends_.insert(i);
  for (std::size_t w = 0; w < step.writes.size(); ++w)
    addend_tensors_[{name_of(step, w), step.device}] = step.writes[w].tensor;
}

// Of what a step writes: the same on all devices.
std::string GroupVerifier::name_of(const Step& step, std::size_t write) {
  return write == 0 ? step.name : fmt::format("{} ({})", step.name, write);
}

// Whether an addend has all the columns of a sum.
bool GroupVerifier::covers(int addend, int sum) const {
  const PlanTensor &has = plan_.tensors[addend], &wants = plan_.tensors[sum];
  return has.first_column <= wants.first_column && wants.first_column + wants.width <= has.first_column + has.width;
}

// The devices of the group that begins with `first` that have, or should have, addends of that name for a sum. Of a
// convolution in groups those of the channels' group; of other products all.
std::multiset<int> GroupVerifier::devices_with(const Producer& addend, const std::string& name, int sum,
                                               int first) const {
  const Step& step = plan_.steps[addend.step];
  const PlanTensor &has = plan_.tensors[step.writes[addend.write].tensor], &wants = plan_.tensors[sum];
  std::int64_t groups = 0;
  if (adds_up(step)) {
    const auto* conv = std::get_if<ConvOptions>(&network_.layers[step.layer].options);
    groups = conv ? conv->groups : 1;
  }
  std::multiset<int> devices;
  for (int p = 0; p < plan_.split; ++p) {
    const std::int64_t begin = p * groups / plan_.split * has.width;
    const auto found = addend_tensors_.find({name, first + p});
    const bool there = found != addend_tensors_.end() && covers(found->second, sum);
    const bool should = begin <= wants.first_column && wants.first_column + wants.width <= begin + has.width;
    if (groups > 0 ? should : there) devices.insert(first + p);
  }
  return devices;
}

// A sum has a part from every device of the group that has one, once; what a device adds up of its own parts alone is
// such a part again.
std::string GroupVerifier::add_up(int i, const std::vector<std::pair<Origin, bool>>& terms) {
  std::map<std::string, std::multiset<int>> from;  // by step
  std::map<std::string, Producer> by;
  bool any_brought = false, all_addends = true;
  for (const auto& [origin, brought] : terms) {
    all_addends = all_addends && origin.addend;
    any_brought = any_brought || (brought && origin.addend);
    if (!origin.addend) continue;
    from[origin.name].insert(origin.devices.begin(), origin.devices.end());
    by[origin.name] = origin.by;
  }
  const int first = plan_.steps[i].device / plan_.split * plan_.split;
  for (const auto& [name, devices] : from) {
    if (devices == devices_with(by[name], name, plan_.steps[i].writes[0].tensor, first)) continue;
    if (any_brought) return fmt::format("does not add up {} of each device of its group once", name);
    note_addend(i);
    return all_addends ? "" : "adds parts of a diff to all of another";
  }
  return "";
}

}  // namespace hadal
