// hadal speech score: word errors of what was recognised, how sure they are, and whether another system makes fewer.

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/terminal.h"
#include "apps/verbs.h"
#include "base/printable.h"
#include "speech/word_errors.h"

namespace hadal {

namespace {

using nlohmann::ordered_json;

struct SpeechScoreCommand {
  std::string reference, hypothesis, against;
  std::int64_t confusions = 10;
  bool json = false, utterances = false;

  void run() const {
    const TranscriptFile said = TranscriptFile::read(reference);
    const Scored now = score(said, hypothesis);
    if (json) return print_json(said, now);
    print_rate(hypothesis, now);
    if (!against.empty()) compare(said, now);
    if (utterances) print_utterances(now);
    print_confusions(now);
  }

 private:
  struct Scored {
    std::vector<UtteranceErrors> utterances;
    std::vector<WordErrors> errors;  // of each
    WordErrors all;
    std::int64_t wrong = 0;  // utterances
    Interval interval;
    std::vector<std::string> missing;
  };

  static Scored score(const TranscriptFile& said, const std::string& file) {
    Scored scored;
    scored.utterances = score_transcripts(said, TranscriptFile::read(file), scored.missing);
    for (const UtteranceErrors& utterance : scored.utterances) {
      scored.errors.push_back(utterance.errors);
      scored.all += utterance.errors;
      scored.wrong += utterance.errors.errors() > 0 ? 1 : 0;
    }
    if (scored.all.words == 0) {
      throw DataError(said.file + ": has no words, so there is nothing to score; a line is an utterance's name, then " +
                      "what was said");
    }
    scored.interval = bootstrap_rate(scored.errors);
    if (!scored.missing.empty()) {
      fmt::print(stderr, "{}: {} of {} utterances are missing and count as nothing recognised; the first: {}\n", file,
                 scored.missing.size(), scored.utterances.size(), printable(scored.missing[0]));
    }
    return scored;
  }

  static void print_rate(const std::string& file, const Scored& scored) {
    const WordErrors& all = scored.all;
    const auto count = [](std::int64_t number) { return format_count(static_cast<double>(number)); };
    fmt::print(
        "{}: WER {:.2f} % (95 %: {:.2f} to {:.2f}): {} of {} words; {} substitutions, {} deletions, {} insertions\n",
        printable(file), 100 * all.rate(), 100 * scored.interval.low, 100 * scored.interval.high, count(all.errors()),
        count(all.words), count(all.substitutions), count(all.deletions), count(all.insertions));
    fmt::print("utterances with errors: {} of {}\n", count(scored.wrong),
               count(static_cast<std::int64_t>(scored.utterances.size())));
  }

  void compare(const TranscriptFile& said, const Scored& now) const {
    const Scored before = score(said, against);
    print_rate(against, before);
    const Comparison comparison = compare_errors(before.errors, now.errors);
    fmt::print(
        "{} makes {:.1f} % {} word errors than {} (95 %: {:.1f} to {:.1f} fewer; paired bootstrap, p = {:.4f})\n",
        printable(hypothesis), 100 * std::abs(comparison.reduction), comparison.reduction < 0 ? "more" : "fewer",
        printable(against), 100 * comparison.interval.low, 100 * comparison.interval.high, comparison.p);
  }

  static void print_utterances(const Scored& scored) {
    for (const UtteranceErrors& utterance : scored.utterances) {
      if (utterance.errors.errors() == 0) continue;
      std::string said, heard;
      for (const AlignedWord& word : utterance.alignment) {
        const std::string a = word.reference.empty() ? "***" : printable(word.reference);
        const std::string b = word.hypothesis.empty() ? "***" : printable(word.hypothesis);
        const std::size_t width = std::max(a.size(), b.size()) + 1;
        said += fmt::format("{:<{}}", a, width);
        heard += fmt::format("{:<{}}", a == b ? "." : b, width);
      }
      fmt::print("\n{}\n  said  {}\n  heard {}\n", printable(utterance.name), said, heard);
    }
  }

  void print_confusions(const Scored& scored) const {
    const auto all = frequent_confusions(scored.utterances);
    if (all.empty() || confusions == 0) return;
    fmt::print("\n  times  said             heard\n");
    for (std::size_t i = 0; i < std::min(all.size(), static_cast<std::size_t>(confusions)); ++i) {
      const auto& [word, count] = all[i];
      fmt::print("  {:>5}  {:<16} {}\n", count, word.reference.empty() ? "(nothing)" : printable(word.reference),
                 word.hypothesis.empty() ? "(nothing)" : printable(word.hypothesis));
    }
  }

  static ordered_json json_of(const Scored& scored) {
    return {{"word_error_rate", scored.all.rate()},
            {"interval_95", {scored.interval.low, scored.interval.high}},
            {"words", scored.all.words},
            {"errors", scored.all.errors()},
            {"substitutions", scored.all.substitutions},
            {"deletions", scored.all.deletions},
            {"insertions", scored.all.insertions},
            {"utterances", scored.utterances.size()},
            {"utterances_with_errors", scored.wrong},
            {"missing", scored.missing}};
  }

  void print_json(const TranscriptFile& said, const Scored& now) const {
    ordered_json result = json_of(now);
    ordered_json list = ordered_json::array();
    const auto all = frequent_confusions(now.utterances);
    for (std::size_t i = 0; i < std::min(all.size(), static_cast<std::size_t>(confusions)); ++i) {
      list.push_back({{"said", all[i].first.reference}, {"heard", all[i].first.hypothesis}, {"times", all[i].second}});
    }
    result["confusions"] = list;
    if (!against.empty()) {
      const Scored before = score(said, against);
      const Comparison comparison = compare_errors(before.errors, now.errors);
      result["against"] = json_of(before);
      result["reduction"] = comparison.reduction;
      result["reduction_interval_95"] = {comparison.interval.low, comparison.interval.high};
      result["p"] = comparison.p;
    }
    fmt::print("{}\n", result.dump(-1, ' ', false, ordered_json::error_handler_t::replace));
  }
};

}  // namespace

void add_speech_score(CLI::App& speech) {
  CLI::App* verb = speech.add_subcommand("score", "Word errors of a file of transcripts, with a confidence interval");
  auto command = std::make_shared<SpeechScoreCommand>();
  verb->add_option("reference", command->reference, "What was said: lines of an utterance's name and its words")
      ->required();
  verb->add_option("hypothesis", command->hypothesis, "What was recognised: the same, or hyp.txt of a run")->required();
  verb->add_option("--against", command->against, "What another system recognised: which makes fewer errors?");
  verb->add_option("--confusions", command->confusions, "Show so many of the most frequent confusions")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  auto* utterances =
      verb->add_flag("--utterances", command->utterances, "Show each utterance with errors, word by word");
  verb->add_flag("--json", command->json, "As JSON")->excludes(utterances);
  verb->footer(
      "Example: hadal speech score data/test/text runs/an4/decode/network/test/hyp.txt --against "
      "runs/an4/decode/gmm/test/hyp.txt");
  verb->callback([command] { command->run(); });
}

}  // namespace hadal
