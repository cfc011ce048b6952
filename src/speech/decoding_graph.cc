#include "speech/decoding_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>

#include "base/printable.h"

namespace hadal {

namespace {

class DecodingGraphMaker {
 public:
  DecodingGraphMaker(const Lexicon& lexicon, const HmmStates& states, const NgramModel& model,
                     const DecodeOptions& options)
      : lexicon_(lexicon), states_(states), model_(model), options_(options) {}

  DecodingGraph make() {
    graph_.states = states_.size();
    graph_.log_silence = static_cast<float>(std::log(options_.silence_probability));
    graph_.log_no_silence = static_cast<float>(std::log(1 - options_.silence_probability));
    graph_.first_place = model_.first_history();
    find_words();
    for (std::size_t h = 0; h < model_.histories().size(); ++h) add_place(static_cast<std::int32_t>(h));
    invert_entries();
    return std::move(graph_);
  }

 private:
  void invert_entries() {
    graph_.first_entrance.assign(graph_.nodes.size() + 1, 0);
    for (const DecodingGraph::Entry& entry : graph_.entries) {
      ++graph_.first_entrance[static_cast<std::size_t>(entry.node) + 1];
    }
    for (std::size_t n = 1; n <= graph_.nodes.size(); ++n) graph_.first_entrance[n] += graph_.first_entrance[n - 1];
    graph_.entrances.resize(graph_.entries.size());
    std::vector<std::size_t> next(graph_.first_entrance.begin(), graph_.first_entrance.end() - 1);
    for (std::size_t p = 0; p < graph_.places.size(); ++p) {
      for (std::size_t e = graph_.places[p].first_entry; e < graph_.places[p].last_entry; ++e) {
        const DecodingGraph::Entry& entry = graph_.entries[e];
        graph_.entrances[next[static_cast<std::size_t>(entry.node)]++] = {static_cast<std::int32_t>(p),
                                                                          entry.log_probability};
      }
    }
  }

  void find_words() {
    std::size_t known = 0;
    for (std::size_t i = 0; i < model_.words().size(); ++i) {
      const std::string& name = model_.words()[i];
      const auto number = static_cast<std::int32_t>(i);
      words_.push_back(number == model_.begin() || number == model_.end() ? std::nullopt : lexicon_.word(name));
      if (words_.back()) {
        ++known;
      } else if (number != model_.begin() && number != model_.end()) {
        graph_.unknown_words.add(printable(fmt::format("'{}'", name)));
      }
    }
    if (known == 0) {
      throw DataError(lexicon_.file() + ": has no word of the language model; name the dictionary it was made for");
    }
  }

  std::int32_t add_chain(std::span<const std::int32_t> chain, std::int32_t place, std::int32_t word,
                         std::int32_t pronunciation) {
    const auto first = static_cast<std::int32_t>(graph_.nodes.size());
    for (std::size_t i = 0; i < chain.size(); ++i) {
      const double loop = states_.states()[static_cast<std::size_t>(chain[i])].loop;
      const bool last = i + 1 == chain.size();
      graph_.nodes.push_back({.state = chain[i],
                              .following = last ? -1 : first + static_cast<std::int32_t>(i) + 1,
                              .place = last ? place : -1,
                              .word = word,
                              .pronunciation = pronunciation,
                              .loop = static_cast<float>(std::log(loop)),
                              .leave = static_cast<float>(std::log(1 - loop))});
    }
    return first;
  }

  std::int32_t word_chain(std::int32_t word, std::int32_t pronunciation, std::int32_t next) {
    const auto [found, is_new] = chains_.try_emplace({word, pronunciation, next}, 0);
    if (is_new) {
      const auto& phones = lexicon_.pronunciations(word)[static_cast<std::size_t>(pronunciation)];
      found->second = add_chain(states_.chain(word, phones), next, word, pronunciation);
    }
    return found->second;
  }

  void add_place(std::int32_t number) {
    const NgramModel::History& history = model_.histories()[static_cast<std::size_t>(number)];
    DecodingGraph::Place place{
        .first_entry = graph_.entries.size(), .backoff = history.backoff, .log_backoff = scaled(history.log_backoff)};
    for (const NgramModel::Arc& arc : history.arcs) {
      const auto word = words_[static_cast<std::size_t>(arc.word)];
      if (!word) continue;
      const float probability = scaled(arc.log_probability) + static_cast<float>(options_.word_penalty);
      for (std::size_t p = 0; p < lexicon_.pronunciations(*word).size(); ++p) {
        graph_.entries.push_back({word_chain(*word, static_cast<std::int32_t>(p), arc.next), probability});
      }
    }
    place.last_entry = graph_.entries.size();
    if (options_.silence_probability > 0) place.silence = add_chain(states_.silence(), number, -1, 0);
    std::int32_t from = number;
    place.log_end = scaled(model_.score(from, model_.end()));
    graph_.places.push_back(place);
  }

  float scaled(double logarithm) const {
    return std::isinf(logarithm) ? -INFINITY : static_cast<float>(logarithm * options_.language_scale);
  }

  const Lexicon& lexicon_;
  const HmmStates& states_;
  const NgramModel& model_;
  const DecodeOptions& options_;
  DecodingGraph graph_;
  std::vector<std::optional<std::int32_t>> words_;  // of the language model, in the dictionary
  std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::int32_t> chains_;
};

}  // namespace

DecodingGraph make_decoding_graph(const Lexicon& lexicon, const HmmStates& states, const NgramModel& model,
                                  const DecodeOptions& options) {
  return DecodingGraphMaker(lexicon, states, model, options).make();
}

}  // namespace hadal
