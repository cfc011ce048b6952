#include "plan/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <type_traits>

#include "ops/arguments.h"
#include "plan/contents.h"
#include "plan/verify_group.h"

namespace hadal {

namespace {

// Of a plan that continues, the steps of the training step before have numbers from here on.
constexpr int kBefore = -1'000'000'000;

class Verifier {
 public:
  Verifier(const Plan& plan, const Network& network)
      : plan_(plan), network_(network), group_(plan, network), contents_(plan.tensors.size()) {
    for (const std::vector<RowSpan>& pass : plan.passes) {
      for (std::size_t d = 0; d < pass.size(); ++d) spans_.emplace_back(static_cast<int>(d), pass[d]);
    }
    for (const Step& step : plan.steps) {
      if (!step.deferred) continue;
      const Layer& layer = network.layers[step.layer];
      for (const int p : {layer.weight, layer.bias}) {
        const std::vector<int>& tensors = plan.parameters[p].tensor;
        updated_later_.insert(tensors.begin(), tensors.end());
      }
    }
  }

  std::string run() {
    place_states();
    check_owners();
    if (plan_.deferral == Deferral::continues) follow_the_step_before();
    const std::vector<Contents> before = contents_;
    if (plan_.deferral == Deferral::continues && error_.empty()) {
      // Alone, what is left brings the new values of its layers to all.
      follow(Follow::deferred);
      if (error_.empty()) check_new_values(true);
      contents_ = before;
      updates_.clear();
    }
    follow(Follow::all);
    const bool trains = plan_.mode == PlanMode::train;
    if (trains && error_.empty()) check_parts();
    if (plan_.deferral == Deferral::continues && error_.empty()) check_what_is_left(before);
    if (trains && error_.empty()) check_new_values(false);
    if (trains && error_.empty()) check_squares();
    if (plan_.mode == PlanMode::average && error_.empty()) check_means();
    if ((trains || plan_.split > 1) && error_.empty()) check_results();
    for (int i = 0; i < static_cast<int>(plan_.steps.size()) && error_.empty(); ++i) check_arguments(i);
    return error_;
  }

 private:
  enum class Follow { all, deferred, others };

  // Follows what steps bring where.
  void follow(Follow which) {
    group_.begin();
    for (int i = 0; i < static_cast<int>(plan_.steps.size()) && error_.empty(); ++i) {
      const Step& step = plan_.steps[i];
      if (which != Follow::all && step.deferred != (which == Follow::deferred)) continue;
      for (const auto* waits : {&step.waits, &step.room_waits}) {
        for (const int wait : *waits) {
          if (wait >= i) fail(i, "waits for a step that comes after it");
        }
      }
      const bool trains = plan_.mode == PlanMode::train || plan_.mode == PlanMode::average;
      if (!trains && plan_.split == 1) continue;
      if (const auto* transfer = std::get_if<Transfer>(&step.body)) {
        if (GroupVerifier::brings(step)) {
          fail(i, group_.bring(i, contents_));
        } else {
          move(step, *transfer);
        }
        continue;
      }
      if (plan_.split > 1) fail(i, group_.use(i, contents_));
      if (!trains) {
        write_all(i);
        continue;
      }
      if (which == Follow::all && !step.deferred) check_values_read(i);
      std::vector<Producer> sum_of;
      std::int64_t shift = 0;
      const auto* compute = std::get_if<Compute>(&step.body);
      if (compute && std::holds_alternative<SumParts>(compute->op)) {
        std::tie(sum_of, shift) = sum(i, step.reads, step.writes[0].first);
        const float scale = std::get<SumParts>(compute->op).scale;
        if (scale != 1) sum_of.push_back(mean_of(i, sum_of, scale));
      } else if (compute && std::holds_alternative<AdagradScale>(compute->op)) {
        scale(i, step.writes[0], step.writes[1].tensor);
        grown_.insert(step.writes[1].tensor);
        continue;  // what is scaled stays what it was
      } else if (compute && std::holds_alternative<Update>(compute->op)) {
        const auto parts = static_cast<std::size_t>(std::get<Update>(compute->op).parts);
        check_update(i, {step.reads.begin(), step.reads.begin() + static_cast<std::ptrdiff_t>(parts)});
      } else if (compute && std::holds_alternative<FullyConnectedUpdate>(compute->op)) {
        check_factors(i, std::get<FullyConnectedUpdate>(compute->op).gradient);
      } else if (compute && std::holds_alternative<FullyConnectedBackwardWeights>(compute->op)) {
        const auto& op = std::get<FullyConnectedBackwardWeights>(compute->op);
        note_gradient(i, op.rows);
        if (plan_.content[step.layer] == ExchangeContent::factors) check_factors(i, op);
      } else if (compute && std::holds_alternative<BatchNormStatistics>(compute->op)) {
        check_sums<BatchNormSums>(i, std::get<BatchNormStatistics>(compute->op).rows);
      } else if (compute && std::holds_alternative<BatchNormForward>(compute->op)) {
        check_statistics<BatchNormStatistics>(i, {1, 2});
      } else if (compute && std::holds_alternative<BatchNormBackwardData>(compute->op)) {
        check_statistics<BatchNormStatistics>(i, {2, 3});
        check_statistics<BatchNormBackwardWeights>(i, {5, 6});
      } else if (compute && std::holds_alternative<BatchNormBackwardWeights>(compute->op)) {
        check_sums<BatchNormBackwardSums>(i, std::get<BatchNormBackwardWeights>(compute->op).rows);
        gradients_[step.layer].insert(i);
      } else if (compute && std::holds_alternative<ConvBackwardWeights>(compute->op)) {
        note_gradient(i, std::get<ConvBackwardWeights>(compute->op).rows);
      } else if (compute && std::holds_alternative<ClipScale>(compute->op)) {
        check_norms(i);
      }
      write_all(i, sum_of, shift);
    }
  }

