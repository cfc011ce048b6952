#include "speech/decoder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "speech/word_lattice.h"

namespace hadal {

namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// Ends of words that are so much worse than the best path at their frame are not kept in the lattice: e^-12 of it.
constexpr double kLatticeBeam = 12;

// Arcs of the lattice before it is looked through for dead ends: more than those of ordinary utterances.
constexpr std::size_t kArcsToPrune = 1 << 16;

// A partial result: its score, the lattice's arc of its last word, and of the word or silence it is in the first frame
// and node, and the score that it began with.
struct Token {
  double score = kNothing;
  std::int64_t from = -1;
  std::int32_t first = 0, head = -1;
  double entered = 0;
};

// Tokens at numbered spots, and which spots have one.
class TokenSet {
 public:
  explicit TokenSet(std::size_t spots) : tokens_(spots) {}

  const std::vector<std::int32_t>& spots() const { return spots_; }
  Token& at(std::int32_t spot) { return tokens_[static_cast<std::size_t>(spot)]; }

  // The better token stays: of equal ones the one that was there.
  void offer(std::int32_t spot, const Token& token) {
    if (!(token.score > kNothing)) return;
    Token& old = at(spot);
    if (old.score == kNothing) spots_.push_back(spot);
    if (token.score > old.score) old = token;
  }

  void clear() {
    for (const std::int32_t spot : spots_) at(spot).score = kNothing;
    spots_.clear();
  }

  void keep_from(double least) {
    std::size_t kept = 0;
    for (const std::int32_t spot : spots_) {
      if (at(spot).score >= least && at(spot).score > kNothing) {
        spots_[kept++] = spot;
      } else {
        at(spot).score = kNothing;
      }
    }
    spots_.resize(kept);
  }

 private:
  std::vector<Token> tokens_;
  std::vector<std::int32_t> spots_;
};

}  // namespace

class Decoding::Search {
 public:
  Search(const DecodingGraph& graph, const DecodeOptions& options)
      : graph_(graph),
        options_(options),
        scale_(options.acoustic_scale),
        now_(graph.nodes.size()),
        next_(graph.nodes.size()),
        after_(graph.places.size()),
        before_(graph.places.size()) {
    after_.offer(graph_.first_place, {.score = 0});
    leave_words();
  }

  void add(const FeatureMatrix& scores) {
    HADAL_CHECK(scores.frames == 0 || scores.dim == graph_.states);
    for (std::int64_t frame = 0; frame < scores.frames && !lost_; ++frame) {
      lost_ = !step(scores.row(frame), static_cast<std::int32_t>(result_.frames));
      if (lost_) break;
      ++result_.frames;
      result_.active += static_cast<double>(now_.spots().size());
      if (lattice_.arcs.size() >= arcs_to_prune_) prune_lattice();
    }
  }

  DecodedUtterance finish() {
    if (result_.frames > 0) result_.active /= static_cast<double>(result_.frames);
    find_best(result_, !lost_);
    return std::move(result_);
  }

 private:
  // One frame; false where no token is left, and all stays as it was before it.
  bool step(std::span<const float> scores, std::int32_t frame) {
    next_.clear();
    for (const std::int32_t spot : now_.spots()) {
      const DecodingGraph::Node& node = graph_.nodes[static_cast<std::size_t>(spot)];
      Token token = now_.at(spot);
      const double score = token.score;
      token.score = score + scale_ * static_cast<double>(node.loop);
      next_.offer(spot, token);
      if (node.following < 0) continue;
      token.score = score + scale_ * static_cast<double>(node.leave);
      next_.offer(node.following, token);
    }
    begin_words(frame);
    double best = kNothing;
    for (const std::int32_t spot : next_.spots()) {
      Token& token = next_.at(spot);
      const auto state = static_cast<std::size_t>(graph_.nodes[static_cast<std::size_t>(spot)].state);
      token.score += scale_ * static_cast<double>(scores[state]);
      best = std::max(best, token.score);
    }
    if (!std::isfinite(best)) return false;
    prune(best);
    std::swap(now_, next_);
    end_words(frame + 1, best);
    return true;
  }

