#include "speech/recipe_keys.h"

#include "spec/data_keys.h"
#include "spec/job_keys.h"
#include "spec/network_keys.h"

namespace hadal {

namespace {

constexpr const char* kOfItsKeys = "of its keys";
constexpr RealRange kFactor{.most = 1e6};

// A row of another table, for a place inside of T.
template <class T, class S, class Get>
Key<T> row_of(const Keys<S>& keys, const std::string& name, Get get) {
  const Key<S>* key = find_key(keys, name);
  HADAL_CHECK(key != nullptr);
  return {key->name,
          key->type,
          key->fallback,
          key->meaning,
          [=, read = key->read](const Value& value, const std::string& path, T& into) {
            read(value, path, std::invoke(get, into));
          },
          [=, write = key->write](const T& from) { return write(std::invoke(get, from)); },
          key->below};
}

// A text that may be left out, and then is empty.
template <class T>
Key<T> optional_path(std::string name, std::string T::*place, std::string type, std::string meaning) {
  Key<T> key = text<T>(std::move(name), place, std::move(type), "absent", std::move(meaning));
  key.write = [place](const T& from) {
    return (from.*place).empty() ? std::nullopt : std::optional<Json>(from.*place);
  };
  return key;
}

Keys<RecipeData> data_folder_keys() {
  using D = RecipeData;
  return {
      at(&D::train_where, text<D>("train", &D::train, "folder", kRequired,
                                  "Kaldi data folder that is trained on: wav.scp or feats.scp, text, utt2spk")),
      at(&D::extra_where,
         optional_path<D>("extra", &D::extra, "folder",
                          "another one, of other speakers, whose sounds are trained on too; nothing of it is "
                          "held out, and no language model is made of it: voices of a synthesiser, say")),
      at(&D::test_where, optional_path<D>("test", &D::test, "folder", "the same, of speakers that are not in `train`")),
      real<D>("held_out", &D::held_out, {.most = 0.5}, "0.1",
              "share of the speakers of `train` that is not trained on, but chooses what is tuned; of its utterances "
              "where it has fewer than ten speakers"),
      choice<D, BadSample>("on_bad_utterance", &D::on_bad_utterance,
                           {{"fail", BadSample::fail}, {"skip", BadSample::skip}}, "fail",
                           "what to do with an utterance that cannot be read, has a word that the lexicon has not, "
                           "or is too short for its words"),
  };
}

Keys<LanguageModelOptions> language_keys() {
  using L = LanguageModelOptions;
  return {
      optional_path<L>("arpa", &L::arpa, "file",
                       "an n-gram model in ARPA form; absent: one is made of the transcripts"),
      whole<L>("order", &L::order, {0, 3}, "2",
               "of the model that is made of the transcripts; 0: any word may follow any, equally likely"),
  };
}

Keys<FeatureOptions> feature_keys() {
  using F = FeatureOptions;
  constexpr RealRange kMilliseconds{1, 1000}, kHertz{0, 1e6};
  constexpr FeatureLimits kMost = kFeatureLimits;
  const std::vector<Choice<Normalise>> by = {
      {"none", Normalise::none}, {"utterance", Normalise::utterance}, {"speaker", Normalise::speaker}};
  return {
      choice<F, FeatureKind>(
          "kind", &F::kind, {{"fbank", FeatureKind::fbank}, {"mfcc", FeatureKind::mfcc}, {"given", FeatureKind::given}},
          "mfcc",
          "log energies of mel filters; their cosine transform; or what the data folder has (feats.scp), for which "
          "only deltas and normalisation apply"),
      real<F>("sample_rate", &F::sample_rate, {kMost.least_rate, kMost.most_rate}, "16000",
              "Hz; audio of other rates is resampled"),
      real<F>("frame_length_ms", &F::frame_length_ms, kMilliseconds, "25", "of a frame's window"),
      real<F>("frame_shift_ms", &F::frame_shift_ms, kMilliseconds, "10", "from frame to frame"),
      real<F>("preemphasis", &F::preemphasis, {.most = 1}, "0.97", "share of the sample before that is subtracted"),
      boolean<F>("snip_edges", &F::snip_edges, "true",
                 "only frames that lie inside of the audio; else as many as shifts"),
      whole<F>("mel_bins", &F::mel_bins, {kMost.least_bins, kMost.most_bins}, "23", "mel filters"),
      real<F>("low_hz", &F::low_hz, kHertz, "20", "where the first filter begins"),
      real<F>("high_hz", &F::high_hz, {-1e6, 1e6}, "0", "where the last one ends; at most 0: below half the rate"),
      whole<F>("cepstra", &F::cepstra, {1, kMost.most_cepstra}, "13",
               "of `mfcc`: coefficients that are kept; of `given`: numbers a frame in files of Sphinx (.mfc), which do "
               "not say so themselves"),
      real<F>("lifter", &F::lifter, {.most = kMost.most_lifter}, "22", "of `mfcc`; 0: none"),
      boolean<F>("use_energy", &F::use_energy, "false",
                 "the frame's log energy stands first: in the place of the first coefficient of `mfcc`, or before the "
                 "filters of `fbank`"),
      real<F>("energy_floor", &F::energy_floor, {.most = kMost.most_energy}, "0",
              "with `use_energy`: least energy of a frame (the sum of its squared samples, not the logarithm)"),
      whole<F>("deltas", &F::deltas, {0, kMost.most_deltas}, "2", "orders of differences in time that are appended"),
      whole<F>("delta_window", &F::delta_window, {kMost.least_window, kMost.most_window}, "2",
               "frames to each side that they are made of"),
      choice<F, Normalise>("mean", &F::mean, by, "speaker", "over what the mean becomes 0"),
      choice<F, Normalise>("variance", &F::variance, by, "speaker", "over what the variance becomes 1"),
  };
}

// A list of the least and the most.
Key<AugmentOptions> interval(std::string name, double AugmentOptions::*low, double AugmentOptions::*high,
                             RealRange range, std::string fallback, std::string meaning) {
  return {
      std::move(name),
      "list of two rising numbers from " + number_json(range.least).dump() + " to " + number_json(range.most).dump(),
      std::move(fallback),
      std::move(meaning),
      [=](const Value& value, const std::string& path, AugmentOptions& into) {
        if (value.kind != Value::Kind::list || value.items.size() != 2) {
          throw ConfigError(value.where, path + " must be a list of two numbers, the least and the most");
        }
        into.*low = read_double(value.items[0], "the least of " + path, range);
        into.*high = read_double(value.items[1], "the most of " + path, range);
        if (into.*low > into.*high) throw ConfigError(value.where, path + ": the least is above the most");
      },
      [=](const AugmentOptions& from) {
        return Json{number_json(from.*low), number_json(from.*high)};
      }};
}

Keys<AugmentOptions> augment_keys() {
  using A = AugmentOptions;
  return {
      whole<A>("copies", &A::copies, {0, 100}, "0", "changed copies of each training utterance, beside itself"),
      interval("speed", &A::speed_low, &A::speed_high, {0.25, 4}, "[1,1]",
               "plays so much faster: pitch and length change"),
      interval("pitch", &A::pitch_low, &A::pitch_high, {0.25, 4}, "[1,1]", "changes the pitch alone"),
      interval("gain_db", &A::gain_db_low, &A::gain_db_high, {-60, 60}, "[0,0]", "louder by so many dB"),
      interval("noise_db", &A::noise_db_low, &A::noise_db_high, {-20, 120}, "[0,0]",
               "white noise, so many dB below the speech; [0, 0]: none"),
  };
}

Keys<HmmOptions> hmm_keys() {
  using H = HmmOptions;
  return {
      whole<H>("states", &H::states, {1, 50}, "3",
               "of a phone (with `context: word`: for each of a word's), from left to right"),
      whole<H>("silence_states", &H::silence_states, {1, 50}, "3", "of silence, which may stand between words"),
      choice<H, Context>("context", &H::context,
                         {{"phone", Context::phone}, {"triphone", Context::triphone}, {"word", Context::word}}, "phone",
                         "what states depend on: the phone; its neighbours in the word too, where there are enough "
                         "frames; or the word"),
      whole<H>("least_frames", &H::least_frames, {1, 1'000'000}, "100", "of a state that depends on its neighbours"),
  };
}

Keys<GmmOptions> gmm_keys() {
  using G = GmmOptions;
  return {
      whole<G>("gaussians", &G::gaussians, {1, 1'000'000}, "1000", "of all states together"),
      whole<G>("iterations", &G::iterations, {1, 1000}, "30", "of training, in which the number of Gaussians grows"),
      real<G>("variance_floor", &G::variance_floor, {.most = 1, .above_least = true}, "0.01",
              "least variance of a Gaussian, of that of all frames"),
  };
}

Keys<RbmOptions> rbm_keys() {
  using R = RbmOptions;
  constexpr RealRange kRate{.most = 10, .above_least = true}, kShare{.most = 1, .below_most = true};
  return {
      whole<R>("epochs", &R::epochs, {1, 10'000}, "5", "times that every frame is seen, for each layer"),
      real<R>("gaussian_rate", &R::gaussian_rate, kRate, "0.001",
              "learning rate of the first layer, whose inputs are features"),
      real<R>("rate", &R::rate, kRate, "0.02", "of the others"),
      real<R>("momentum", &R::momentum, kShare, "0.9", "how much of the last step stays in the next"),
      real<R>("weight_decay", &R::weight_decay, kFactor, "0.0002", "adds `weight_decay w` to the gradient"),
  };
}

Keys<RecipeNetwork> recipe_network_keys() {
  using N = RecipeNetwork;
  constexpr WholeRange kFrames{0, 100};
  const auto layers = [](auto& network) -> auto& { return network.layers; };
  const Key<NetworkSpec>* key = find_key(network_keys(), "layers");
  return {
      section<N>(
          "splice", [](auto& network) -> auto& { return network.splice; },
          Keys<Splice>{whole<Splice>("left", &Splice::left, kFrames, "7", "frames before it"),
                       whole<Splice>("right", &Splice::right, kFrames, "7", "frames after it")},
          kOfItsKeys, "frames of the utterance that the network sees beside its own"),
      at(&N::layers_where,
         Key<N>{
             "layers",
             key->type,
             kRequired,
             "as of a job, without the last: a `fully_connected` over the acoustic states is added. Where a layer is "
             "a `conv` the input is [1, frames, features], else a vector",
             [=](const Value& value, const std::string& path, N& into) {
               NetworkSpec read;
               key->read(value, path, read);
               layers(into) = std::move(read.layers);
             },
             [=](const N& from) {
               NetworkSpec written;
               written.layers = layers(from);
               return key->write(written);
             },
             {}}),
      whole<N>("realign", &N::realign, {0, 10}, "1",
               "times that the network aligns the training utterances anew and is trained again"),
      at(&N::pretrain_where,
         choice<N, Pretrain>("pretrain", &N::pretrain, {{"none", Pretrain::none}, {"rbm", Pretrain::rbm}}, "none",
                             "what the first training begins with: weights at random, or those of restricted Boltzmann "
                             "machines, for which all layers are `fully_connected` and `sigmoid`, in turn")),
      section<N>(
          "rbm", [](auto& network) -> auto& { return network.rbm; }, rbm_keys(), kOfItsKeys, "of `pretrain: rbm`"),
  };
}

Keys<RecipeDecode> decode_keys() {
  using D = RecipeDecode;
  using O = DecodeOptions;
  const auto options = [](auto& decode) -> auto& { return decode.options; };
  const Keys<O> keys = {
      real<O>("beam", &O::beam, {.most = 1e6, .above_least = true}, "200",
              "partial results that are worse than the best by more, in natural logarithms, are dropped"),
      whole<O>("most_active", &O::most_active, {1, 10'000'000}, "5000", "partial results that are kept at most"),
      real<O>("acoustic_scale", &O::acoustic_scale, {.most = 100, .above_least = true}, "0.1",
              "what acoustic scores are multiplied by"),
      real<O>("language_scale", &O::language_scale, {.most = 100}, "1",
              "what those of the language model are multiplied by"),
      real<O>("word_penalty", &O::word_penalty, {-1000, 1000}, "0", "natural logarithm, added at each word"),
      real<O>("silence_probability", &O::silence_probability, {.most = 1, .above_least = true}, "0.5",
              "of silence between two words"),
  };
  Keys<D> rows;
  for (const Key<O>& key : keys) rows.push_back(row_of<D>(keys, key.name, options));
  rows.push_back(boolean<D>("tune", &D::tune, "true",
                            "chooses `acoustic_scale` and `word_penalty` for each model, by its word errors on the "
                            "held-out part; what is given here is tried too"));
  return rows;
}

}  // namespace

const Keys<Recipe>& recipe_table() {
  using R = Recipe;
  const auto job = [](auto& recipe) -> auto& { return recipe.job; };
  const auto row = [&](const std::string& name) { return row_of<R>(job_table(), name, job); };
  const auto batch_row = [&] {
    Key<R> key = row_of<R>(
        data_keys(), "batch", [](auto& recipe) -> auto& { return recipe.job.data; });
    key.fallback = "256";
    key.meaning = "frames of a training step, of all devices together; at least one for each device";
    return key;
  };
  static const Keys<R> kTable = {
      row("name"),
      row("seed"),
      row("reproducible"),
      section<R>("data", &R::data, data_folder_keys(), kRequired, "the recordings and their transcripts"),
      at(&R::lexicon_where,
         text<R>("lexicon", &R::lexicon, "file", kRequired, "a `word phone phone ...` line for each pronunciation")),
      section<R>("language", &R::language, language_keys(), kOfItsKeys, "what word follows what"),
      at(&R::features_where,
         section<R>("features", &R::features, feature_keys(), kOfItsKeys, "how features are made of audio")),
      section<R>("augment", &R::augment, augment_keys(), kOfItsKeys,
                 "what is done to copies of the training audio, at random"),
      section<R>("hmm", &R::hmm, hmm_keys(), kOfItsKeys, "how words become acoustic states"),
      section<R>("gmm", &R::gmm, gmm_keys(), kOfItsKeys, "Gaussian mixtures: the first alignment, and the yardstick"),
      section<R>("network", &R::network, recipe_network_keys(), kRequired, "the layers, and how they are trained"),
      row("solver"),
      batch_row(),
      row("checkpoint"),
      row("parallel"),
      row("exchange"),
      row("backend"),
      row("precision"),
      row("memory"),
      section<R>("decode", &R::decode, decode_keys(), kOfItsKeys, "how words are found"),
  };
  return kTable;
}

std::vector<KeyInfo> recipe_keys() {
  static const std::vector<std::string> kOfJobs = {"seed",     "reproducible", "solver",    "checkpoint", "parallel",
                                                   "exchange", "backend",      "precision", "memory"};
  std::vector<KeyInfo> list;
  for (const KeyInfo& key : list_keys(recipe_table())) {
    const std::string section = key.path.substr(0, key.path.find('.'));
    const bool of_jobs = std::find(kOfJobs.begin(), kOfJobs.end(), section) != kOfJobs.end();
    if (!of_jobs || section == key.path) list.push_back(key);  // what is below is in docs/job.md
  }
  return list;
}

}  // namespace hadal
