#include "speech/word_lattice.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hadal {

namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kNothing ? a : a + std::log1p(std::exp(b - a));
}

}  // namespace

std::vector<double> arc_posteriors(const WordLattice& lattice) {
  std::vector<double> posteriors(lattice.arcs.size());
  if (lattice.nodes.empty() || lattice.ends.empty()) return posteriors;
  const auto node = [](std::int32_t number) { return static_cast<std::size_t>(number); };
  const auto step = [&](const auto& arc) { return arc.score - lattice.nodes[node(arc.from)].score; };
  std::vector<double> forward(lattice.nodes.size(), kNothing), backward(lattice.nodes.size(), kNothing);
  forward[0] = 0;
  for (const WordLattice::Arc& arc : lattice.arcs) {
    forward[node(arc.to)] = log_add(forward[node(arc.to)], forward[node(arc.from)] + step(arc));
  }
  double all = kNothing;
  for (const WordLattice::End& end : lattice.ends) {
    all = log_add(all, forward[node(end.from)] + step(end));
    backward[node(end.from)] = log_add(backward[node(end.from)], step(end));
  }
  for (auto arc = lattice.arcs.rbegin(); arc != lattice.arcs.rend(); ++arc) {
    backward[node(arc->from)] = log_add(backward[node(arc->from)], backward[node(arc->to)] + step(*arc));
  }
  for (std::size_t i = 0; i < posteriors.size(); ++i) {
    const WordLattice::Arc& arc = lattice.arcs[i];
    posteriors[i] = std::exp(forward[node(arc.from)] + step(arc) + backward[node(arc.to)] - all);
  }
  return posteriors;
}

std::vector<double> word_confidences(const WordLattice& lattice, const std::vector<std::int64_t>& arcs) {
  const std::vector<double> posteriors = arc_posteriors(lattice);
  std::vector<double> confidences;
  for (const std::int64_t number : arcs) {
    const WordLattice::Arc& said = lattice.arcs[static_cast<std::size_t>(number)];
    std::vector<double> changes(static_cast<std::size_t>(said.last - said.first) + 1);
    for (std::size_t i = 0; i < lattice.arcs.size(); ++i) {
      const WordLattice::Arc& arc = lattice.arcs[i];
      if (arc.word != said.word || arc.last <= said.first || arc.first >= said.last) continue;
      changes[static_cast<std::size_t>(std::max(arc.first, said.first) - said.first)] += posteriors[i];
      changes[static_cast<std::size_t>(std::min(arc.last, said.last) - said.first)] -= posteriors[i];
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
