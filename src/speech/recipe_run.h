#pragma once
// A recipe's run: what lies where.
//
//   runs/NAME/
//     recipe.yaml                with every default
//     stages.json                what each stage was made of: one whose inputs are the same is not repeated
//     lexicon.txt, language.arpa copies: the run decodes without what it was trained on
//     features/PART/             feats.ark, feats.scp, utt2spk, text: a Kaldi data folder; PART: train, held_out, test
//     gmm/                       gmm.safetensors, states.txt; metrics.jsonl: a line for each iteration
//     gmm/PART.ali.ark           the states of each frame, of train and held_out, by the Gaussian mixtures
//     network-N/                 what the N-th network was trained in, before the N-th realignment; and
//     network/                   the last one: a run of `hadal train` (job.yaml, model.safetensors, summary.json), and
//                                priors.json: the logarithms of how frequent the states are
//     frames-N/, frames/         what it was trained on: npy shards of train and held_out
//     decode/MODEL/PART/         hyp.txt, words.ctm, score.json; MODEL: gmm, network; PART: held_out, test
//     decode/MODEL/options.json  what tuning chose
//     trained.json               what each model's recipe said (speech_model.h)

#include <cstdint>
#include <string>
#include <utility>

namespace hadal {

class RecipeRun {
 public:
  explicit RecipeRun(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string recipe() const { return path_ + "/recipe.yaml"; }
  std::string trained() const { return path_ + "/trained.json"; }
  std::string stages() const { return path_ + "/stages.json"; }
  std::string lexicon() const { return path_ + "/lexicon.txt"; }
  std::string language() const { return path_ + "/language.arpa"; }
  std::string features(const std::string& part) const { return path_ + "/features/" + part; }
  std::string gmm_model() const { return path_ + "/gmm/gmm.safetensors"; }
  std::string gmm_metrics() const { return path_ + "/gmm/metrics.jsonl"; }
  std::string states() const { return path_ + "/gmm/states.txt"; }
  std::string alignment(const std::string& part) const { return path_ + "/gmm/" + part + ".ali.ark"; }

  // Of the network after `pass` realignments out of `realign`.
  std::string network(std::int64_t pass, std::int64_t realign) const { return of_pass("/network", pass, realign); }
  std::string frames(std::int64_t pass, std::int64_t realign) const { return of_pass("/frames", pass, realign); }
  std::string network() const { return path_ + "/network"; }

  std::string decode(const std::string& model, const std::string& part) const {
    return path_ + "/decode/" + model + "/" + part;
  }
  std::string decode_options(const std::string& model) const { return path_ + "/decode/" + model + "/options.json"; }

 private:
  std::string of_pass(const std::string& name, std::int64_t pass, std::int64_t realign) const {
    std::string path = path_ + name;
    if (pass != realign) path.append("-").append(std::to_string(pass + 1));
    return path;
  }

  std::string path_;
};

}  // namespace hadal