  void begin_words(std::int32_t frame) {
    for (const std::int32_t spot : before_.spots()) {
      const DecodingGraph::Place& place = graph_.places[static_cast<std::size_t>(spot)];
      const Token from = before_.at(spot);
      for (std::size_t e = place.first_entry; e < place.last_entry; ++e) {
        const DecodingGraph::Entry& entry = graph_.entries[e];
        enter(entry.node, from, from.score + static_cast<double>(entry.log_probability), frame);
      }
    }
    for (const std::int32_t spot : after_.spots()) {
      const DecodingGraph::Place& place = graph_.places[static_cast<std::size_t>(spot)];
      if (place.silence < 0) continue;
      enter(place.silence, after_.at(spot), after_.at(spot).score + static_cast<double>(graph_.log_silence), frame);
    }
  }

  void enter(std::int32_t head, const Token& from, double score, std::int32_t frame) {
    next_.offer(head, {.score = score, .from = from.from, .first = frame, .head = head, .entered = score});
  }

  void prune(double best) {
    double least = best - options_.beam;
    const auto most = static_cast<std::size_t>(std::max<std::int64_t>(options_.most_active, 1));
    if (next_.spots().size() > most) {
      ranked_.clear();
      for (const std::int32_t spot : next_.spots()) ranked_.push_back(next_.at(spot).score);
      const auto last = ranked_.begin() + static_cast<std::ptrdiff_t>(most) - 1;
      std::nth_element(ranked_.begin(), last, ranked_.end(), std::greater<>());
      least = std::max(least, *last);
    }
    next_.keep_from(least);
  }

  // Words whose last state may be left behind `frame` frames become arcs of the lattice; their best ones lead on.
  void end_words(std::int32_t frame, double best) {
    after_.clear();
    before_.clear();
    for (const std::int32_t spot : now_.spots()) {
      const DecodingGraph::Node& node = graph_.nodes[static_cast<std::size_t>(spot)];
      if (node.following >= 0) continue;
      Token token = now_.at(spot);
      token.score += scale_ * static_cast<double>(node.leave);
      if (node.word < 0) {
        // One that wins its place may turn out to be on the best way: a gap in that would leave no way at all.
        if (token.score >= best - kLatticeBeam || token.score > before_.at(node.place).score)
          add_arc(node, token, frame);
        before_.offer(node.place, token);
        continue;
      }
      // The token that wins a place goes on from the arc that it makes; of equal ones the first.
      const bool wins = token.score > after_.at(node.place).score;
      if (!wins && token.score < best - kLatticeBeam) continue;
      add_arc(node, token, frame);
      token.from = static_cast<std::int64_t>(lattice_.arcs.size()) - 1;
      after_.offer(node.place, token);
    }
    leave_words();
  }

  void add_arc(const DecodingGraph::Node& node, const Token& token, std::int32_t frame) {
    lattice_.arcs.push_back({.head = token.head,
                             .place = node.place,
                             .word = node.word,
                             .pronunciation = node.pronunciation,
                             .first = token.first,
                             .last = frame,
                             .before = token.from,
                             .score = token.score - token.entered});
  }

  // From after a word to before the next without silence, and on to shorter histories.
  void leave_words() {
    for (const std::int32_t spot : after_.spots()) {
      Token token = after_.at(spot);
      token.score += static_cast<double>(graph_.log_no_silence);
      before_.offer(spot, token);
    }
    // A shorter history has a lower number, so each is complete when its turn comes.
    waiting_.assign(before_.spots().begin(), before_.spots().end());
    std::make_heap(waiting_.begin(), waiting_.end());
    while (!waiting_.empty()) {
      std::pop_heap(waiting_.begin(), waiting_.end());
      const std::int32_t spot = waiting_.back();
      waiting_.pop_back();
      const DecodingGraph::Place& place = graph_.places[static_cast<std::size_t>(spot)];
      if (place.backoff < 0) continue;
      Token token = before_.at(spot);
      token.score += static_cast<double>(place.log_backoff);
      const bool is_new = before_.at(place.backoff).score == kNothing;
      before_.offer(place.backoff, token);
      if (!is_new || !(token.score > kNothing)) continue;
      waiting_.push_back(place.backoff);
      std::push_heap(waiting_.begin(), waiting_.end());
    }
  }

