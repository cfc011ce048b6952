#include "speech/word_lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <unordered_set>

namespace hadal {

namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNever ? a : a + std::log1p(std::exp(b - a));
}

// Logarithms at places: kNever where none was added.
class PlaceSums {
 public:
  explicit PlaceSums(std::size_t places) : sums_(places, kNever) {}

  double at(std::int32_t place) const { return sums_[static_cast<std::size_t>(place)]; }
  const std::vector<std::int32_t>& places() const { return places_; }

  void add(std::int32_t place, double value) {
    if (value == kNever) return;
    double& sum = sums_[static_cast<std::size_t>(place)];
    if (sum == kNever) places_.push_back(place);
    sum = log_add(sum, value);
  }

  void clear() {
    for (const std::int32_t place : places_) sums_[static_cast<std::size_t>(place)] = kNever;
    places_.clear();
  }

 private:
  std::vector<double> sums_;
  std::vector<std::int32_t> places_;
};

// Forwards and backwards over the frames. Arcs of a frame: those that begin there, by_first_, and those that end there.
class Posteriors {
 public:
  Posteriors(const DecodingGraph& graph, const WordLattice& lattice, std::int64_t frames, bool complete)
      : graph_(graph),
        arcs_(lattice.arcs),
        frames_(frames),
        complete_(complete),
        after_(graph.places.size()),
        before_(graph.places.size()),
        forward_(arcs_.size(), kNever),
        backward_(arcs_.size(), kNever) {
    for (std::size_t i = 0; i < arcs_.size(); ++i) by_first_.push_back(i);
    std::stable_sort(by_first_.begin(), by_first_.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(arcs_[a].first, arcs_[a].head) < std::pair(arcs_[b].first, arcs_[b].head);
    });
  }

  std::vector<double> compute() {
    const double all = run_forward();
    run_backward();
    std::vector<double> posteriors(arcs_.size());
    for (std::size_t i = 0; i < arcs_.size(); ++i) {
      posteriors[i] = std::exp(forward_[i] + arcs_[i].score + backward_[i] - all);
      if (!std::isfinite(posteriors[i])) posteriors[i] = 0;
    }
    return posteriors;
  }

 private:
  // Of all ways.
  double run_forward() {
    std::size_t ending = 0, beginning = 0;
    for (std::int64_t frame = 0; frame <= frames_; ++frame) {
      after_.clear();
      before_.clear();
      if (frame == 0) after_.add(graph_.first_place, 0);
      for (; ending < arcs_.size() && arcs_[ending].last == frame; ++ending) {
        const WordLattice::Arc& arc = arcs_[ending];
        (arc.word < 0 ? before_ : after_).add(arc.place, forward_[ending] + arc.score);
      }
      for (const std::int32_t place : after_.places()) {
        before_.add(place, after_.at(place) + static_cast<double>(graph_.log_no_silence));
      }
      fall_back();
      for (; beginning < arcs_.size() && arcs_[by_first_[beginning]].first == frame; ++beginning) {
        forward_[by_first_[beginning]] = entrance(arcs_[by_first_[beginning]]);
      }
    }
    double all = kNever;
    for (const std::int32_t place : (complete_ ? before_ : after_).places()) {
      all = log_add(all, (complete_ ? before_ : after_).at(place) + end_of(place));
    }
    return all;
  }

  // A shorter history has a lower number, so each is complete when its turn comes.
  void fall_back() {
    std::vector<std::int32_t> waiting = before_.places();
    std::make_heap(waiting.begin(), waiting.end());
    while (!waiting.empty()) {
      std::pop_heap(waiting.begin(), waiting.end());
      const std::int32_t number = waiting.back();
      waiting.pop_back();
      const DecodingGraph::Place& place = graph_.places[static_cast<std::size_t>(number)];
      if (place.backoff < 0) continue;
      const bool is_new = before_.at(place.backoff) == kNever;
      before_.add(place.backoff, before_.at(number) + static_cast<double>(place.log_backoff));
      if (!is_new || before_.at(place.backoff) == kNever) continue;
      waiting.push_back(place.backoff);
      std::push_heap(waiting.begin(), waiting.end());
    }
  }

  double entrance(const WordLattice::Arc& arc) const {
    if (arc.word < 0) return after_.at(arc.place) + static_cast<double>(graph_.log_silence);
    double sum = kNever;
    for (const DecodingGraph::Entrance& from : graph_.entrances_of(arc.head)) {
      const double there = before_.at(from.place);
      if (there != kNever) sum = log_add(sum, there + static_cast<double>(from.log_probability));
    }
    return sum;
  }

  double end_of(std::int32_t place) const {
    return complete_ ? static_cast<double>(graph_.places[static_cast<std::size_t>(place)].log_end) : 0;
  }

  void run_backward() {
    std::size_t ending = arcs_.size(), beginning = arcs_.size();
    for (std::int64_t frame = frames_; frame >= 0; --frame) {
      after_.clear();   // here: of silences that begin
      before_.clear();  // of words that begin
      while (beginning > 0 && arcs_[by_first_[beginning - 1]].first == frame) beginning = add_beginnings(beginning);
      for (; ending > 0 && arcs_[ending - 1].last == frame; --ending) {
        const WordLattice::Arc& arc = arcs_[ending - 1];
        backward_[ending - 1] = arc.word < 0 ? from_before(arc.place, frame) : from_after(arc.place, frame);
      }
    }
  }

  // Of the arcs before by_first_[end] that begin with the same chain; returns where they begin.
  std::size_t add_beginnings(std::size_t end) {
    const WordLattice::Arc& one = arcs_[by_first_[end - 1]];
    double sum = kNever;
    for (; end > 0; --end) {
      const WordLattice::Arc& arc = arcs_[by_first_[end - 1]];
      if (arc.first != one.first || arc.head != one.head) break;
      if (backward_[by_first_[end - 1]] != kNever) sum = log_add(sum, arc.score + backward_[by_first_[end - 1]]);
    }
    if (one.word < 0) {
      after_.add(one.place, sum + static_cast<double>(graph_.log_silence));
    } else {
      for (const DecodingGraph::Entrance& from : graph_.entrances_of(one.head)) {
        before_.add(from.place, sum + static_cast<double>(from.log_probability));
      }
    }
    return end;
  }

  double from_before(std::int32_t number, std::int64_t frame) const {
    double sum = kNever, weight = 0;
    for (std::int32_t place = number; place >= 0;) {
      if (before_.at(place) != kNever) sum = log_add(sum, weight + before_.at(place));
      if (frame == frames_ && complete_ && end_of(place) != kNever) sum = log_add(sum, weight + end_of(place));
      weight += static_cast<double>(graph_.places[static_cast<std::size_t>(place)].log_backoff);
      place = graph_.places[static_cast<std::size_t>(place)].backoff;
    }
    return sum;
  }

  double from_after(std::int32_t place, std::int64_t frame) const {
    if (frame == frames_ && !complete_) return 0;
    return log_add(static_cast<double>(graph_.log_no_silence) + from_before(place, frame), after_.at(place));
  }

  const DecodingGraph& graph_;
  const std::vector<WordLattice::Arc>& arcs_;
  std::int64_t frames_;
  bool complete_;
  std::vector<std::size_t> by_first_;
  PlaceSums after_, before_;
  std::vector<double> forward_, backward_;  // of what comes before an arc, and behind it
};

