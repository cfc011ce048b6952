#include "speech/hmm_states.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/file.h"
#include "base/printable.h"

namespace hadal {

namespace {

constexpr std::uint64_t kStatesLimit = 1'000'000'000;  // bytes
constexpr int kMostStates = 1000;                      // of a phone

using ContextCounts = std::map<std::array<std::int32_t, 5>, std::int64_t>;

// Takes the contexts with enough frames out of `rest`: they get states of their own. `widen` says what of a context
// counts.
template <class Widen>
void take_frequent(std::vector<ContextFrames>& rest, std::int64_t least, ContextCounts& taken, const Widen& widen) {
  ContextCounts counts;
  for (const ContextFrames& context : rest) counts[widen(context)] += context.frames;
  std::erase_if(counts, [&](const auto& entry) { return entry.second < least; });
  taken.insert(counts.begin(), counts.end());
}

}  // namespace

HmmStates::HmmStates(const Lexicon& lexicon, const HmmOptions& options) : HmmStates(lexicon, options, {}) {}

HmmStates::HmmStates(const Lexicon& lexicon, const HmmOptions& options, std::span<const ContextFrames> contexts)
    : phone_states_(options.states), silence_states_(options.silence_states) {
  constexpr std::int32_t kAny = HmmState::kAny;
  HADAL_CHECK(phone_states_ > 0 && phone_states_ <= kMostStates);
  HADAL_CHECK(silence_states_ > 0 && silence_states_ <= kMostStates);
  const std::int64_t least = std::max<std::int64_t>(options.least_frames, 1);
  std::vector<ContextFrames> rest;
  std::map<std::pair<std::int32_t, std::int32_t>, std::int64_t> phone_frames;
  for (const ContextFrames& context : contexts) {
    phone_frames[{context.phone, context.position}] += context.frames;
    if (context.phone != Lexicon::kSilence) rest.push_back(context);
  }
  ContextCounts taken;
  const auto drop_taken = [&](const auto& widen) {
    std::erase_if(rest, [&](const ContextFrames& context) { return taken.contains(widen(context)); });
  };
  const auto in_word = [](const ContextFrames& c) { return Key{c.phone, c.position, c.left, c.right, c.word}; };
  const auto between = [](const ContextFrames& c) { return Key{c.phone, c.position, c.left, c.right, kAny}; };
  const auto behind = [](const ContextFrames& c) { return Key{c.phone, c.position, c.left, kAny, kAny}; };
  const auto before = [](const ContextFrames& c) { return Key{c.phone, c.position, kAny, c.right, kAny}; };
  if (options.context == Context::word) {
    take_frequent(rest, least, taken, in_word);
    drop_taken(in_word);
  }
  if (options.context != Context::phone) {
    take_frequent(rest, least, taken, between);
    drop_taken(between);
    ContextCounts one_side;
    take_frequent(rest, least, one_side, behind);
    take_frequent(rest, least, one_side, before);
    taken.insert(one_side.begin(), one_side.end());
  }
  for (std::int32_t phone = 0; phone < static_cast<std::int32_t>(lexicon.phones().size()); ++phone) {
    for (std::int32_t position = 0; position < states_of_phone(phone); ++position) {
      const auto frames = phone_frames.find({phone, position});
      add({.phone = phone, .position = position, .frames = frames == phone_frames.end() ? 0 : frames->second});
    }
  }
  for (const auto& [key, frames] : taken) {
    add({.phone = key[0], .position = key[1], .left = key[2], .right = key[3], .word = key[4], .frames = frames});
  }
}

void HmmStates::add(const HmmState& state) {
  numbers_.emplace(key_of(state), static_cast<std::int32_t>(states_.size()));
  states_.push_back(state);
}

std::int32_t HmmStates::find(std::int32_t phone, std::int32_t position, std::int32_t left, std::int32_t right,
                             std::int32_t word) const {
  constexpr std::int32_t kAny = HmmState::kAny;
  const auto number = [&](std::int32_t l, std::int32_t r, std::int32_t w) {
    const auto found = numbers_.find({phone, position, l, r, w});
    return found == numbers_.end() ? -1 : found->second;
  };
  if (const auto state = number(left, right, word); state >= 0) return state;
  if (const auto state = number(left, right, kAny); state >= 0) return state;
  const std::int32_t behind = number(left, kAny, kAny), before = number(kAny, right, kAny);
  const auto frames = [&](std::int32_t state) {
    return state < 0 ? -1 : states_[static_cast<std::size_t>(state)].frames;
  };
  if (behind >= 0 || before >= 0) return frames(behind) >= frames(before) ? behind : before;
  return number(kAny, kAny, kAny);
}

std::vector<std::int32_t> HmmStates::chain(std::int32_t word, std::span<const std::int32_t> phones) const {
  std::vector<std::int32_t> chain;
  for (std::size_t i = 0; i < phones.size(); ++i) {
    const std::int32_t left = i == 0 ? HmmState::kEdge : phones[i - 1];
    const std::int32_t right = i + 1 == phones.size() ? HmmState::kEdge : phones[i + 1];
    for (std::int32_t position = 0; position < states_of_phone(phones[i]); ++position) {
      chain.push_back(find(phones[i], position, left, right, word));
    }
  }
  return chain;
}

std::vector<std::int32_t> HmmStates::silence() const {
  std::vector<std::int32_t> chain;
  for (std::int32_t position = 0; position < silence_states_; ++position) {
    chain.push_back(find(Lexicon::kSilence, position, HmmState::kEdge, HmmState::kEdge, HmmState::kAny));
  }
  return chain;
}

std::string HmmStates::to_text(const Lexicon& lexicon) const {
  const auto name = [&](std::int32_t number, const std::vector<std::string>& known) -> std::string {
    if (number == HmmState::kAny) return "*";
    if (number == HmmState::kEdge) return "#";
    const auto i = static_cast<std::size_t>(number);
    return i < known.size() ? known[i] : unknown_[i - known.size()];
  };
  std::string text = fmt::format("hadal-states-1 {} {}\n", phone_states_, silence_states_);
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const HmmState& state = states_[i];
    text += fmt::format("{} {} {} {} {} {} {} {}\n", i, name(state.phone, lexicon.phones()), state.position,
                        name(state.left, lexicon.phones()), name(state.right, lexicon.phones()),
                        name(state.word, lexicon.words()), state.frames, state.loop);
  }
  return text;
}