  // What step `i` writes is its own, or such a sum.
  void write_all(int i, const std::vector<Producer>& sum_of = {}, std::int64_t shift = 0) {
    const Step& step = plan_.steps[i];
    for (std::size_t w = 0; w < step.writes.size(); ++w) {
      const Range& to = step.writes[w];
      const bool summed = !sum_of.empty();
      contents_[to.tensor].write(to.first, to.count, summed ? sum_of : std::vector<Producer>{{i, static_cast<int>(w)}},
                                 summed ? shift : -to.first);
    }
  }

  // A kernel gets as many numbers as its operator says.
  void check_arguments(int i) {
    const Step& step = plan_.steps[i];
    const auto* compute = std::get_if<Compute>(&step.body);
    if (compute == nullptr) return;
    const std::vector<OpArgument> arguments = arguments_of(compute->op);
    if (arguments.size() != step.reads.size() + step.writes.size()) fail(i, "has not the arguments of its operator");
    for (std::size_t a = 0; a < arguments.size() && error_.empty(); ++a) {
      const Range& range = a < step.reads.size() ? step.reads[a] : step.writes[a - step.reads.size()];
      if (range.count != arguments[a].elements)
        fail(i, fmt::format("gets {} numbers as its {}, which has {}", range.count, arguments[a].name,
                            arguments[a].elements));
    }
  }

  // The norm is that of all parameters: squares of every range have come.
  void check_norms(int i) {
    const Range& slots = plan_.steps[i].reads[0];
    for (const auto& [first, part] : contents_[slots.tensor].read(slots.first, slots.count)) {
      const bool norms = part.sum_of.size() == 1 && part.sum_of[0].step >= 0 && is_norms(part.sum_of[0].step);
      if (!norms) fail(i, "clips by a norm of which something is not there");
    }
  }

  bool is_norms(int i) const {
    const auto* compute = std::get_if<Compute>(&plan_.steps[i].body);
    return compute && std::holds_alternative<SquaredNorms>(compute->op);
  }

  void check_results() {
    for (const ResultRows& rows : plan_.results) {
      for (const int tensor : {rows.loss, rows.rank, rows.probabilities}) {
        if (tensor < 0) continue;
        for (const auto& [first, part] : contents_[tensor].read(0, plan_.tensors[tensor].elements)) {
          if (part.sum_of.empty())
            error_ = fmt::format("{} does not give {}", plan_.devices[rows.device].name, plan_.tensors[tensor].name);
        }
      }
    }
  }

