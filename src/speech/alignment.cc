#include "speech/alignment.h"

#include <algorithm>
#include <limits>
#include <map>

namespace hadal {

namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

// How the best way came to a node at a frame.
constexpr std::uint16_t kLoop = 0;  // else 1 + the arc

// Writes what a frame belongs to; frames come in their order.
void append_frame(Alignment& alignment, const TranscriptGraph& graph, std::int32_t node_number, bool entered) {
  const TranscriptGraph::Node& node = graph.nodes[static_cast<std::size_t>(node_number)];
  const auto frame = static_cast<std::int64_t>(alignment.states.size());
  alignment.states.push_back(graph.states[static_cast<std::size_t>(node.column)]);
  alignment.positions.push_back(node.position);
  if (entered && node.position == 0) alignment.phones.push_back({node.phone, node.word, frame, frame});
  alignment.phones.back().last = frame + 1;
  if (node.word < 0) return;
  if (static_cast<std::int32_t>(alignment.words.size()) == node.word) {
    alignment.words.push_back({graph.words[static_cast<std::size_t>(node.word)], node.pronunciation, frame, frame});
  }
  alignment.words.back().last = frame + 1;
}

// The first and the last node that belong to words; past the end and before the beginning where none does.
std::size_t first_word(const TranscriptGraph& graph) {
  const auto in_word = [](const TranscriptGraph::Node& node) { return node.word >= 0; };
  return static_cast<std::size_t>(std::find_if(graph.nodes.begin(), graph.nodes.end(), in_word) - graph.nodes.begin());
}
std::size_t last_word(const TranscriptGraph& graph) {
  std::size_t last = 0;
  for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
    if (graph.nodes[n].word >= 0) last = n;
  }
  return last;
}

// By phones: the first of equally short ones.
std::int32_t shortest_pronunciation(const Lexicon& lexicon, std::int32_t word) {
  const auto& all = lexicon.pronunciations(word);
  const auto place =
      std::min_element(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return static_cast<std::int32_t>(place - all.begin());
}

}  // namespace

std::optional<Alignment> align(const TranscriptGraph& graph, const FeatureMatrix& scores) {
  const std::size_t count = graph.nodes.size();
  if (scores.frames < graph.least_frames || scores.frames == 0) return std::nullopt;
  std::vector<double> before(count, kImpossible), now(count, kImpossible);
  for (const TranscriptGraph::Node& node : graph.nodes) HADAL_CHECK(node.arcs.size() < UINT16_MAX);  // see Lexicon
  std::vector<std::uint16_t> came(count * static_cast<std::size_t>(scores.frames));
  for (std::int64_t frame = 0; frame < scores.frames; ++frame) {
    const std::span<const float> row = scores.row(frame);
    std::uint16_t* came_now = came.data() + static_cast<std::size_t>(frame) * count;
    for (std::size_t n = 0; n < count; ++n) {
      const TranscriptGraph::Node& node = graph.nodes[n];
      double best = frame == 0 ? kImpossible : before[n] + static_cast<double>(node.loop);
      std::uint16_t how = kLoop;
      for (std::size_t a = 0; a < node.arcs.size(); ++a) {
        const TranscriptGraph::Arc& arc = node.arcs[a];
        const double start = arc.from < 0 ? (frame == 0 ? 0.0 : kImpossible)
                             : frame == 0 ? kImpossible
                                          : before[static_cast<std::size_t>(arc.from)];
        const double score = start + static_cast<double>(arc.log_probability);
        if (score > best) {
          best = score;
          how = static_cast<std::uint16_t>(a + 1);
        }
      }
      now[n] = best + static_cast<double>(row[static_cast<std::size_t>(node.column)]);
      came_now[n] = how;
    }
    std::swap(before, now);
  }
  Alignment alignment;
  alignment.score = kImpossible;
  std::int32_t node = -1;
  for (const TranscriptGraph::Arc& end : graph.ends) {
    const double score = before[static_cast<std::size_t>(end.from)] + static_cast<double>(end.log_probability);
    if (score > alignment.score) {
      alignment.score = score;
      node = end.from;
    }
  }
  if (node < 0) return std::nullopt;
  std::vector<std::pair<std::int32_t, bool>> path(static_cast<std::size_t>(scores.frames));
  for (std::size_t frame = path.size(); frame-- > 0;) {
    const std::uint16_t how = came[frame * count + static_cast<std::size_t>(node)];
    path[frame] = {node, how != kLoop};
    if (how != kLoop) node = graph.nodes[static_cast<std::size_t>(node)].arcs[how - 1U].from;
  }
  for (const auto& [at, entered] : path) append_frame(alignment, graph, at, entered);
  return alignment;
}

