#include "plan/recompute.h"

#include <algorithm>
#include <map>
#include <type_traits>

namespace hadal {

namespace {

// Operators of forward that depend on nothing but what they read, and leave nothing else.
bool may_repeat(const Op& op) {
  return std::visit(
      [](const auto& o) {
        using O = std::decay_t<decltype(o)>;
        return std::is_same_v<O, ConvForward> || std::is_same_v<O, PoolForward> || std::is_same_v<O, LrnForward> ||
               std::is_same_v<O, BatchNormForward> || std::is_same_v<O, ActivationForward> ||
               std::is_same_v<O, Dropout> || std::is_same_v<O, FullyConnectedForward> ||
               std::is_same_v<O, ConcatForward> || std::is_same_v<O, Add> || std::is_same_v<O, Convert>;
      },
      op);
}

bool is_cheap(const Step& step) {
  if (const auto* compute = std::get_if<Compute>(&step.body)) return op_flops(compute->op) == 0;
  const auto* transfer = std::get_if<Transfer>(&step.body);
  return transfer != nullptr && transfer->to == step.device;
}

// How the steps of a plan use a tensor.
struct Use {
  std::vector<int> writers, readers;  // steps, in order
  bool repeatable = true;             // its writers can be done again
  std::set<int> computing;            // devices

  int last() const { return std::max(writers.empty() ? -1 : writers.back(), readers.empty() ? -1 : readers.back()); }
};

class Recompute {
 public:
  explicit Recompute(Plan& plan) : plan_(plan), uses_(plan.tensors.size()), copies_(plan.tensors.size(), -1) {
    bool loads = false;
    for (int i = 0; i < static_cast<int>(plan.steps.size()); ++i) {
      const Step& step = plan.steps[i];
      const auto* compute = std::get_if<Compute>(&step.body);
      loads = loads || std::holds_alternative<Load>(step.body);  // a pass begins
      if (compute && (std::holds_alternative<SoftmaxCrossEntropy>(compute->op) ||
                      std::holds_alternative<SoftmaxCrossEntropyPart>(compute->op))) {
        if (loads) losses_.push_back(i);
        losses_.back() = i;
        loads = false;
      }
      for (const Range& range : step.reads) note(range, i, uses_[range.tensor].readers);
      for (const Range& range : step.writes) note(range, i, uses_[range.tensor].writers);
    }
    for (std::size_t t = 0; t < uses_.size(); ++t) uses_[t].repeatable = is_repeatable(static_cast<int>(t));
  }

  std::vector<KeptValue> kept() const {
    std::vector<KeptValue> values;
    std::map<std::string, std::size_t> index;
    std::vector<int> order;
    for (int t = 0; t < static_cast<int>(uses_.size()); ++t) {
      if (is_kept(t)) order.push_back(t);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return uses_[a].writers.front() < uses_[b].writers.front(); });
    for (const int t : order) {
      const PlanTensor& tensor = plan_.tensors[t];
      const auto [found, is_new] = index.try_emplace(tensor.name, values.size());
      if (is_new) values.push_back({tensor.name, plan_.steps[uses_[t].writers.front()].layer, 0, true});
      KeptValue& value = values[found->second];
      value.bytes = std::max(value.bytes, tensor.bytes());
      value.cheap = value.cheap && is_cheap_to_repeat(t, first_needed(t));
    }
    return values;
  }

  void apply(const std::set<std::string>& names) {
    chosen_.assign(uses_.size(), false);
    for (std::size_t t = 0; t < uses_.size(); ++t) {
      chosen_[t] = names.contains(plan_.tensors[t].name) && is_kept(static_cast<int>(t));
    }
    // A step is done again for all that it wrote.
    for (std::size_t t = 0; t < uses_.size(); ++t) {
      if (!chosen_[t]) continue;
      for (const int other : written_with(static_cast<int>(t))) chosen_[other] = chosen_[other] || is_kept(other);
    }
    std::vector<Step> before = std::move(plan_.steps);
    steps_ = &before;
    for (int i = 0; i < static_cast<int>(before.size()); ++i) {
      Step step = before[i];
      for (auto* ranges : {&step.reads, &step.writes}) {
        for (Range& range : *ranges) {
          if (is_chosen(range.tensor) && i > boundary(range.tensor)) range.tensor = again(range.tensor, i);
        }
      }
      plan_.steps.push_back(std::move(step));
    }
  }

 private:
  void note(const Range& range, int step, std::vector<int>& steps) {
    if (steps.empty() || steps.back() != step) steps.push_back(step);
    const Step& of = plan_.steps[step];
    Use& use = uses_[range.tensor];
    if (of.stream == StreamKind::compute) use.computing.insert(of.device);
    if (of.stream != StreamKind::compute && of.stream != StreamKind::transfer) use.repeatable = false;
  }

  // The step of the loss with which the forward pass ends that writes the tensor first.
  int boundary(int t) const {
    const auto next = std::upper_bound(losses_.begin(), losses_.end(), uses_[t].writers.front());
    return next == losses_.end() ? static_cast<int>(step_count()) : *next;
  }
  std::size_t step_count() const { return steps_ ? steps_->size() : plan_.steps.size(); }
  const Step& step_of(int i) const { return steps_ ? (*steps_)[i] : plan_.steps[i]; }