  // In each partition every parameter has owners for all that it has of it, once.
  void check_owners() {
    for (const Layer& layer : network_.layers) {
      if (layer.weight < 0) continue;
      for (const int p : {layer.weight, layer.bias}) {
        for (int partition = 0; partition < plan_.split; ++partition) {
          std::int64_t next = plan_.parameters[p].first[partition];
          const std::int64_t end = next + plan_.tensors[plan_.parameters[p].tensor[partition]].elements;
          for (const OwnedRange& owned : plan_.owned) {
            if (owned.parameter != p || owned.device % plan_.split != partition) continue;
            next = owned.first == next ? next + owned.count : -1;
            if (next < 0) break;
          }
          if (next != end) error_ = "not all of " + network_.parameters[p].name + " has one owner in each partition";
        }
      }
    }
  }

  // What the step before has left is what this plan leaves, its producers numbered from kBefore on.
  void follow_the_step_before() {
    follow(Follow::others);
    const auto renumbered = [](const Producer& producer) { return Producer{producer.step + kBefore, producer.write}; };
    for (std::size_t t = 0; t < plan_.tensors.size(); ++t) {
      const auto parts = contents_[t].read(0, plan_.tensors[t].elements);
      contents_[t] = {};
      for (const auto& [first, part] : parts) {
        std::vector<Producer> sum_of;
        for (const Producer& producer : part.sum_of) sum_of.push_back(renumbered(producer));
        if (plan_.tensors[t].carried && !sum_of.empty())
          contents_[t].write(first, part.end - first, sum_of, part.shift);
      }
    }
    for (const auto& [layer, steps] : gradients_) {
      for (const int step : steps) before_[layer].insert(step + kBefore);
    }
    std::set<Producer> scaled;
    for (const Producer& producer : scaled_) scaled.insert(renumbered(producer));
    scaled_ = std::move(scaled);
    gradients_.clear();
    parts_.clear();
    grown_.clear();
    updates_.clear();
  }

  // What this step leaves is what it found.
  void check_what_is_left(const std::vector<Contents>& found) {
    for (std::size_t t = 0; t < plan_.tensors.size(); ++t) {
      const PlanTensor& tensor = plan_.tensors[t];
      if (!tensor.carried) continue;
      auto left = contents_[t].read(0, tensor.elements);
      for (auto& [first, part] : left) {
        for (Producer& producer : part.sum_of) producer.step += kBefore;
      }
      if (left == found[t].read(0, tensor.elements)) continue;
      error_ =
          fmt::format("{} does not leave in {} what it found there", plan_.devices[tensor.device].name, tensor.name);
      return;
    }
  }

  // A step of this training step reads no value that is still to be updated by the step before.
  void check_values_read(int i) {
    for (const Range& range : plan_.steps[i].reads) {
      if (!updated_later_.contains(range.tensor)) continue;
      for (const auto& [first, part] : contents_[range.tensor].read(range.first, range.count)) {
        const bool is_new = part.sum_of.size() == 1 && plan_.steps[part.sum_of[0].step].deferred;
        if (is_new) continue;
        return fail(i, "reads " + plan_.tensors[range.tensor].name + " before the step before has updated it");
      }
    }
  }

  void fail(int step, const std::string& what) {
    if (!error_.empty() || what.empty()) return;
    error_ = fmt::format("{} on {}: {}", plan_.steps[step].name, plan_.devices[plan_.steps[step].device].name, what);
  }

  // The device whose memory a step writes.
  static int written_on(const Step& step) {
    const auto* transfer = std::get_if<Transfer>(&step.body);
    return transfer ? transfer->to : step.device;
  }

  void move(const Step& step, const Transfer& transfer) {
    const auto element = static_cast<std::int64_t>(size_of(plan_.tensors[step.reads[0].tensor].type));
    const auto elements_in = [&](std::size_t bytes) { return static_cast<std::int64_t>(bytes) / element; };
    for (std::int64_t row = 0; row < static_cast<std::int64_t>(transfer.rows); ++row) {
      const std::int64_t from = step.reads[0].first + row * elements_in(transfer.source_pitch);
      const std::int64_t to = step.writes[0].first + row * elements_in(transfer.destination_pitch);
      for (const auto& [first, part] : contents_[step.reads[0].tensor].read(from, elements_in(transfer.row_bytes))) {
        contents_[step.writes[0].tensor].write(first - from + to, part.end - first, part.sum_of,
                                               part.shift + from - to);
      }
    }
  }

