// hadal speech: a small vocabulary of whistles, from recordings to words.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <numbers>
#include <thread>

#include "base/random.h"
#include "speech/audio_file.h"
#include "testing/workplace.h"

namespace hadal {
namespace {

using testing::CommandResult;
using testing::Workplace;

constexpr double kRate = 8000;

struct Whistle {
  const char* word;
  double from, to;  // Hz
};
constexpr std::array<Whistle, 3> kWhistles{{{"RISE", 500, 900}, {"FALL", 1800, 1200}, {"HIGH", 2600, 2700}}};

void append(std::vector<float>& samples, double seconds, double from, double to, double loudness, std::uint64_t seed) {
  const RandomSequence noise(seed, RandomUse::synthetic, static_cast<std::uint32_t>(samples.size()));
  const auto count = static_cast<std::size_t>(seconds * kRate);
  double phase = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    phase += 2 * std::numbers::pi * (from + share * (to - from)) / kRate;
    const double envelope = std::sin(std::numbers::pi * share);
    samples.push_back(static_cast<float>(loudness * envelope * std::sin(phase)) + 20 * noise.normal(i));
  }
}

// Words with silence around them; pitch and length differ a little with the seed.
Audio whistled(const std::vector<std::size_t>& words, std::uint64_t seed) {
  const RandomSequence random(seed, RandomUse::synthetic, 0);
  Audio audio{kRate, {}};
  append(audio.samples, 0.15, 1, 1, 0, seed);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const double pitch = 0.95 + 0.1 * static_cast<double>(random.uniform(2 * i));
    const Whistle& whistle = kWhistles[words[i]];
    append(audio.samples, 0.2 + 0.1 * static_cast<double>(random.uniform(2 * i + 1)), whistle.from * pitch,
           whistle.to * pitch, 6000, seed);
    append(audio.samples, 0.1, 1, 1, 0, seed);
  }
  return audio;
}

std::vector<std::size_t> words_of(std::uint64_t seed) {
  const RandomSequence random(seed, RandomUse::synthetic, 1);
  std::vector<std::size_t> words;
  for (std::uint64_t i = 0; i < 2 + seed % 3; ++i) words.push_back(random.below(i, kWhistles.size()));
  return words;
}

constexpr const char* kWhistleRecipe = R"(name: whistles
reproducible: true
data: {train: train, test: test}
lexicon: lexicon.txt
language: {order: 0}
features: {kind: mfcc, sample_rate: 8000, mean: utterance, variance: utterance}
hmm: {states: 2, silence_states: 2, context: word}
gmm: {gaussians: 30, iterations: 6}
network:
  splice: {left: 2, right: 2}
  layers: [fully_connected: {out: 24}, relu]
solver: {epochs: 3, rule: {sgd: {rate: 0.1, momentum: 0.9}}}
batch: 64
checkpoint: {every_steps: 10}
)";

class WhistleWorkplace : public Workplace {
 public:
  WhistleWorkplace() {
    write_folder("train", 24, 100);
    write_folder("test", 8, 500);
    write("lexicon.txt", "RISE a b\nFALL c d\nHIGH e\n");
    write("recipe.yaml", kWhistleRecipe);
  }

  void write_folder(const std::string& name, int count, std::uint64_t first) const {
    std::filesystem::create_directories(path(name));
    std::string index, text, speakers;
    for (int i = 0; i < count; ++i) {
      const std::uint64_t seed = first + static_cast<std::uint64_t>(i);
      const std::string id = name + std::to_string(seed);
      write_wav(path(name + "/" + id + ".wav"), whistled(words_of(seed), seed));
      index += id + " " + id + ".wav\n";
      text += id;
      for (const std::size_t word : words_of(seed)) text += std::string(" ") + kWhistles[word].word;
      text += "\n";
      speakers += id + " speaker" + std::to_string(i % 4) + "\n";
    }
    write(name + "/wav.scp", index);
    write(name + "/text", text);
    write(name + "/utt2spk", speakers);
  }

