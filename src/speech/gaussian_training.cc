#include "speech/gaussian_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/printable.h"
#include "base/thousands.h"
#include "speech/mixture_update.h"
#include "speech/tasks.h"

namespace hadal {

namespace {

constexpr double kSplitPower = 0.25;           // Kaldi's train_mono.sh and train_deltas.sh
constexpr double kLeastToSplit = 20;           // frames for each Gaussian
constexpr double kGrowingShare = 0.75;         // of a stage's iterations
constexpr std::int64_t kGaussiansToAlign = 8;  // of a state of a phone, where these only align for states in context

// Aligned at the beginning of which iterations: often while the model learns where the words are.
bool aligns_at(bool from_nothing, int iteration) {
  if (from_nothing) return iteration > 1 && (iteration <= 10 || iteration % 3 == 0);
  return iteration > 1 && iteration % 5 == 0;
}

// What is wrong with each utterance, if anything is: an error where a recording of the user's is among them.
void refuse_originals(std::span<const TrainingUtterance> utterances, const std::vector<std::string>& wrong) {
  constexpr std::size_t kNamed = 5;
  std::string first, first_where, others;
  std::size_t bad = 0;
  for (std::size_t u = 0; u < utterances.size(); ++u) {
    if (wrong[u].empty() || utterances[u].is_copy || ++bad > kNamed) continue;
    if (bad == 1) {
      first = wrong[u];
      first_where = utterances[u].where;
      continue;
    }
    const std::string& where = utterances[u].where;
    others += fmt::format(", {}", printable(utterances[u].id));
    if (where.empty()) continue;
    const std::size_t line = where.rfind(':') + 1;
    const bool same_file = where.substr(0, line) == first_where.substr(0, first_where.rfind(':') + 1);
    others += same_file ? fmt::format(" (line {})", where.substr(line)) : fmt::format(" ({})", where);
  }
  if (bad == 0) return;
  if (bad > 1) {
    first += fmt::format("; such utterances: {}, also{}{}", with_thousands(bad), others.substr(1),
                         bad > kNamed ? ", ..." : "");
  }
  throw DataError(first + "; cut them differently, or leave such utterances out with data.on_bad_utterance: skip");
}

// Empty where it is long enough.
std::string too_short(const TrainingUtterance& utterance, std::int64_t least) {
  if (utterance.features->frames >= least) return "";
  return printable(
      fmt::format("{}: has {} frames, and its words need {}", utterance.name(), utterance.features->frames, least));
}

HmmOptions phone_options(HmmOptions options) {
  options.context = Context::phone;
  return options;
}

class GmmTrainer {
 public:
  GmmTrainer(const Lexicon& lexicon, std::span<const TrainingUtterance> utterances, const GmmTrainingOptions& options,
             const std::function<void(const GmmIteration&)>& report)
      : lexicon_(lexicon),
        utterances_(utterances),
        options_(options),
        report_(report),
        states_(lexicon, phone_options(options.hmm)),
        alignments_(utterances.size()) {
    for (const TrainingUtterance& utterance : utterances) features_.push_back(utterance.features);
    check_features();
  }

  GmmTraining train() {
    flat_start();
    const std::int64_t all = options_.gmm.gaussians;
    const bool in_context = options_.hmm.context != Context::phone;
    single_gaussians();
    run_stage("phone", true, in_context ? std::min(all, kGaussiansToAlign * states_.size()) : all);
    if (in_context) {
      realign();
      std::vector<Alignment> aligned;
      for (const auto& alignment : alignments_) {
        if (alignment) aligned.push_back(*alignment);
      }
      states_ = HmmStates(lexicon_, options_.hmm, count_contexts(aligned));
      for (auto& alignment : alignments_) {
        if (alignment) replace_states(*alignment, lexicon_, states_);
      }
      single_gaussians();
      run_stage(options_.hmm.context == Context::word ? "word" : "triphone", false, all);
    }
    realign();
    return {std::move(states_), std::move(*model_), std::move(alignments_), std::move(left_out_)};
  }