  // The producers whose sum the parts are, and the shift of an element that lies at `first`, where all parts agree.
  std::pair<std::vector<Producer>, std::int64_t> sum(int step, const std::vector<Range>& parts, std::int64_t first) {
    std::vector<Producer> sum_of;
    std::int64_t shift = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const auto read = contents_[parts[i].tensor].read(parts[i].first, parts[i].count);
      if (read.size() != 1 || read[0].second.sum_of.empty()) {
        fail(step, "reads a gradient that is not all there");
        return {};
      }
      const std::int64_t own_shift = read[0].second.shift + parts[i].first - first;
      if (i > 0 && own_shift != shift) fail(step, "adds up different elements of a gradient");
      shift = own_shift;
      sum_of.insert(sum_of.end(), read[0].second.sum_of.begin(), read[0].second.sum_of.end());
    }
    std::sort(sum_of.begin(), sum_of.end());
    return {std::move(sum_of), shift};
  }

  // Before a plan that averages, device d's squares of a parameter are as if written by step -2 - d; a mean is a sum
  // with one producer more.
  static constexpr Producer kMean{-1, 0};
  Producer state_of(std::size_t device, std::size_t parameter) const {
    return {-2 - static_cast<int>(device), static_cast<int>(parameter)};
  }

  void place_states() {
    for (std::size_t p = 0; p < plan_.parameters.size(); ++p) {
      const std::vector<int>& squares = plan_.parameters[p].squares;
      for (std::size_t d = 0; d < squares.size(); ++d) {
        contents_[squares[d]].write(0, plan_.tensors[squares[d]].elements, {state_of(d, p)}, 0);
      }
    }
  }

  Producer mean_of(int step, const std::vector<Producer>& sum_of, float scale) {
    if (plan_.mode != PlanMode::average || sum_of.size() != plan_.devices.size() ||
        scale != 1 / static_cast<float>(plan_.devices.size())) {
      fail(step, fmt::format("takes {} of {} parts for a mean", scale, sum_of.size()));
    }
    return kMean;
  }

  // A gradient is scaled by its device's own squares: all of it, once.
  void scale(int i, const Range& gradient, int squares) {
    const Step& step = plan_.steps[i];
    const auto parts = contents_[gradient.tensor].read(gradient.first, gradient.count);
    if (parts.size() != 1 || parts[0].second.sum_of.empty() ||
        gradient.count != plan_.tensors[gradient.tensor].elements) {
      return fail(i, "scales a gradient that is not all there");
    }
    for (const Producer& producer : parts[0].second.sum_of) {
      const Layer& layer = network_.layers[step.layer];
      const int parameter = producer.write == 0 ? layer.weight : layer.bias;
      if (plan_.parameters[parameter].squares[step.device] != squares) fail(i, "scales by the squares of another");
      if (!scaled_.insert(producer).second) fail(i, "scales a gradient for the second time");
    }
  }

  // Each device's squares have grown by what its rows gave.
  void check_squares() {
    for (std::size_t p = 0; p < plan_.parameters.size(); ++p) {
      const std::vector<int>& squares = plan_.parameters[p].squares;
      for (std::size_t d = 0; d < squares.size(); ++d) {
        if (plan_.device_rows[d].count == 0 || grown_.contains(squares[d])) continue;
        error_ = fmt::format("{}: its squares of {} do not grow", plan_.devices[d].name, network_.parameters[p].name);
        return;
      }
    }
  }

