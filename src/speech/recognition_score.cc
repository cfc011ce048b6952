#include "speech/recognition_score.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/file.h"

namespace hadal {

namespace {

constexpr std::uint64_t kScoreLimit = 1 << 30;  // bytes

}  // namespace

RecognitionScore score_recognition(std::span<const UtteranceFeatures> utterances,
                                   std::span<const RecognisedUtterance> recognised) {
  HADAL_CHECK(utterances.size() == recognised.size());
  RecognitionScore score;
  for (std::size_t i = 0; i < utterances.size(); ++i) {
    Transcript words;
    for (const RecognisedWord& word : recognised[i].words) words.push_back(word.word);
    score.utterances.push_back(count_errors(align_words(utterances[i].words, words)));
    score.all += score.utterances.back();
    score.seconds += recognised[i].seconds;
    score.audio_seconds += recognised[i].audio_seconds;
  }
  score.interval = bootstrap_rate(score.utterances);
  return score;
}

nlohmann::ordered_json to_json(const RecognitionScore& score, const std::optional<Comparison>& against_gmm) {
  nlohmann::ordered_json json{{"words", score.all.words},
                              {"errors", score.all.errors()},
                              {"substitutions", score.all.substitutions},
                              {"deletions", score.all.deletions},
                              {"insertions", score.all.insertions},
                              {"word_error_rate", score.all.rate()},
                              {"interval_95", {score.interval.low, score.interval.high}},
                              {"seconds", score.seconds},
                              {"audio_seconds", score.audio_seconds},
                              {"real_time_factor", score.real_time_factor()}};
  if (against_gmm) {
    json["against_gmm"] = {{"reduction", against_gmm->reduction},
                           {"interval_95", {against_gmm->interval.low, against_gmm->interval.high}},
                           {"p", against_gmm->p}};
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const WordErrors& errors : score.utterances) {
    list.push_back({errors.words, errors.substitutions, errors.deletions, errors.insertions});
  }
  json["utterances"] = list;  // words, substitutions, deletions, insertions of each
  return json;
}

RecognitionScore read_score(const std::string& file) {
  const nlohmann::json json = nlohmann::json::parse(read_file(file, kScoreLimit), nullptr, false);
  try {
    RecognitionScore score;
    for (const auto& list : json.at("utterances")) {
      score.utterances.push_back({list.at(0).get<std::int64_t>(), list.at(1).get<std::int64_t>(),
                                  list.at(2).get<std::int64_t>(), list.at(3).get<std::int64_t>()});
      score.all += score.utterances.back();
    }
    score.interval = {json.at("interval_95").at(0).get<double>(), json.at("interval_95").at(1).get<double>()};
    score.seconds = json.at("seconds").get<double>();
    score.audio_seconds = json.at("audio_seconds").get<double>();
    return score;
  } catch (const nlohmann::json::exception&) {
    throw DataError(file + ": is damaged; 'hadal speech train' makes it again where it is removed");
  }
}

void write_recognised(const std::string& folder, std::span<const UtteranceFeatures> utterances,
                      std::span<const RecognisedUtterance> recognised) {
  HADAL_CHECK(utterances.size() == recognised.size());
  std::string hypotheses, words;
  for (std::size_t i = 0; i < utterances.size(); ++i) {
    hypotheses += utterances[i].id;
    for (const RecognisedWord& word : recognised[i].words) {
      hypotheses += " " + word.word;
      words += fmt::format("{} 1 {:.2f} {:.2f} {} {:.3f}\n", utterances[i].id, word.begin, word.end - word.begin,
                           word.word, word.confidence);
    }
    hypotheses += "\n";
  }
  create_folders(folder);
  write_file(folder + "/words.ctm", words);
  write_file(folder + "/hyp.txt", hypotheses);
}

}  // namespace hadal