 private:
  // Width and finiteness; the mean and variance of all.
  void check_features() {
    for (const TrainingUtterance& utterance : utterances_) {
      if (dim_ == 0 && utterance.features->frames > 0) dim_ = utterance.features->dim;
    }
    std::vector<FrameId> all;
    for (std::size_t u = 0; u < utterances_.size(); ++u) {
      const FeatureMatrix& features = *utterances_[u].features;
      if (features.frames > 0 && features.dim != dim_) {
        throw DataError(printable(fmt::format("{}: has {} numbers a frame, and others have {}; make all features alike",
                                              utterances_[u].id, features.dim, dim_)));
      }
      for (std::size_t i = 0; i < features.values.size(); ++i) {
        if (std::isfinite(features.values[i])) continue;
        throw DataError(printable(fmt::format("{}: frame {} holds a number that is not finite; make its features again",
                                              utterances_[u].id, i / static_cast<std::size_t>(dim_))));
      }
      for (std::int64_t f = 0; f < features.frames; ++f) {
        all.push_back({static_cast<std::int32_t>(u), static_cast<std::int32_t>(f)});
      }
    }
    if (all.size() < 2) throw DataError("there are no frames to train on; name utterances with features");
    global_ = single_gaussian(features_, all, std::vector<float>(static_cast<std::size_t>(dim_), 1e-20f), {});
    for (const float variance : global_.variances) {
      floor_.push_back(std::max(static_cast<float>(options_.gmm.variance_floor) * variance, 1e-20f));
    }
  }

  void flat_start() {
    std::vector<std::string> wrong(utterances_.size());
    for (std::size_t u = 0; u < utterances_.size(); ++u) {
      const TrainingUtterance& utterance = utterances_[u];
      alignments_[u] = align_uniformly(lexicon_, states_, utterance.words, utterance.features->frames);
      if (alignments_[u]) continue;
      const TranscriptGraph graph =
          make_transcript_graph(lexicon_, states_, utterance.words, options_.silence_probability);
      wrong[u] = too_short(utterance, graph.least_frames);
      left_out_.add(wrong[u]);
    }
    if (options_.on_short == BadSample::fail) refuse_originals(utterances_, wrong);
    if (std::none_of(alignments_.begin(), alignments_.end(), [](const auto& a) { return a.has_value(); })) {
      throw DataError("no utterance has as many frames as its words need; the first: " + left_out_.named.at(0));
    }
    collect_frames();
  }

  void realign() {
    LeftOut ignored;  // what is too short was named by flat_start
    std::vector<TrainingUtterance> used;
    std::vector<std::size_t> places;
    for (std::size_t u = 0; u < utterances_.size(); ++u) {
      if (!alignments_[u]) continue;
      used.push_back(utterances_[u]);
      places.push_back(u);
    }
    auto aligned = align_utterances(lexicon_, states_, *model_, used, options_, ignored);
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!aligned[i]) left_out_.add(printable(used[i].name() + ": has no way through its words that is possible"));
      alignments_[places[i]] = std::move(aligned[i]);
    }
    collect_frames();
    set_transitions();
  }

  void collect_frames() {
    frames_.assign(static_cast<std::size_t>(states_.size()), {});
    for (std::size_t u = 0; u < alignments_.size(); ++u) {
      if (!alignments_[u]) continue;
      for (std::size_t f = 0; f < alignments_[u]->states.size(); ++f) {
        frames_[static_cast<std::size_t>(alignments_[u]->states[f])].push_back(
            {static_cast<std::int32_t>(u), static_cast<std::int32_t>(f)});
      }
    }
  }

  // Of staying in each state, from how often it was entered.
  void set_transitions() {
    std::vector<std::int64_t> entered(frames_.size());
    for (const auto& alignment : alignments_) {
      if (!alignment) continue;
      for (const Alignment::Phone& phone : alignment->phones) {
        std::int32_t position = -1;
        for (std::int64_t frame = phone.first; frame < phone.last; ++frame) {
          const auto f = static_cast<std::size_t>(frame);
          if (alignment->positions[f] == position) continue;
          position = alignment->positions[f];
          ++entered[static_cast<std::size_t>(alignment->states[f])];
        }
      }
    }
    for (std::size_t s = 0; s < frames_.size(); ++s) {
      const auto all = static_cast<double>(frames_[s].size());
      const double loop = (all - static_cast<double>(entered[s]) + 0.5) / (all + 1);
      states_.set_loop(static_cast<std::int32_t>(s), std::clamp(loop, 0.01, 0.995));
    }
  }

  void single_gaussians() {
    collect_frames();
    set_transitions();
    std::vector<GaussianMixture> mixtures(frames_.size());
    run_tasks(options_.threads, states_.size(), [&](std::int64_t s) {
      const auto state = static_cast<std::size_t>(s);
      mixtures[state] = single_gaussian(features_, frames_[state], floor_, global_);
    });
    model_.emplace(dim_, mixtures);
  }