// From which places words and silences begin, asked frame by frame, from the last on.
class WaysOn {
 public:
  explicit WaysOn(const DecodingGraph& graph)
      : graph_(graph), after_(graph.places.size(), kNoFrame), before_(graph.places.size(), kNoFrame) {}

  // A word or silence that leads on begins so, before what was asked last.
  void add(std::int32_t first, std::int32_t head) {
    if (known_.insert(std::uint64_t{static_cast<std::uint32_t>(first)} << 32 | static_cast<std::uint32_t>(head)).second)
      waiting_.emplace(first, head);
  }

  // Whether one begins where this arc ends.
  bool lead_on(const WordLattice::Arc& arc) {
    for (; !waiting_.empty() && waiting_.top().first >= arc.last; waiting_.pop()) {
      const auto [first, head] = waiting_.top();
      mark(first, head);
    }
    if (arc.word >= 0 && after_[static_cast<std::size_t>(arc.place)] == arc.last) return true;
    for (std::int32_t place = arc.place; place >= 0; place = graph_.places[static_cast<std::size_t>(place)].backoff) {
      if (before_[static_cast<std::size_t>(place)] == arc.last) return true;
    }
    return false;
  }

 private:
  static constexpr std::int32_t kNoFrame = -1;

  void mark(std::int32_t frame, std::int32_t head) {
    const DecodingGraph::Node& node = graph_.nodes[static_cast<std::size_t>(head)];
    if (node.word < 0) {
      for (std::int32_t last = head; last >= 0; last = graph_.nodes[static_cast<std::size_t>(last)].following) {
        const std::int32_t place = graph_.nodes[static_cast<std::size_t>(last)].place;
        if (place >= 0) after_[static_cast<std::size_t>(place)] = frame;
      }
      return;
    }
    for (const DecodingGraph::Entrance& from : graph_.entrances_of(head)) {
      before_[static_cast<std::size_t>(from.place)] = frame;
    }
  }

