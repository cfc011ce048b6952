#include "spec/value.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace hadal {

namespace {

constexpr int kMaxValues = 200'000;

// Makes positions: of a file, or all the same.
class Locator {
 public:
  Locator(Position base, bool fixed) : base_(std::move(base)), fixed_(fixed) {}

  Position at(int line, int column) const {
    if (fixed_ || line < 0) return base_;
    return {base_.file, line + 1, column + 1};
  }
  Position at(const YAML::Mark& mark) const { return at(mark.line, mark.column); }

 private:
  Position base_;
  bool fixed_;
};

// Builds the tree from the parser's events, and stops it at the first that a job may not have.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(const Locator& locator) : locator_(locator) { root_.where = locator.at(-1, 0); }

  Value take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw ConfigError(locator_.at(mark), "a second document begins here; a job is one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    // The parser puts a value that is left out at the word after it: the key, or the list, is a better place.
    Position where = locator_.at(mark);
    if (!open_.empty() && open_.back().block_list) {
      where = open_.back().value.where;
    } else if (!open_.empty() && open_.back().has_key && open_.back().key_where.line != where.line) {
      where = open_.back().key_where;
    }
    add({.kind = Value::Kind::null, .where = where});
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_anchor(mark); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override { refuse_anchor(mark); }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, const std::string& text) override {
    check_tag(mark, tag);
    add({.kind = Value::Kind::scalar, .where = locator_.at(mark), .text = text, .quoted = tag == "!"});
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value style) override {
    open(mark, tag, Value::Kind::list);
    open_.back().block_list = style == YAML::EmitterStyle::Block;
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t, YAML::EmitterStyle::value) override {
    open(mark, tag, Value::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or map that has begun.
  struct Open {
    Value value;
    bool block_list = false;  // its items have lines of their own
    bool has_key = false;     // map: the key of the next value was read
    std::string key;
    Position key_where;
    std::map<std::string, Position> keys;
  };

  void open(const YAML::Mark& mark, const std::string& tag, Value::Kind kind) {
    check_tag(mark, tag);
    const Position where = locator_.at(mark);
    if (open_.size() == kMaxDepth) {
      throw ConfigError(where, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    open_.push_back({.value = {.kind = kind, .where = where}});
  }

  void close() {
    Value value = std::move(open_.back().value);
    open_.pop_back();
    add(std::move(value));
  }

  void add(Value value) {
    if (++values_ > kMaxValues) throw ConfigError(value.where, "more than 200000 values");
    if (open_.empty()) {
      root_ = std::move(value);
    } else if (open_.back().value.kind == Value::Kind::list) {
      open_.back().value.items.push_back(std::move(value));
    } else if (awaits_key()) {
      begin_entry(std::move(value));
    } else {
      Open& map = open_.back();
      map.value.entries.push_back({std::move(map.key), map.key_where, std::move(value)});
      map.has_key = false;
    }
  }

  void begin_entry(Value key) {
    if (key.kind != Value::Kind::scalar) throw ConfigError(key.where, "a key must be a word, not " + shown(key));
    Open& map = open_.back();
    const auto [first, is_new] = map.keys.emplace(key.text, key.where);
    if (!is_new) {
      const int line = first->second.line;
      throw ConfigError(key.where, shown(key.text) + " is given twice" +
                                       (line > 0 ? "; the first is at line " + std::to_string(line) : ""));
    }
    map.key = std::move(key.text);
    map.key_where = key.where;
    map.has_key = true;
  }

  bool awaits_key() const {
    return !open_.empty() && open_.back().value.kind == Value::Kind::map && !open_.back().has_key;
  }

  void check_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag != "?" && tag != "!" && !tag.empty()) throw ConfigError(locator_.at(mark), "tags are not supported");
  }

  [[noreturn]] void refuse_anchor(const YAML::Mark& mark) const {
    throw ConfigError(locator_.at(mark), "anchors and aliases (&a, *a) are not supported; write the value out");
  }

  const Locator& locator_;
  Value root_;
  std::vector<Open> open_;
  int documents_ = 0, values_ = 0;
};

// Bytes of the UTF-8 character at `i`, or 0 where there is none (RFC 3629).
std::size_t utf8_length(const std::string& text, std::size_t i) {
  const auto byte = [&](std::size_t k) -> unsigned {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0;
  };
  const auto follows = [&](std::size_t k, unsigned least = 0x80, unsigned most = 0xbf) {
    return byte(k) >= least && byte(k) <= most;
  };
  const unsigned lead = byte(i);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(i + 1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool second = follows(i + 1, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
    return second && follows(i + 2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool second = follows(i + 1, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return second && follows(i + 2) && follows(i + 3) ? 4 : 0;
  }
  return 0;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// The parser takes some control characters for the end of the text, and passes broken UTF-8 on.
void check_text(const std::string& text, const Locator& locator) {
  if (text.size() > kMaxTextBytes) throw ConfigError(locator.at(-1, 0), "larger than 4 MiB");
  int line = 0, column = 0;
  for (std::size_t i = 0; i < text.size(); ++column) {
    const char c = text[i];
    if (is_control(c) && c != '\t' && c != '\n' && c != '\r') {
      throw ConfigError(locator.at(line, column), "a control character stands here; a job is plain text");
    }
    const std::size_t length = utf8_length(text, i);
    if (length == 0) throw ConfigError(locator.at(line, column), "this is not UTF-8");
    i += length;
    if (c == '\n') {
      ++line;
      column = -1;
    }
  }
}

Value read(const std::string& text, const Locator& locator) {
  check_text(text, locator);
  TreeBuilder builder(locator);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw ConfigError(locator.at(error.mark), "this is not YAML: " + error.msg);
  }
  return builder.take();
}

}  // namespace

Value read_yaml(const std::string& text, const std::string& file) { return read(text, {{file, 0, 0}, false}); }

Value read_yaml_at(const std::string& text, const Position& where) { return read(text, {where, true}); }

std::string shown(const Value& value) {
  switch (value.kind) {
    case Value::Kind::null:
      return "nothing";
    case Value::Kind::scalar:
      return (value.quoted ? "the text " : "") + shown(value.text);
    case Value::Kind::list:
      return "a list";
    case Value::Kind::map:
      return "a map";
  }
  return "";
}

std::string shown(const std::string& text) {
  constexpr std::size_t kMost = 60;
  std::string line = "'";
  for (std::size_t i = 0; i < text.size();) {
    if (i >= kMost) return line + "...'";
    const std::size_t length = std::max<std::size_t>(1, utf8_length(text, i));
    line += length == 1 && (is_control(text[i]) || static_cast<unsigned char>(text[i]) >= 0x80)
                ? "?"
                : text.substr(i, length);
    i += length;
  }
  return line + "'";
}

bool has_control_character(const std::string& text) {
  for (const char c : text) {
    if (is_control(c)) return true;
  }
  return false;
}

std::string read_text_file(const std::string& path, const std::string& what) {
  std::error_code unknown;  // the file's own error says more
  if (std::filesystem::is_directory(path, unknown))
    throw ConfigError(path + ": this is a folder; " + what + " is a file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) throw ConfigError(path + ": cannot be read: " + std::strerror(errno));
  std::string text(kMaxTextBytes + 1, '\0');  // one more than read_yaml takes
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) throw ConfigError(path + ": cannot be read: " + std::strerror(errno));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

}  // namespace hadal
