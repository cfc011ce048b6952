#include <algorithm>
#include <cmath>

#include "speech/alignment.h"

namespace hadal {

namespace {

using Arc = TranscriptGraph::Arc;
using Node = TranscriptGraph::Node;

class GraphMaker {
 public:
  GraphMaker(const Lexicon& lexicon, const HmmStates& states, double silence_probability)
      : lexicon_(lexicon), states_(states), silence_probability_(silence_probability) {}

  TranscriptGraph make(std::span<const std::int32_t> words) {
    std::vector<Arc> open = {{-1, 0}};  // what leads on
    if (words.empty()) {
      open = {add_silence(open)};
    } else {
      open = maybe_silence(open);
      for (std::size_t i = 0; i < words.size(); ++i) {
        open = maybe_silence(add_word(open, words[i], static_cast<std::int32_t>(i)));
      }
    }
    graph_.words.assign(words.begin(), words.end());
    graph_.ends = std::move(open);
    name_states();
    count_frames();
    return std::move(graph_);
  }

 private:
  // A row of states behind what is open; returns what leaves the last.
  Arc add_chain(std::vector<Arc> open, std::span<const std::int32_t> chain, const std::vector<Node>& nodes) {
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const double loop = states_.states()[static_cast<std::size_t>(chain[i])].loop;
      Node node = nodes[i];
      node.column = chain[i];
      node.loop = static_cast<float>(std::log(loop));
      node.arcs = std::move(open);
      open = {{static_cast<std::int32_t>(graph_.nodes.size()), static_cast<float>(std::log(1 - loop))}};
      graph_.nodes.push_back(std::move(node));
    }
    return open[0];
  }

  Arc add_silence(const std::vector<Arc>& open) {
    const std::vector<std::int32_t> chain = states_.silence();
    std::vector<Node> nodes(chain.size());
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      nodes[i].phone = Lexicon::kSilence;
      nodes[i].position = static_cast<std::int32_t>(i);
    }
    return add_chain(open, chain, nodes);
  }

  std::vector<Arc> maybe_silence(std::vector<Arc> open) {
    if (silence_probability_ <= 0) return open;
    std::vector<Arc> into = open;
    for (Arc& arc : into) arc.log_probability += static_cast<float>(std::log(silence_probability_));
    const Arc end = add_silence(into);
    if (silence_probability_ >= 1) return {end};
    for (Arc& arc : open) arc.log_probability += static_cast<float>(std::log(1 - silence_probability_));
    open.push_back(end);
    return open;
  }

  std::vector<Arc> add_word(const std::vector<Arc>& open, std::int32_t word, std::int32_t place) {
    std::vector<Arc> ends;
    const auto& pronunciations = lexicon_.pronunciations(word);
    for (std::size_t p = 0; p < pronunciations.size(); ++p) {
      const std::vector<std::int32_t> chain = states_.chain(word, pronunciations[p]);
      std::vector<Node> nodes;
      for (const std::int32_t phone : pronunciations[p]) {
        for (std::int32_t position = 0; position < states_.states_of_phone(phone); ++position) {
          nodes.push_back(
              {.phone = phone, .position = position, .word = place, .pronunciation = static_cast<std::int32_t>(p)});
        }
      }
      ends.push_back(add_chain(open, chain, nodes));
    }
    return ends;
  }

  // Columns for the states that occur.
  void name_states() {
    for (const Node& node : graph_.nodes) graph_.states.push_back(node.column);
    std::sort(graph_.states.begin(), graph_.states.end());
    graph_.states.erase(std::unique(graph_.states.begin(), graph_.states.end()), graph_.states.end());
    for (Node& node : graph_.nodes) {
      const auto place = std::lower_bound(graph_.states.begin(), graph_.states.end(), node.column);
      node.column = static_cast<std::int32_t>(place - graph_.states.begin());
    }
  }

  void count_frames() {
    std::vector<std::int64_t> least;  // to have left each node
    const auto least_of = [&](const std::vector<Arc>& arcs) {
      std::int64_t frames = INT64_MAX;
      for (const Arc& arc : arcs)
        frames = std::min(frames, arc.from < 0 ? 0 : least[static_cast<std::size_t>(arc.from)]);
      return frames;
    };
    for (const Node& node : graph_.nodes) least.push_back(least_of(node.arcs) + 1);
    graph_.least_frames = least_of(graph_.ends);
  }

  const Lexicon& lexicon_;
  const HmmStates& states_;
  double silence_probability_;
  TranscriptGraph graph_;
};

}  // namespace

TranscriptGraph make_transcript_graph(const Lexicon& lexicon, const HmmStates& states,
                                      std::span<const std::int32_t> words, double silence_probability) {
  return GraphMaker(lexicon, states, silence_probability).make(words);
}

}  // namespace hadal