  void check_means() {
    for (std::size_t p = 0; p < plan_.parameters.size(); ++p) {
      if (!network_.parameters[p].learned) continue;
      std::vector<Producer> all;
      for (std::size_t d = plan_.devices.size(); d > 0; --d) all.push_back(state_of(d - 1, p));
      all.push_back(kMean);
      for (std::size_t d = 0; d < plan_.devices.size(); ++d) {
        const int squares = plan_.parameters[p].squares[d];
        for (const auto& [first, part] : contents_[squares].read(0, plan_.tensors[squares].elements)) {
          if (part.sum_of == all && part.shift == 0) continue;
          error_ = fmt::format("{} does not get the mean of {}'s squares", plan_.devices[d].name,
                               network_.parameters[p].name);
          return;
        }
      }
    }
  }

  // Partitions have outputs of their own, and exchange nothing of them.
  bool same_partition(int a, int b) const { return a % plan_.split == b % plan_.split; }

  std::int64_t first_in_place(const OwnedRange& owned) const {
    return owned.first - plan_.parameters[owned.parameter].first[owned.device];
  }

  const OwnedRange* owned_by(const Range& written) const {
    for (const OwnedRange& owned : plan_.owned) {
      const ParameterPlace& place = plan_.parameters[owned.parameter];
      const Range values = owned.master >= 0 ? Range{owned.master, 0, owned.count}
                                             : Range{place.tensor[owned.device], first_in_place(owned), owned.count};
      if (values.tensor == written.tensor && values.first == written.first && values.count == written.count)
        return &owned;
    }
    return nullptr;
  }

  // The range that a step updates: once.
  const OwnedRange* updated(int step, const Range& written) {
    const OwnedRange* owned = owned_by(written);
    if (owned == nullptr || owned->device != plan_.steps[step].device) {
      fail(step, "updates what its device does not own");
      return nullptr;
    }
    if (!updates_.emplace(owned - plan_.owned.data(), step).second) fail(step, "updates a range for the second time");
    return owned;
  }

  void check_update(int i, const std::vector<Range>& parts) {
    const OwnedRange* owned = updated(i, plan_.steps[i].writes[0]);
    if (owned == nullptr) return;
    const Layer& layer = network_.layers[plan_.steps[i].layer];
    const int write = owned->parameter == layer.weight ? 0 : 1;
    const auto [sum_of, shift] = sum(i, parts, 0);
    if (!error_.empty()) return;
    // Gradients of factors hold the owner's outputs alone.
    const ExchangeContent content = plan_.content[plan_.steps[i].layer];
    const bool of_factors = content == ExchangeContent::factors;
    const bool alone = of_factors || content == ExchangeContent::statistics;  // each owner has the whole gradient
    std::vector<Producer> all;
    const bool deferred = plan_.steps[i].deferred;
    for (const int step : (deferred ? before_ : gradients_)[plan_.steps[i].layer]) {
      const int device = plan_.steps[step < 0 ? step - kBefore : step].device;
      if (alone ? device != owned->device : !same_partition(device, owned->device)) continue;
      all.push_back({step, write});
      if (of_factors) check_outputs(i, std::get<FullyConnectedBackwardWeights>(op_of(step)), *owned, write == 0);
    }
    if (sum_of != all) {
      fail(i, fmt::format("adds up {} parts of the gradient where there are {}, or one of them twice", sum_of.size(),
                          all.size()));
    } else if (!plan_.parameters[owned->parameter].squares.empty() &&
               !std::includes(scaled_.begin(), scaled_.end(), all.begin(), all.end())) {
      fail(i, "adds up gradients that are not all scaled by their device's squares");
    } else if (shift != (of_factors ? 0 : first_in_place(*owned))) {
      fail(i, "updates a range by the gradient of another");
    }
  }

  const Op& op_of(int step) const { return std::get<Compute>(plan_.steps[step].body).op; }

  std::vector<std::pair<std::int64_t, std::int64_t>>& parts_of(int step) {
    return parts_[{plan_.steps[step].layer, plan_.steps[step].device % plan_.split}];
  }

  // A step computes a part of its layer's gradient, from these rows.
  void note_gradient(int i, const Rows& rows) {
    gradients_[plan_.steps[i].layer].insert(i);
    parts_of(i).emplace_back(rows.first, rows.first + rows.count);
  }

  // A product of factors is the gradient of the range that step `i` updates by it.
  void check_outputs(int i, const FullyConnectedBackwardWeights& op, const OwnedRange& owned, bool weight) {
    const std::int64_t width = weight ? op.in : 1;
    if (first_in_place(owned) == op.first_output * width && owned.count == op.outputs * width) return;
    fail(i, "updates a range by the gradient of other outputs");
  }