  CommandResult train(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments{"speech", "train", "recipe.yaml"};
    if (std::ranges::find(more, "--out") == more.end()) arguments.insert(arguments.end(), {"--out", "run"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return hadal(arguments);
  }

  nlohmann::json results() const { return nlohmann::json::parse(read("run/results.json")); }
  std::string model() const { return results().at("network_sha256"); }
};

TEST(SpeechVerbs, go_from_recordings_to_words) {
  const WhistleWorkplace place;
  const CommandResult trained = place.train();
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_NE(trained.out.find("WER"), std::string::npos) << trained.out;
  const nlohmann::json results = place.results();
  for (const char* model : {"gmm", "network"}) {
    EXPECT_LE(results["test"][model]["word_error_rate"].get<double>(), 0.1) << model;
    EXPECT_LT(results["test"][model]["real_time_factor"].get<double>(), 1) << model;
    EXPECT_TRUE(place.has(std::string("run/decode/") + model + "/test/words.ctm"));
  }
  EXPECT_LE(results["held_out"]["frame_error"].get<double>(), 0.3);
  // The network's folder is one of `hadal train`.
  EXPECT_EQ(place.hadal({"eval", "run/network"}).exit_code, 0);
  EXPECT_EQ(place.hadal({"plan", "run/network/job.yaml"}).exit_code, 0);

  // What is done is not done again; what changed is, and what follows from it.
  const CommandResult again = place.train();
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(again.out.find("network: training"), std::string::npos) << again.out;
  const CommandResult renamed = place.train({"--set", "name=other"});
  EXPECT_EQ(renamed.exit_code, 0) << renamed.err;
  EXPECT_EQ(renamed.out.find("network: training"), std::string::npos) << renamed.out;
  const CommandResult changed = place.train({"--set", "gmm.gaussians=20"});
  EXPECT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_EQ(changed.out.find("features: train"), std::string::npos) << changed.out;
  EXPECT_NE(changed.out.find("network: training 1 of 2"), std::string::npos) << changed.out;

  // A recording from elsewhere: another rate.
  const std::vector<std::size_t> said{0, 2, 1};
  Audio audio = whistled(said, 900);
  audio.samples = resample(audio.samples, 2);
  audio.rate = 2 * kRate;
  write_wav(place.path("other.wav"), audio);
  const CommandResult decoded = place.hadal({"speech", "decode", "run", "other.wav", "--json", "--svg", "it.svg"});
  ASSERT_EQ(decoded.exit_code, 0) << decoded.err;
  const auto words = nlohmann::json::parse(decoded.out)["words"];
  ASSERT_EQ(words.size(), 3u) << decoded.out;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(words[i]["word"], kWhistles[said[i]].word);
    EXPECT_LT(words[i]["begin"].get<double>(), words[i]["end"].get<double>());
    EXPECT_GE(words[i]["confidence"].get<double>(), 0.3);
    EXPECT_LE(words[i]["confidence"].get<double>(), 1.0001);
  }
  EXPECT_NE(place.read("it.svg").find("HIGH"), std::string::npos);
  EXPECT_EQ(place.hadal({"speech", "decode", "run", "--data", "test", "--model", "gmm"}).exit_code, 0);

  // What is no speech.
  write_wav(place.path("silence.wav"), {kRate, std::vector<float>(8000, 0.0f)});
  const CommandResult silence = place.hadal({"speech", "decode", "run", "silence.wav"});
  EXPECT_EQ(silence.exit_code, 0) << silence.err;
  EXPECT_NE(silence.out.find("no speech"), std::string::npos) << silence.out;
  write_wav(place.path("empty.wav"), {kRate, {}});
  const CommandResult empty = place.hadal({"speech", "decode", "run", "empty.wav"});
  EXPECT_EQ(empty.exit_code, 3);
  EXPECT_NE(empty.err.find("empty.wav"), std::string::npos) << empty.err;
  for (float& sample : audio.samples) sample = std::clamp(sample * 20, -32768.0f, 32767.0f);
  write_wav(place.path("loud.wav"), audio);
  const CommandResult loud = place.hadal({"speech", "decode", "run", "loud.wav"});
  EXPECT_EQ(loud.exit_code, 0);
  EXPECT_NE(loud.out.find("cut off"), std::string::npos) << loud.out;

  // One that is bad does not end the others.
  place.write("text.wav", "no sound");
  const CommandResult some = place.hadal({"speech", "decode", "run", "empty.wav", "other.wav", "text.wav", "loud.wav"});
  EXPECT_EQ(some.exit_code, 3);
  EXPECT_NE(some.out.find("other.wav: "), std::string::npos) << some.out;
  EXPECT_NE(some.out.find("loud.wav: "), std::string::npos) << some.out;
  for (const char* what : {"hadal: empty.wav: ", "hadal: text.wav: ", "hadal: 2 of 4 recordings could not"}) {
    EXPECT_NE(some.err.find(what), std::string::npos) << some.err;
  }
  EXPECT_EQ(place.hadal({"speech", "decode", "run", "no.wav", "other.wav"}).exit_code, 2);

  // Recordings or a folder.
  const CommandResult both = place.hadal({"speech", "decode", "run", "other.wav", "--data", "test"});
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_NE(both.err.find("either recordings or a data folder; leave out --data test"), std::string::npos) << both.err;
  const CommandResult neither = place.hadal({"speech", "decode", "run"});
  EXPECT_EQ(neither.exit_code, 2);
  EXPECT_NE(neither.err.find("nothing to recognise"), std::string::npos) << neither.err;

  // Iterations are logged, as those of the network are.
  const std::vector<std::string> logged = testing::lines(place.read("run/gmm/metrics.jsonl"));
  ASSERT_EQ(logged.size(), 12U);  // 6 for phones, 6 for words
  const auto first = nlohmann::json::parse(logged[0]);
  EXPECT_EQ(first["stage"], "phone");
  EXPECT_EQ(first["iteration"], 1);
  EXPECT_LT(first["log_likelihood"].get<double>(), nlohmann::json::parse(logged[5])["log_likelihood"].get<double>());

  // Features other than the model was trained on would be nonsense to it; how it is searched may change.
  const std::string recipe = place.read("run/recipe.yaml");
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = recipe;
    EXPECT_NE(text.find(from), std::string::npos) << text;
    place.write("run/recipe.yaml", text.replace(text.find(from), from.size(), to));
    return place.hadal({"speech", "decode", "run", "other.wav"});
  };
  const CommandResult other = edited("preemphasis: 0.97", "preemphasis: 0.5");
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_NE(other.err.find("run/recipe.yaml: features.preemphasis is 0.5, and the network of this run was trained with "
                           "0.97; put that back, or train again"),
            std::string::npos)
      << other.err;
  EXPECT_EQ(edited("beam: 200", "beam: 100").exit_code, 0);