  const DecodingGraph& graph_;
  std::vector<std::int32_t> after_, before_;  // the last frame that was marked there
  std::unordered_set<std::uint64_t> known_;
  std::priority_queue<std::pair<std::int32_t, std::int32_t>> waiting_;  // the latest first
};

}  // namespace

std::vector<std::int64_t> remove_dead_ends(const DecodingGraph& graph, WordLattice& lattice,
                                           const LatticeFrontier& frontier) {
  std::vector<WordLattice::Arc>& arcs = lattice.arcs;
  std::vector<char> traced(arcs.size());
  for (std::int64_t arc : frontier.traces) {
    for (; arc >= 0 && traced[static_cast<std::size_t>(arc)] == 0; arc = arcs[static_cast<std::size_t>(arc)].before) {
      traced[static_cast<std::size_t>(arc)] = 1;
    }
  }
  WaysOn ways(graph);
  for (const auto& [first, head] : frontier.open) ways.add(first, head);
  std::vector<std::int64_t> numbers(arcs.size(), -1);
  for (std::size_t i = arcs.size(); i-- > 0;) {
    const WordLattice::Arc& arc = arcs[i];
    const bool leads_on = arc.last == frontier.frame || ways.lead_on(arc);
    if (leads_on) ways.add(arc.first, arc.head);
    if (leads_on || traced[i] != 0) numbers[i] = 0;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < arcs.size(); ++i) {
    if (numbers[i] < 0) continue;
    numbers[i] = static_cast<std::int64_t>(kept);
    WordLattice::Arc arc = arcs[i];
    if (arc.before >= 0) arc.before = numbers[static_cast<std::size_t>(arc.before)];  // it stands before this one
    arcs[kept++] = arc;
  }
  arcs.resize(kept);
  return numbers;
}

std::vector<double> word_confidences(const DecodingGraph& graph, const WordLattice& lattice, std::int64_t frames,
                                     bool complete, const std::vector<std::int64_t>& arcs) {
  if (arcs.empty()) return {};
  const std::vector<double> posteriors = Posteriors(graph, lattice, frames, complete).compute();
  std::vector<std::vector<std::size_t>> by_word;  // in the order of `last`
  std::int32_t longest = 0;                       // of these arcs, in frames
  for (std::size_t i = 0; i < lattice.arcs.size(); ++i) {
    if (lattice.arcs[i].word < 0 || posteriors[i] < 1e-9) continue;
    by_word.resize(std::max(by_word.size(), static_cast<std::size_t>(lattice.arcs[i].word) + 1));
    by_word[static_cast<std::size_t>(lattice.arcs[i].word)].push_back(i);
    longest = std::max(longest, lattice.arcs[i].last - lattice.arcs[i].first);
  }
  std::vector<double> confidences;
  for (const std::int64_t number : arcs) {
    const WordLattice::Arc& said = lattice.arcs[static_cast<std::size_t>(number)];
    std::vector<double> changes(static_cast<std::size_t>(said.last - said.first) + 1);
    by_word.resize(std::max(by_word.size(), static_cast<std::size_t>(said.word) + 1));
    const std::vector<std::size_t>& same = by_word[static_cast<std::size_t>(said.word)];
    auto i = std::partition_point(same.begin(), same.end(),
                                  [&](std::size_t a) { return lattice.arcs[a].last <= said.first; });
    for (; i != same.end(); ++i) {
      const WordLattice::Arc& arc = lattice.arcs[*i];
      if (arc.last - longest >= said.last) break;  // it begins behind this word, and so do the others
      if (arc.first >= said.last) continue;
      changes[static_cast<std::size_t>(std::max(arc.first, said.first) - said.first)] += posteriors[*i];
      changes[static_cast<std::size_t>(std::min(arc.last, said.last) - said.first)] -= posteriors[*i];
    }
    double sum = 0, most = 0;
    for (std::size_t frame = 0; frame + 1 < changes.size(); ++frame) {
      sum += changes[frame];
      most = std::max(most, sum);
    }
    confidences.push_back(std::clamp(most, 0.0, 1.0));
  }
  return confidences;
}

}  // namespace hadal