  std::set<int> written_with(int t) const {
    std::set<int> others;
    for (const int writer : uses_[t].writers) {
      for (const Range& range : step_of(writer).writes) others.insert(range.tensor);
    }
    return others;
  }

  bool is_repeatable(int t) const {
    const Use& use = uses_[t];
    const PlanTensor& tensor = plan_.tensors[t];
    const bool of_rows = tensor.kind == TensorKind::activation || tensor.kind == TensorKind::workspace ||
                         tensor.kind == TensorKind::input;
    if (!use.repeatable || !of_rows || tensor.carried || use.writers.empty() || use.computing.size() > 1) return false;
    if (use.writers.back() >= boundary(t)) return false;
    if (!use.readers.empty() && use.readers.front() <= use.writers.back()) return false;
    return std::all_of(use.writers.begin(), use.writers.end(), [&](int writer) {
      const auto* compute = std::get_if<Compute>(&plan_.steps[writer].body);
      return compute == nullptr || may_repeat(compute->op);
    });
  }

  // Read by backward, after a while.
  bool is_kept(int t) const {
    const Use& use = uses_[t];
    if (!use.repeatable || use.readers.empty() || use.readers.back() <= boundary(t)) return false;
    for (const int other : written_with(t)) {
      if (!uses_[other].repeatable) return false;
    }
    return inputs_stay(t, use.readers.back());
  }

  // No parameter that its writers read is written before step `now`.
  bool inputs_stay(int t, int now) const {
    for (const int writer : uses_[t].writers) {
      for (const Range& range : step_of(writer).reads) {
        const Use& input = uses_[range.tensor];
        const auto next = std::upper_bound(input.writers.begin(), input.writers.end(), writer);
        if (next != input.writers.end() && *next < now) return false;
        if (!lives(range.tensor, now) && input.repeatable && !inputs_stay(range.tensor, now)) return false;
      }
    }
    return true;
  }

  int first_needed(int t) const {
    const auto& readers = uses_[t].readers;
    return *std::upper_bound(readers.begin(), readers.end(), boundary(t));
  }

  bool lives(int t, int now) const { return plan_.tensors[t].persistent() || uses_[t].last() >= now; }

  bool is_cheap_to_repeat(int t, int now) const {
    for (const int writer : uses_[t].writers) {
      if (!is_cheap(step_of(writer))) return false;
      for (const Range& range : step_of(writer).reads) {
        if (!lives(range.tensor, now) && repeats(range.tensor) && !is_cheap_to_repeat(range.tensor, now)) return false;
      }
    }
    return true;
  }

  // Whether what is no longer kept is computed again where it is needed: else it is kept till then.
  bool repeats(int t) const {
    const auto& writers = uses_[t].writers;
    return uses_[t].repeatable && std::all_of(writers.begin(), writers.end(), [&](int writer) {
             const auto* compute = std::get_if<Compute>(&step_of(writer).body);
             return compute == nullptr || op_flops(compute->op) == 0;
           });
  }

  bool is_chosen(int t) const { return t < static_cast<int>(chosen_.size()) && chosen_[t]; }

  // The tensor that has the values of `t` at step `now` of backward.
  int again(int t, int now) {
    if (copies_[t] >= 0) return copies_[t];
    const auto copy_of = [&](int other) {
      if (copies_[other] < 0) {
        copies_[other] = static_cast<int>(plan_.tensors.size());
        plan_.tensors.push_back(plan_.tensors[other]);
        plan_.tensors.back().name += ".again";
      }
      return copies_[other];
    };
    std::set<int> writers;  // of it and of what they write beside it
    std::set<int> written{t};
    for (std::size_t count = 0; count != written.size();) {
      count = written.size();
      for (const int other : std::set<int>(written)) {
        writers.insert(uses_[other].writers.begin(), uses_[other].writers.end());
        written.merge(written_with(other));
      }
    }
    for (const int writer : writers) {
      Step step = step_of(writer);
      step.again = true;
      for (Range& range : step.reads) {
        const int input = range.tensor;
        if (written.contains(input)) {
          range.tensor = copy_of(input);
        } else if (is_chosen(input) || (!lives(input, now) && repeats(input))) {
          range.tensor = again(input, now);
        }
      }
      for (Range& range : step.writes) range.tensor = copy_of(range.tensor);
      plan_.steps.push_back(std::move(step));
    }
    return copies_[t];
  }

  Plan& plan_;
  std::vector<Use> uses_;               // by tensor
  std::vector<int> copies_;             // by tensor: that of its values in backward, -1: none
  std::vector<int> losses_;             // the last step of each pass's
  std::vector<bool> chosen_;            // by tensor
  std::vector<Step>* steps_ = nullptr;  // the plan's, while new ones are written
};

}  // namespace

std::vector<KeptValue> kept_values(const Plan& plan) {
  Plan copy = plan;
  return Recompute(copy).kept();
}

void compute_again(Plan& plan, const std::set<std::string>& names) {
  if (!names.empty() && plan.mode == PlanMode::train) Recompute(plan).apply(names);
}

}  // namespace hadal