  // Training with another dictionary that ended behind the mixtures leaves the network of the old one.
  const std::string dictionary = place.read("run/lexicon.txt");
  place.write("run/lexicon.txt", dictionary + "\n");
  const CommandResult stale = place.hadal({"speech", "decode", "run", "other.wav"});
  EXPECT_EQ(stale.exit_code, 2);
  EXPECT_NE(stale.err.find("run: the network was trained for other states or another dictionary"), std::string::npos)
      << stale.err;
  place.write("run/lexicon.txt", dictionary);
  EXPECT_EQ(place.hadal({"speech", "decode", "run", "other.wav"}).exit_code, 0);

  // A key that only later versions know is no difference; what is no entry is damage.
  auto kept = nlohmann::json::parse(place.read("run/trained.json"));
  kept["network"]["recipe"]["features"].erase("lifter");
  place.write("run/trained.json", kept.dump());
  EXPECT_EQ(place.hadal({"speech", "decode", "run", "other.wav"}).exit_code, 0);
  place.write("run/trained.json", R"({"network": {"seed": 1}})");
  const CommandResult older = place.hadal({"speech", "decode", "run", "other.wav"});
  EXPECT_EQ(older.exit_code, 3);
  EXPECT_NE(older.err.find("is damaged, or of an earlier version of hadal; 'hadal speech train' with the run's recipe"),
            std::string::npos)
      << older.err;
  EXPECT_EQ(place.train({"--set", "gmm.gaussians=20"}).out.find("network: training"), std::string::npos);
  EXPECT_EQ(place.hadal({"speech", "decode", "run", "other.wav"}).exit_code, 0);
}