  // Takes out what no token goes on from, so that a long utterance needs little memory.
  void prune_lattice() {
    LatticeFrontier frontier;
    frontier.frame = static_cast<std::int32_t>(result_.frames);
    for (const std::int32_t spot : now_.spots()) frontier.open.emplace_back(now_.at(spot).first, now_.at(spot).head);
    for (TokenSet* tokens : {&now_, &after_, &before_}) {
      for (const std::int32_t spot : tokens->spots()) frontier.traces.push_back(tokens->at(spot).from);
    }
    const std::vector<std::int64_t> numbers = remove_dead_ends(graph_, lattice_, frontier);
    for (TokenSet* tokens : {&now_, &after_, &before_}) {
      for (const std::int32_t spot : tokens->spots()) {
        std::int64_t& from = tokens->at(spot).from;
        if (from >= 0) from = numbers[static_cast<std::size_t>(from)];
      }
    }
    arcs_to_prune_ = std::max(kArcsToPrune, 2 * lattice_.arcs.size());
  }

  void find_best(DecodedUtterance& result, bool all_frames) {
    Token best;
    result.complete = false;
    for (const std::int32_t spot : before_.spots()) {
      Token token = before_.at(spot);
      token.score += static_cast<double>(graph_.places[static_cast<std::size_t>(spot)].log_end);
      if (!all_frames || !(token.score > best.score)) continue;
      best = token;
      result.complete = true;
    }
    if (!result.complete) best = best_token();
    result.score = best.score;
    std::vector<std::int64_t> arcs;
    for (std::int64_t arc = best.from; arc >= 0; arc = lattice_.arcs[static_cast<std::size_t>(arc)].before) {
      arcs.push_back(arc);
    }
    std::reverse(arcs.begin(), arcs.end());
    // Of what is not complete, up to the end of its last word.
    if (!result.complete && !arcs.empty()) {
      const std::int32_t end = lattice_.arcs[static_cast<std::size_t>(arcs.back())].last;
      std::erase_if(lattice_.arcs, [&](const WordLattice::Arc& arc) { return arc.last > end; });
      list_words(result, arcs, end);
    } else {
      list_words(result, arcs, result.frames);
    }
  }

  void list_words(DecodedUtterance& result, const std::vector<std::int64_t>& arcs, std::int64_t end) const {
    const std::vector<double> confidences = word_confidences(graph_, lattice_, end, result.complete, arcs);
    for (std::size_t i = 0; i < arcs.size(); ++i) {
      const WordLattice::Arc& arc = lattice_.arcs[static_cast<std::size_t>(arcs[i])];
      result.words.push_back({arc.word, arc.pronunciation, arc.first, arc.last, confidences[i]});
    }
  }

  // Of all that are left, within words too.
  Token best_token() {
    Token best;
    for (const std::int32_t spot : now_.spots()) {
      if (now_.at(spot).score > best.score) best = now_.at(spot);
    }
    return best;
  }

  const DecodingGraph& graph_;
  const DecodeOptions& options_;
  double scale_;
  TokenSet now_, next_;      // in nodes
  TokenSet after_, before_;  // at places
  WordLattice lattice_;
  std::size_t arcs_to_prune_ = kArcsToPrune;
  std::vector<double> ranked_;
  std::vector<std::int32_t> waiting_;
  DecodedUtterance result_;
  bool lost_ = false;  // no token was left, or numbers were not finite: the frames behind are not searched
};

Decoding::Decoding(const DecodingGraph& graph, const DecodeOptions& options)
    : search_(std::make_unique<Search>(graph, options)) {}
Decoding::~Decoding() = default;

void Decoding::add(const FeatureMatrix& scores) { search_->add(scores); }
DecodedUtterance Decoding::finish() { return search_->finish(); }

DecodedUtterance Decoder::decode(const FeatureMatrix& scores) const {
  Decoding decoding(graph_, options_);
  decoding.add(scores);
  return decoding.finish();
}

}  // namespace hadal
