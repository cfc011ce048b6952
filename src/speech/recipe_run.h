#pragma once
// A recipe's run: what lies where.
//
//   runs/NAME/
//     recipe.yaml                with every default
//     stages.json                what each stage was made of: one whose inputs are the same is not repeated
//     features/PART/             feats.ark, feats.scp, utt2spk, text: a Kaldi data folder; PART: train, held_out, test
//     gmm/                       model, and alignments of train and held_out
//     frames/                    what the network is trained on: npy shards
//     network/                   a run of `hadal train`: job.yaml, model.safetensors, summary.json; priors.json
//     network/before-N/          the same, before the N-th realignment
//     decode/MODEL/PART/         hyp.txt, words.ctm, score.json; MODEL: gmm, network
//     lexicon.txt, language.arpa copies: the run decodes without what it was trained on

#include <string>
#include <utility>

namespace hadal {

class RecipeRun {
 public:
  explicit RecipeRun(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  std::string recipe() const { return path_ + "/recipe.yaml"; }
  std::string stages() const { return path_ + "/stages.json"; }
  std::string lexicon() const { return path_ + "/lexicon.txt"; }
  std::string language() const { return path_ + "/language.arpa"; }
  std::string features(const std::string& part) const { return path_ + "/features/" + part; }
  std::string gmm() const { return path_ + "/gmm"; }
  std::string frames() const { return path_ + "/frames"; }
  std::string network() const { return path_ + "/network"; }
  std::string decode(const std::string& model, const std::string& part) const {
    return path_ + "/decode/" + model + "/" + part;
  }

 private:
  std::string path_;
};

}  // namespace hadal