TEST(SpeechVerbs, name_the_verb_that_is_wanted) {
  const WhistleWorkplace place;
  place.write("job.yaml",
              "name: j\nnetwork: {input: [4], layers: [fully_connected: {out: 2}]}\n"
              "data: {train: {synthetic: {samples: 64, classes: 2}}, batch: 8}\n"
              "solver: {epochs: 1, rule: {sgd: {rate: 0.1}}}\n");
  ASSERT_EQ(place.hadal({"train", "job.yaml", "--out", "trained"}).exit_code, 0);
  ASSERT_EQ(place.hadal({"speech", "align", "recipe.yaml", "--out", "aligned"}).exit_code, 0);
  const auto expect_told = [&](const std::vector<std::string>& arguments, const std::string& what) {
    const CommandResult result = place.hadal(arguments);
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(what), std::string::npos) << result.err;
  };
  expect_told({"speech", "train", "job.yaml"}, "job.yaml: is a job, and no recipe of speech: 'hadal train'");
  expect_told({"train", "recipe.yaml"}, "recipe.yaml: is a recipe of speech, and no job: 'hadal speech train'");
  expect_told({"speech", "decode", "trained", "train/train100.wav"}, "trained: is a run of 'hadal train', which");
  expect_told({"eval", "aligned"}, "aligned: is a run of 'hadal speech train': 'hadal speech decode aligned'");
}

// What is wrong with transcripts is told at once, where the user can mend it.
TEST(SpeechVerbs, tell_where_transcripts_are_wrong) {
  const WhistleWorkplace place;
  std::string text = place.read("train/text");
  const auto append_to_line = [&](int line, const std::string& words) {
    std::size_t end = 0;
    for (int i = 0; i < line; ++i) end = text.find('\n', end) + 1;
    text.insert(end - 1, words);
    place.write("train/text", text);
  };
  append_to_line(3, " RISES LOW");
  append_to_line(7, " UP LOW");
  const CommandResult unknown = place.train();
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_NE(
      unknown.err.find("train/text:3: train102: the word 'RISES' is not in lexicon.txt; did you mean 'RISE'?; not "
                       "there in all: 3 words of 2 utterances, also 'LOW' (line 3), 'UP' (line 7); add"),
      std::string::npos)
      << unknown.err;
  EXPECT_FALSE(place.has("run/features"));
  const CommandResult left_out = place.train({"--set", "data.on_bad_utterance=skip", "--set", "augment.copies=1"});
  EXPECT_EQ(left_out.exit_code, 0) << left_out.err;
  EXPECT_NE(left_out.out.find("left out: train/text:3: train102: the word 'RISES'"), std::string::npos) << left_out.out;
  EXPECT_NE(left_out.out.find("left out: train/text:3: train102-copy1: the word"), std::string::npos) << left_out.out;

  place.write_folder("train", 24, 100);
  for (const char* id : {"104", "105"}) {
    write_wav(place.path(std::string("train/train") + id + ".wav"), {kRate, std::vector<float>(300, 5.0f)});
  }
  const CommandResult too_short = place.train();
  EXPECT_EQ(too_short.exit_code, 3);
  EXPECT_NE(too_short.err.find("train/text:5: train104: has 2 frames, and its words need "), std::string::npos)
      << too_short.err;
  EXPECT_NE(too_short.err.find("; such utterances: 2, also train105 (line 6); cut them"), std::string::npos)
      << too_short.err;
}

