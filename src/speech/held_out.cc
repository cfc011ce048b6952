#include "speech/held_out.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"

namespace hadal {

namespace {

// Names at random, whatever order they came in.
std::set<std::string> choose(const std::set<std::string>& names, double share, std::uint64_t seed) {
  std::vector<std::string> order(names.begin(), names.end());
  const RandomSequence random(seed, RandomUse::held_out, 0);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
  const auto wanted = static_cast<std::size_t>(std::llround(share * static_cast<double>(order.size())));
  order.resize(std::min(order.size(), std::max<std::size_t>(wanted, 1)));
  return {order.begin(), order.end()};
}

}  // namespace

FeatureSet take_held_out(FeatureSet& all, double share, std::uint64_t seed) {
  FeatureSet taken;
  taken.dim = all.dim;
  taken.frame_shift_ms = all.frame_shift_ms;
  taken.has_text = all.has_text;
  if (share <= 0) return taken;
  std::set<std::string> speakers, utterances;
  std::map<std::string, std::string> speaker_of;  // of originals
  for (const UtteranceFeatures& utterance : all.utterances) {
    if (utterance.copy > 0) continue;
    speakers.insert(utterance.speaker);
    utterances.insert(utterance.id);
    speaker_of[utterance.id] = utterance.speaker;
  }
  const bool by_speaker = speakers.size() >= kLeastSpeakers;
  const std::set<std::string> chosen = choose(by_speaker ? speakers : utterances, share, seed);
  std::vector<UtteranceFeatures> kept;
  for (UtteranceFeatures& utterance : all.utterances) {
    const bool is_taken = chosen.contains(by_speaker ? speaker_of[utterance.source] : utterance.source);
    if (!is_taken) {
      kept.push_back(std::move(utterance));
    } else if (utterance.copy == 0) {
      taken.utterances.push_back(std::move(utterance));
    }
  }
  all.utterances = std::move(kept);
  if (all.utterances.empty()) {
    throw DataError("data.held_out: nothing of the " + std::to_string(utterances.size()) +
                    " training utterances would be left to train on; use 0, or more data");
  }
  return taken;
}

}  // namespace hadal