  // The step's first two reads: rows of inputs and of output gradients.
  void check_factors(int i, const FullyConnectedBackwardWeights& op) {
    const Step& step = plan_.steps[i];
    if (std::holds_alternative<FullyConnectedUpdate>(op_of(i))) {
      for (std::size_t w = 0; w < 2; ++w) {
        if (const OwnedRange* owned = updated(i, step.writes[w])) check_outputs(i, op, *owned, w == 0);
      }
    }
    if (op.rows.first != 0 || op.rows.count != plan_.rows) fail(i, "multiplies only some rows of the factors");
    check_rows(i, step.reads[0], op.in, 0, op.in);
    check_rows(i, step.reads[1], op.out, op.first_output, op.outputs);
  }

  // Columns [first, first + count) of every row are what the row's device computed, all by the same step of the plan.
  void check_rows(int i, const Range& range, std::int64_t width, std::int64_t first, std::int64_t count) {
    std::string name;
    for (const auto& [device, span] : spans_) {
      if (!same_partition(device, plan_.steps[i].device)) continue;
      for (std::int64_t row = span.first; row < span.first + span.count; ++row) {
        const std::int64_t at = range.first + row * width + first;
        for (const auto& [begin, part] : contents_[range.tensor].read(at, count)) {
          if (part.sum_of.size() != 1) return fail(i, fmt::format("row {} of a factor is not there", row));
          const Producer& producer = part.sum_of[0];
          const Step& by = plan_.steps[producer.step];
          if (name.empty()) name = by.name;
          // The producer wrote its device's rows, or those of a pass, from the first one on.
          const std::int64_t element = begin + part.shift + by.first_row * width;
          if (written_on(by) != device || by.name != name || element != begin - range.first) {
            return fail(i, fmt::format("row {} of a factor is not what {} computed", row, plan_.devices[device].name));
          }
        }
      }
    }
  }

  // What a step of batch_norm reads are the sums of `rows` rows, no row twice.
  template <class Sums>
  void check_sums(int i, std::int64_t rows) {
    const Range& range = plan_.steps[i].reads[0];
    std::map<std::int64_t, std::int64_t> spans;  // by first row
    for (const auto& [first, part] : contents_[range.tensor].read(range.first, range.count)) {
      if (part.sum_of.size() != 1) return fail(i, "reads sums that are not all there");
      const Step& by = plan_.steps[part.sum_of[0].step];
      const auto* compute = std::get_if<Compute>(&by.body);
      const auto* sums = compute ? std::get_if<Sums>(&compute->op) : nullptr;
      if (sums == nullptr || !same_partition(by.device, plan_.steps[i].device) || by.layer != plan_.steps[i].layer ||
          first + part.shift != 0 || part.end - first != by.writes[0].count ||
          !spans.emplace(sums->rows.first, sums->rows.count).second) {
        return fail(i, "reads something else for the sums of a device");
      }
      rows -= sums->rows.count;
    }
    if (std::is_same_v<Sums, BatchNormBackwardSums> && plan_.steps[i].device == first_owner(i)) {
      for (const auto& [first, count] : spans) parts_of(i).emplace_back(first, first + count);
    }
    for (auto span = spans.begin(); span != spans.end(); ++span) {
      if (std::next(span) != spans.end() && span->first + span->second > std::next(span)->first) rows = -1;
    }
    if (rows != 0) fail(i, "reads sums that are not of each row once");
  }

  // Of the weight of a step's layer, in its partition.
  int first_owner(int step) const {
    for (const OwnedRange& owned : plan_.owned) {
      const bool of_layer = owned.parameter == network_.layers[plan_.steps[step].layer].weight;
      if (of_layer && same_partition(owned.device, plan_.steps[step].device)) return owned.device;
    }
    return -1;
  }