TEST(SpeechVerbs, tell_of_recordings_without_speech_and_of_channels_that_cancel_each_other) {
  const WhistleWorkplace place;
  write_wav(place.path("train/train101.wav"), {kRate, std::vector<float>(8000, 0.0f)});
  // A second channel, the opposite of the first.
  std::string bytes = place.read("train/train103.wav");
  std::string both = bytes.substr(0, 44);
  for (std::size_t at = 44; at < bytes.size(); at += 2) {
    std::int16_t sample = 0;
    std::memcpy(&sample, bytes.data() + at, 2);
    const auto opposite = static_cast<std::int16_t>(-sample);
    both.append(bytes, at, 2).append(reinterpret_cast<const char*>(&opposite), 2);
  }
  const auto put = [&](std::size_t at, std::uint32_t value, std::size_t size) { std::memcpy(&both[at], &value, size); };
  put(4, static_cast<std::uint32_t>(both.size() - 8), 4);
  put(22, 2, 2);
  put(28, 4 * static_cast<std::uint32_t>(kRate), 4);
  put(32, 4, 2);
  put(40, static_cast<std::uint32_t>(both.size() - 44), 4);
  place.write("train/stereo.wav", both);
  std::string index = place.read("train/wav.scp");
  index.replace(index.find("train103.wav"), 12, "stereo.wav");
  place.write("train/wav.scp", index);
  const CommandResult result = place.hadal({"speech", "align", "recipe.yaml", "--out", "run"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* what : {"train: a recording seems to hold no speech", "\n  train101: train/train101.wav\n",
                           "train: a recording's channels cancel each other: the first is used alone\n  train103: "}) {
    EXPECT_NE(result.out.find(what), std::string::npos) << result.out;
  }
}

TEST(SpeechVerbs, tell_what_a_test_cannot_say) {
  const WhistleWorkplace place;
  place.write("test/text", place.read("test/text") + "test900 RISE LOW\n");
  place.write("test/wav.scp", place.read("test/wav.scp") + "test900 test500.wav\n");
  place.write("test/utt2spk", place.read("test/utt2spk") + "test900 another\n");
  const CommandResult result = place.hadal({"speech", "align", "recipe.yaml", "--out", "run"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("test: has speakers of train too (4, for example 'speaker0')"), std::string::npos)
      << result.out;
  EXPECT_NE(result.out.find(" words are not in lexicon.txt: each of them will be an error"), std::string::npos)
      << result.out;
}

TEST(SpeechVerbs, train_on_extra_voices_and_hold_none_of_them_out) {
  const WhistleWorkplace place;
  place.write_folder("more", 6, 900);
  const auto align = [&](const std::string& share) {
    return place.hadal({"speech", "align", "recipe.yaml", "--out", "run", "--set", "data.extra=more", "--set",
                        "data.held_out=" + share, "--set", "augment.copies=1"});
  };
  const CommandResult shared = align("0.5");
  EXPECT_EQ(shared.exit_code, 2);
  EXPECT_NE(shared.err.find("more/wav.scp:1:1: data.extra: the speaker 'speaker0' is in train too"), std::string::npos)
      << shared.err;
  EXPECT_FALSE(place.has("run/features"));

  std::string speakers;
  for (int i = 900; i < 906; ++i) speakers += "more" + std::to_string(i) + " voice" + std::to_string(i) + "\n";
  place.write("more/utt2spk", speakers);
  const CommandResult aligned = align("0.5");
  ASSERT_EQ(aligned.exit_code, 0) << aligned.err;
  EXPECT_EQ(place.read("run/features/held_out/utt2spk").find("more"), std::string::npos);
  const std::string trained = place.read("run/features/train/utt2spk");
  for (int i = 900; i < 906; ++i) {
    const std::string id = "more" + std::to_string(i);
    EXPECT_NE(trained.find(id + " "), std::string::npos) << trained;
    EXPECT_NE(trained.find(id + "-copy1 "), std::string::npos) << trained;
  }

  // A change of it begins anew, and what is wrong with it is told as of the others.
  const auto is_repeated = [](const CommandResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.find("features: train: ") != std::string::npos;
  };
  EXPECT_FALSE(is_repeated(align("0.5")));
  const std::string text = place.read("more/text");
  place.write("more/text", text.substr(0, text.rfind(' ')) + "\n");
  EXPECT_TRUE(is_repeated(align("0.5")));
  place.write("more/text", text + "more906 LOW\n");
  const CommandResult unknown = align("0.5");
  EXPECT_EQ(unknown.exit_code, 3);
  EXPECT_NE(unknown.err.find("more/text:7: more906: the word 'LOW' is not in lexicon.txt"), std::string::npos)
      << unknown.err;
  place.write("more/text", text);
  for (const char* file : {"train/train104.wav", "more/more903.wav"}) {
    write_wav(place.path(file), {kRate, std::vector<float>(300, 5.0f)});
  }
  const CommandResult too_short = align("0");
  EXPECT_EQ(too_short.exit_code, 3);
  EXPECT_NE(too_short.err.find("train/text:5: train104: has 2 frames"), std::string::npos) << too_short.err;
  EXPECT_NE(too_short.err.find("such utterances: 2, also more903 (more/text:4); cut"), std::string::npos)
      << too_short.err;
}

TEST(SpeechVerbs, make_no_language_of_what_extra_voices_say) {
  const WhistleWorkplace place;
  place.write_folder("more", 6, 900);
  std::string speakers;
  for (int i = 900; i < 906; ++i) speakers += "more" + std::to_string(i) + " voice\n";
  place.write("more/utt2spk", speakers);
  ASSERT_EQ(place.train({"--out", "plain", "--set", "language.order=2"}).exit_code, 0);
  const CommandResult result = place.train({"--set", "language.order=2", "--set", "data.extra=more"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(place.read("run/language.arpa"), place.read("plain/language.arpa"));
  EXPECT_NE(place.read("run/network/model.safetensors"), place.read("plain/network/model.safetensors"));
}

// What cannot be aligned is left out of the held-out part too, even where nothing is left of it.
TEST(SpeechVerbs, a_bad_held_out_utterance_ends_no_run) {
  const WhistleWorkplace place;
  const std::vector<std::string> arguments{"--set", "data.held_out=0.04", "--set", "data.on_bad_utterance=skip",
                                           "--set", "network.realign=1"};
  ASSERT_EQ(place.train(arguments).exit_code, 0);
  const std::string held_out = testing::lines(place.read("run/features/held_out/text")).at(0);
  const std::string id = held_out.substr(0, held_out.find(' '));
  write_wav(place.path("train/" + id + ".wav"), {kRate, std::vector<float>(300, 5.0f)});
  const CommandResult result = place.train(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  EXPECT_NE(result.out.find(": " + id + ": has 2 frames"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("no held-out utterance is aligned"), std::string::npos) << result.out;
}

TEST(SpeechVerbs, go_on_after_kill_minus_9_to_the_same_model) {
  const WhistleWorkplace place;
  ASSERT_EQ(place.train().exit_code, 0);
  const std::string expected = place.model();
  std::filesystem::remove_all(place.path("run"));
  int killed = 0;
  for (int milliseconds = 60; milliseconds < 2000; milliseconds *= 2) {
    testing::Command command(place.path(), {"speech", "train", "recipe.yaml", "--out", "run"}, {});
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    killed += command.running() ? 1 : 0;
    command.kill(SIGKILL);
    command.wait();
  }
  EXPECT_GE(killed, 1);
  const CommandResult last = place.train();
  ASSERT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(place.model(), expected);
}

// A user makes room, or copies a run, or mistypes.
TEST(SpeechVerbs, do_again_what_is_missing_and_nothing_else) {
  const WhistleWorkplace place;
  ASSERT_EQ(place.train().exit_code, 0);
  const std::string expected = place.model();
  const auto is_repeated = [](const CommandResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out.find("training 1 of") != std::string::npos;
  };
  for (const char* gone : {"features", "frames", "network/model.safetensors", "network", "gmm", "decode"}) {
    std::filesystem::remove_all(place.path(std::string("run/") + gone));
    is_repeated(place.train());
    EXPECT_EQ(place.model(), expected) << gone;
    EXPECT_TRUE(std::filesystem::exists(place.path("run/decode/network/test/words.ctm"))) << gone;
  }
  std::filesystem::remove_all(place.path("run/features"));
  EXPECT_EQ(place.train({"--set", "solver.epochs=1"}).exit_code, 0);
  ASSERT_EQ(place.train().exit_code, 0);

  EXPECT_FALSE(is_repeated(place.hadal({"speech", "train", "recipe.yaml", "--out", place.path("run/")})));
  std::filesystem::rename(place.path("run"), place.path("moved"));
  EXPECT_FALSE(is_repeated(place.hadal({"speech", "train", "recipe.yaml", "--out", "./moved"})));

  const CommandResult mistyped =
      place.hadal({"speech", "train", "recipe.yaml", "--out", "moved", "--set", "features.kind=given"});
  EXPECT_EQ(mistyped.exit_code, 2);
  EXPECT_FALSE(is_repeated(place.hadal({"speech", "train", "recipe.yaml", "--out", "moved"})));
  EXPECT_EQ(place.hadal({"speech", "train", "recipe.yaml", "--out", "moved", "--set", "lexicon=nope"}).exit_code, 2);
  EXPECT_EQ(place.hadal({"speech", "train", "recipe.yaml", "--out", "train"}).exit_code, 2);
  EXPECT_EQ(place.hadal({"speech", "features", "train", "--out", "train"}).exit_code, 2);
}

// What a folder's earlier recipes left there has no part in the results of the next one.
TEST(SpeechVerbs, results_do_not_depend_on_what_the_folder_held_before) {
  const WhistleWorkplace place;
  const std::vector<std::string> twice{"--set", "network.realign=1"}, once{"--set", "network.realign=0"};
  const std::vector<std::string> untuned{"--set", "network.realign=0", "--set", "data.held_out=0"};
  const auto results_of = [&](const std::vector<std::string>& more) {
    const CommandResult result = place.train(more);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    nlohmann::json results = place.results();
    for (nlohmann::json& part : results) {
      if (!part.is_object()) continue;
      for (nlohmann::json& model : part) {
        if (!model.is_object()) continue;
        model.erase("seconds");
        model.erase("real_time_factor");
      }
    }
    return results;
  };
  const nlohmann::json first = results_of(twice);
  EXPECT_NE(results_of(once)["network_sha256"], first["network_sha256"]);
  EXPECT_EQ(results_of(twice), first);

  const nlohmann::json after = results_of(untuned);
  EXPECT_FALSE(after.contains("held_out")) << after;
  std::filesystem::remove_all(place.path("run"));
  EXPECT_EQ(results_of(untuned), after);
}

TEST(SpeechVerbs, say_what_is_wrong) {
  const WhistleWorkplace place;
  const auto refusal = [&](const std::vector<std::string>& more, int exit_code) {
    const CommandResult result = place.train(more);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    return result.err;
  };
  EXPECT_NE(refusal({"--set", "hmm.context=triphon"}, 2).find("did you mean 'triphone'"), std::string::npos);
  EXPECT_NE(refusal({"--set", "data.train=nowhere"}, 2).find("nowhere: there is no such data folder"),
            std::string::npos);
  place.write("lexicon.txt", "RISE a b\nHIGH e\n");
  EXPECT_NE(refusal({}, 3).find("FALL"), std::string::npos);
  const auto decode_in = [&](const std::string& run) {
    const CommandResult result = place.hadal({"speech", "decode", run, "train/train100.wav"});
    EXPECT_EQ(result.exit_code, 2) << result.err;
    return result.err;
  };
  EXPECT_NE(refusal({"--out", "lexicon.txt"}, 2).find("lexicon.txt: is a file, where a folder is wanted"),
            std::string::npos);
  EXPECT_NE(decode_in("nowhere").find("nowhere: there is no such folder"), std::string::npos);
  EXPECT_NE(decode_in("lexicon.txt").find("lexicon.txt: is not a folder"), std::string::npos);
  EXPECT_NE(decode_in("train").find("has no recipe yet"), std::string::npos);
  EXPECT_NE(decode_in(std::string(300, 'x')).find("x: cannot be read: File name too long"), std::string::npos);
}

}  // namespace
}  // namespace hadal