namespace {

class StatesText {
 public:
  StatesText(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  // The fields of the next line; none at the end.
  std::vector<std::string> next() {
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = std::min(text_.find('\n'), text_.size());
      std::vector<std::string> fields = split_fields(text_.substr(0, end));
      text_.remove_prefix(std::min(end + 1, text_.size()));
      if (!fields.empty()) return fields;
    }
    return {};
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(fmt::format("{}:{}: {}", file_, line_, printable(what)));
  }

  template <class Number>
  Number number(const std::string& field, Number least, Number most) const {
    Number value{};
    const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (error != std::errc() || end != field.data() + field.size() || !(value >= least && value <= most)) {
      fail(fmt::format("'{}' is not a number from {} to {}", field, least, most));
    }
    return value;
  }

 private:
  std::string_view text_;
  std::string file_;
  int line_ = 0;
};

}  // namespace

HmmStates HmmStates::read(const std::string& path, const Lexicon& lexicon, const Position& where) {
  return parse(read_file(path, kStatesLimit, where), path, lexicon);
}

HmmStates HmmStates::parse(std::string_view text, const std::string& file, const Lexicon& lexicon) {
  constexpr std::int64_t kMany = std::int64_t{1} << 62;
  StatesText lines(text, file);
  HmmStates states;
  const std::vector<std::string> head = lines.next();
  if (head.size() != 3 || head[0] != "hadal-states-1") {
    lines.fail("this is no list of states: its first line is 'hadal-states-1 STATES SILENCE_STATES'");
  }
  states.phone_states_ = lines.number<int>(head[1], 1, kMostStates);
  states.silence_states_ = lines.number<int>(head[2], 1, kMostStates);
  const auto number_of = [&](const std::string& name, const std::vector<std::string>& known, auto found) {
    if (name == "*") return HmmState::kAny;
    if (name == "#") return HmmState::kEdge;
    if (found) return *found;
    const auto place = std::find(states.unknown_.begin(), states.unknown_.end(), name);
    const auto i = static_cast<std::size_t>(place - states.unknown_.begin());
    if (place == states.unknown_.end()) states.unknown_.push_back(name);
    return static_cast<std::int32_t>(known.size() + i);
  };
  const auto phone = [&](const std::string& name) { return number_of(name, lexicon.phones(), lexicon.phone(name)); };
  for (auto fields = lines.next(); !fields.empty(); fields = lines.next()) {
    if (fields.size() != 8) {
      lines.fail("a line is a state's number, phone, position, left, right, word, frames, and loop probability");
    }
    if (lines.number<std::int64_t>(fields[0], 0, kMany) != states.size()) lines.fail("states are numbered from 0 on");
    HmmState state{.phone = phone(fields[1]), .left = phone(fields[3]), .right = phone(fields[4])};
    if (state.phone < 0) lines.fail("a state is of one phone");
    state.position = lines.number<std::int32_t>(fields[2], 0, states.states_of_phone(state.phone) - 1);
    state.word = number_of(fields[5], lexicon.words(), lexicon.word(fields[5]));
    state.frames = lines.number<std::int64_t>(fields[6], 0, kMany);
    state.loop = lines.number<double>(fields[7], 0, 1);
    if (state.loop <= 0 || state.loop >= 1) lines.fail("a loop's probability lies between 0 and 1");
    if (states.numbers_.contains(key_of(state))) lines.fail("this state is there twice");
    states.add(state);
  }
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(lexicon.phones().size()); ++i) {
    for (std::int32_t position = 0; position < states.states_of_phone(i); ++position) {
      if (states.find(i, position, HmmState::kAny, HmmState::kAny, HmmState::kAny) >= 0) continue;
      throw DataError(
          printable(fmt::format("{}: has no state {} of the phone '{}' of {}; train with this dictionary", file,
                                position, lexicon.phones()[static_cast<std::size_t>(i)], lexicon.file())));
    }
  }
  return states;
}

}  // namespace hadal