  // These reads are all that one step of the kind gave for the layer.
  template <class By>
  void check_statistics(int i, std::initializer_list<std::size_t> reads) {
    for (const std::size_t& r : reads) {
      const Range& range = plan_.steps[i].reads[r];
      const auto parts = contents_[range.tensor].read(range.first, range.count);
      const bool one = parts.size() == 1 && parts[0].second.sum_of.size() == 1 && parts[0].second.sum_of[0].step >= 0;
      if (!one) return fail(i, "reads statistics that are not all there");
      const Producer& producer = parts[0].second.sum_of[0];
      const Step &by = plan_.steps[producer.step], &step = plan_.steps[i];
      const auto* compute = std::get_if<Compute>(&by.body);
      const bool same = by.layer == step.layer && by.device == step.device && by.first_row == step.first_row;
      const bool whole = parts[0].first + parts[0].second.shift == 0 && range.count == by.writes[producer.write].count;
      const bool in_order = producer.write == static_cast<int>(&r - reads.begin());
      if (compute && std::holds_alternative<By>(compute->op) && same && whole && in_order) continue;
      return fail(i, "reads statistics that are not there");
    }
  }

  // The parts of a gradient are of all rows, each once.
  void check_parts() {
    for (auto& [of, spans] : parts_) {
      const int layer = of.first;
      if (plan_.content[layer] == ExchangeContent::factors) continue;
      std::sort(spans.begin(), spans.end());
      std::int64_t reached = 0;
      bool joined = true;
      for (const auto& [first, end] : spans) {
        joined = joined && first == reached;
        reached = end;
      }
      if (joined && reached == plan_.rows) continue;
      error_ = fmt::format("{}: its gradient is not of each row once", network_.layers[layer].name);
      return;
    }
  }

  // Of all parameters, or of those that are updated in the next step.
  void check_new_values(bool updated_later) {
    for (std::size_t o = 0; o < plan_.owned.size(); ++o) {
      const OwnedRange& owned = plan_.owned[o];
      const std::string& name = network_.parameters[owned.parameter].name;
      if (updated_later && !updated_later_.contains(plan_.parameters[owned.parameter].tensor[owned.device])) continue;
      if (!updates_.contains(static_cast<std::ptrdiff_t>(o))) {
        error_ = fmt::format("{}: a range of {} is not updated", plan_.devices[owned.device].name, name);
        return;
      }
      const int update = updates_[static_cast<std::ptrdiff_t>(o)];
      const int values = plan_.parameters[owned.parameter].tensor[owned.device];
      for (std::size_t d = 0; d < plan_.devices.size(); ++d) {
        if (!same_partition(static_cast<int>(d), owned.device)) continue;
        const int tensor = plan_.parameters[owned.parameter].tensor[d];
        const std::int64_t at = first_in_place(owned);
        const auto parts = contents_[tensor].read(at, owned.count);
        if (parts.size() == 1 && parts[0].second.sum_of.size() == 1 && parts[0].second.shift == -at) {
          const Producer& by = parts[0].second.sum_of[0];
          if (by.step == update && plan_.steps[update].writes[by.write].tensor == values) continue;
        }
        error_ = fmt::format("{} does not get the new values of {} [{}, {}) from {}", plan_.devices[d].name, name,
                             owned.first, owned.first + owned.count, plan_.devices[owned.device].name);
        return;
      }
    }
  }

  const Plan& plan_;
  const Network& network_;
  GroupVerifier group_;
  std::vector<std::pair<int, RowSpan>> spans_;  // of each pass, with their device
  std::vector<Contents> contents_;              // by tensor
  std::map<int, std::set<int>> gradients_;      // by layer: the steps that compute its gradient's parts
  std::map<int, std::set<int>> before_;         // and those of the training step before
  std::set<int> updated_later_;                 // tensors of parameters that are updated in the next step
  // By layer and partition: the rows of its gradient's parts, from and past.
  std::map<std::pair<int, int>, std::vector<std::pair<std::int64_t, std::int64_t>>> parts_;
  std::set<Producer> scaled_;
  std::set<int> grown_;                    // tensors of squares
  std::map<std::ptrdiff_t, int> updates_;  // by owned range: the step that updates it
  std::string error_;
};

}  // namespace

std::string exchange_error(const Plan& plan, const Network& network) { return Verifier(plan, network).run(); }

}  // namespace hadal