std::optional<Alignment> align(const TranscriptGraph& graph, AcousticModel& model, const FeatureMatrix& features) {
  if (features.frames < graph.least_frames) return std::nullopt;
  const FeatureMatrix all = model.score(features);
  FeatureMatrix scores(all.frames, static_cast<std::int64_t>(graph.states.size()));
  for (std::int64_t frame = 0; frame < all.frames; ++frame) {
    for (std::size_t i = 0; i < graph.states.size(); ++i) {
      scores.row(frame)[i] = all.row(frame)[static_cast<std::size_t>(graph.states[i])];
    }
  }
  return align(graph, scores);
}

std::optional<Alignment> align_uniformly(const Lexicon& lexicon, const HmmStates& states,
                                         std::span<const std::int32_t> words, std::int64_t frames) {
  struct Way {
    bool silence, shortest;
  };
  for (const Way way : {Way{true, false}, Way{false, false}, Way{false, true}}) {
    const TranscriptGraph graph = make_transcript_graph(lexicon, states, words, way.silence ? 0.5 : 0);
    std::vector<std::int32_t> said;  // the pronunciation of each word
    for (const std::int32_t word : words) said.push_back(way.shortest ? shortest_pronunciation(lexicon, word) : 0);
    const std::size_t first = first_word(graph), last = last_word(graph);
    std::vector<std::int32_t> nodes;
    for (std::size_t n = 0; n < graph.nodes.size(); ++n) {
      const TranscriptGraph::Node& node = graph.nodes[n];
      const bool on_way =
          node.word >= 0 ? node.pronunciation == said[static_cast<std::size_t>(node.word)] : n < first || n > last;
      if (on_way) nodes.push_back(static_cast<std::int32_t>(n));
    }
    const auto count = static_cast<std::int64_t>(nodes.size());
    if (frames < count || count == 0) continue;
    Alignment alignment;
    std::int64_t before = -1;
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      const std::int64_t place = frame * count / frames;
      append_frame(alignment, graph, nodes[static_cast<std::size_t>(place)], place != before);
      before = place;
    }
    return alignment;
  }
  return std::nullopt;
}

void replace_states(Alignment& alignment, const Lexicon& lexicon, const HmmStates& states) {
  std::vector<std::int32_t> chain = states.silence();
  std::int32_t word = -1;
  std::size_t begin = 0;  // of the phone in the chain
  for (std::size_t i = 0; i < alignment.phones.size(); ++i) {
    const Alignment::Phone& phone = alignment.phones[i];
    if (phone.word < 0) {
      chain = states.silence();
      begin = 0;
    } else if (phone.word != word) {
      const Alignment::Word& said = alignment.words[static_cast<std::size_t>(phone.word)];
      const auto& pronunciations = lexicon.pronunciations(said.word);
      chain = states.chain(said.word, pronunciations[static_cast<std::size_t>(said.pronunciation)]);
      begin = 0;
    }
    word = phone.word;
    for (std::int64_t frame = phone.first; frame < phone.last; ++frame) {
      const auto f = static_cast<std::size_t>(frame);
      alignment.states[f] = chain[begin + static_cast<std::size_t>(alignment.positions[f])];
    }
    begin += static_cast<std::size_t>(states.states_of_phone(phone.phone));
  }
}

std::vector<ContextFrames> count_contexts(std::span<const Alignment> alignments) {
  std::map<std::array<std::int32_t, 5>, std::int64_t> counts;
  for (const Alignment& alignment : alignments) {
    for (std::size_t i = 0; i < alignment.phones.size(); ++i) {
      const Alignment::Phone& phone = alignment.phones[i];
      std::int32_t left = HmmState::kEdge, right = HmmState::kEdge, word = HmmState::kAny;
      if (phone.word >= 0) {
        if (i > 0 && alignment.phones[i - 1].word == phone.word) left = alignment.phones[i - 1].phone;
        if (i + 1 < alignment.phones.size() && alignment.phones[i + 1].word == phone.word) {
          right = alignment.phones[i + 1].phone;
        }
        word = alignment.words[static_cast<std::size_t>(phone.word)].word;
      }
      for (std::int64_t frame = phone.first; frame < phone.last; ++frame) {
        ++counts[{phone.phone, alignment.positions[static_cast<std::size_t>(frame)], left, right, word}];
      }
    }
  }
  std::vector<ContextFrames> contexts;
  for (const auto& [key, frames] : counts) contexts.push_back({key[0], key[1], key[2], key[3], key[4], frames});
  return contexts;
}

}  // namespace hadal