  void run_stage(const std::string& name, bool from_nothing, std::int64_t gaussians) {
    const int iterations = options_.gmm.iterations;
    const int growing = std::max(1, static_cast<int>(kGrowingShare * iterations));
    const std::int64_t first = states_.size();
    for (int iteration = 1; iteration <= iterations; ++iteration) {
      const bool aligned = aligns_at(from_nothing, iteration);
      if (aligned) realign();
      MixtureUpdate update =
          update_mixtures(*model_, features_, frames_, {.variance_floor = floor_, .threads = options_.threads});
      const std::int64_t wanted = iteration >= growing ? gaussians : first + (gaussians - first) * iteration / growing;
      if (iteration < iterations) grow(update.mixtures, wanted);
      model_.emplace(dim_, update.mixtures);
      if (!report_) continue;
      std::int64_t frames = 0;
      for (const auto& of_state : frames_) frames += static_cast<std::int64_t>(of_state.size());
      report_({name, iteration, states_.size(), model_->gaussians(), frames,
               update.log_likelihood / static_cast<double>(frames), aligned});
    }
  }

  void grow(std::vector<GaussianMixture>& mixtures, std::int64_t gaussians) const {
    std::vector<std::int64_t> frames, have;
    for (std::size_t s = 0; s < mixtures.size(); ++s) {
      frames.push_back(static_cast<std::int64_t>(frames_[s].size()));
      have.push_back(static_cast<std::int64_t>(mixtures[s].weights.size()));
    }
    const auto targets = split_targets(frames, have, gaussians, kSplitPower, kLeastToSplit);
    for (std::size_t s = 0; s < mixtures.size(); ++s) split_mixture(mixtures[s], targets[s]);
  }

  const Lexicon& lexicon_;
  std::span<const TrainingUtterance> utterances_;
  const GmmTrainingOptions& options_;
  const std::function<void(const GmmIteration&)>& report_;
  HmmStates states_;
  std::vector<const FeatureMatrix*> features_;
  std::int64_t dim_ = 0;
  GaussianMixture global_;
  std::vector<float> floor_;
  std::optional<GaussianModel> model_;
  std::vector<std::optional<Alignment>> alignments_;
  FramesOfStates frames_;
  LeftOut left_out_;
};

}  // namespace

std::vector<std::optional<Alignment>> align_utterances(const Lexicon& lexicon, const HmmStates& states,
                                                       const GaussianModel& model,
                                                       std::span<const TrainingUtterance> utterances,
                                                       const GmmTrainingOptions& options, LeftOut& left_out) {
  std::vector<std::optional<Alignment>> alignments(utterances.size());
  std::vector<std::string> wrong(utterances.size());
  run_tasks(options.threads, static_cast<std::int64_t>(utterances.size()), [&](std::int64_t i) {
    const auto u = static_cast<std::size_t>(i);
    const TranscriptGraph graph =
        make_transcript_graph(lexicon, states, utterances[u].words, options.silence_probability);
    wrong[u] = too_short(utterances[u], graph.least_frames);
    if (!wrong[u].empty()) return;
    alignments[u] = align(graph, model.score(*utterances[u].features, graph.states));
    if (!alignments[u]) wrong[u] = printable(utterances[u].name() + ": has no way through its words that is possible");
  });
  if (options.on_short == BadSample::fail) refuse_originals(utterances, wrong);
  for (const std::string& what : wrong) {
    if (!what.empty()) left_out.add(what);
  }
  return alignments;
}

void check_lengths(const Lexicon& lexicon, std::span<const TrainingUtterance> utterances,
                   const GmmTrainingOptions& options) {
  const HmmStates states(lexicon, phone_options(options.hmm));
  std::vector<std::string> wrong;
  for (const TrainingUtterance& utterance : utterances) {
    const TranscriptGraph graph = make_transcript_graph(lexicon, states, utterance.words, options.silence_probability);
    wrong.push_back(too_short(utterance, graph.least_frames));
  }
  refuse_originals(utterances, wrong);
}

GmmTraining train_gaussians(const Lexicon& lexicon, std::span<const TrainingUtterance> utterances,
                            const GmmTrainingOptions& options, const std::function<void(const GmmIteration&)>& report) {
  return GmmTrainer(lexicon, utterances, options, report).train();
}

}  // namespace hadal
