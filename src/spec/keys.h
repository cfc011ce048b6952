#pragma once
// Tables of keys: each row reads one key of a map into its place in a T, writes it back, and says what it is. A new key
// of job.yaml is a row of a table (layer_keys.cc, network_keys.cc, job_keys.cc).
//
// `get` is anything that std::invoke turns from a T& into the place: a pointer to member, a lambda.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "spec/scalar.h"
#include "spec/schema.h"
#include "spec/value.h"

namespace hadal {

using Json = nlohmann::ordered_json;

inline constexpr const char* kRequired = "required";

template <class T>
struct Key {
  std::string name, type, fallback, meaning;
  // `path` is the key with the maps that it is in: "solver.epochs".
  std::function<void(const Value&, const std::string& path, T&)> read;
  std::function<std::optional<Json>(const T&)> write;  // nothing: leave the key out
  std::vector<KeyInfo> below;                          // of a map: its keys, named from here
  std::optional<std::string> not_yet;                  // known but refused: what to use instead
};

template <class T>
using Keys = std::vector<Key<T>>;

inline std::string join_path(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

// A row, and those below it, as the list of schema.h has them.
template <class T>
std::vector<KeyInfo> list_keys(const Keys<T>& keys, const std::string& path = "") {
  std::vector<KeyInfo> list;
  for (const Key<T>& key : keys) {
    if (key.not_yet) continue;
    list.push_back({join_path(path, key.name), key.type, key.fallback, key.meaning});
    for (const KeyInfo& info : key.below) {
      list.push_back({join_path(path, join_path(key.name, info.path)), info.type, info.fallback, info.meaning});
    }
  }
  return list;
}

template <class T>
const Key<T>* find_key(const Keys<T>& keys, const std::string& name) {
  for (const Key<T>& key : keys) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

template <class T>
std::vector<std::string> names_of(const Keys<T>& keys) {
  std::vector<std::string> names;
  for (const Key<T>& key : keys) names.push_back(key.name);
  return names;
}

// Reads a map; one with nothing in it (`checkpoint:`) is empty. `file` is what a map without a path is called.
template <class T>
void read_map(const Value& value, const std::string& path, const Keys<T>& keys, T& into,
              const std::string& file = "job.yaml") {
  const std::string& name = path.empty() ? file : path;
  if (value.kind != Value::Kind::map && value.kind != Value::Kind::null) {
    throw ConfigError(value.where, name + " must be a map, not " + shown(value));
  }
  for (const Entry& entry : value.entries) {
    const Key<T>* key = find_key(keys, entry.key);
    if (!key) {
      throw ConfigError(entry.where, name + (path.empty() ? " has no key " : " has no option ") + shown(entry.key) +
                                         did_you_mean(entry.key, names_of(keys)));
    }
    key->read(entry.value, join_path(path, key->name), into);
  }
  for (const Key<T>& key : keys) {
    const bool given = std::any_of(value.entries.begin(), value.entries.end(),
                                   [&](const Entry& entry) { return entry.key == key.name; });
    if (!given && key.fallback == kRequired) {
      throw ConfigError(value.where, name + " needs '" + key.name + "'");
    }
  }
}

// Of alternatives, each row writes only where `from` holds it.
template <class T>
Json write_map(const Keys<T>& keys, const T& from) {
  Json map = Json::object();
  for (const Key<T>& key : keys) {
    if (std::optional<Json> value = key.write ? key.write(from) : std::nullopt) map[key.name] = std::move(*value);
  }
  return map;
}

// Reads a map with exactly one key, or that key alone as a word. `noun` names the alternatives ("layer"). Returns the
// position of the word.
template <class T>
Position read_one_of(const Value& value, const std::string& path, const std::string& noun, const Keys<T>& alternatives,
                     T& into) {
  const Value nothing{.kind = Value::Kind::null, .where = value.where};
  Entry chosen{value.text, value.where, nothing};
  if (value.kind == Value::Kind::map && value.entries.size() == 1) {
    chosen = value.entries[0];
  } else if (value.kind == Value::Kind::map && value.entries.size() > 1) {
    throw ConfigError(value.entries[1].where, "a " + noun + " has one key, and its options inside; here are " +
                                                  shown(value.entries[0].key) + " and " + shown(value.entries[1].key));
  } else if (value.kind != Value::Kind::scalar) {
    throw ConfigError(value.where, path + " needs a " + noun + ", not " +
                                       (value.kind == Value::Kind::map ? "an empty map" : shown(value)));
  }
  const Key<T>* key = find_key(alternatives, chosen.key);
  if (!key) {
    const std::string hint = did_you_mean(chosen.key, names_of(alternatives));
    throw ConfigError(chosen.where, "there is no " + noun + " " + shown(chosen.key) + hint);
  }
  if (key->not_yet) refuse_not_yet(chosen.where, noun + " " + key->name, *key->not_yet);
  key->read(chosen.value, join_path(path, key->name), into);
  return chosen.where;
}

// The shortest text of a number, as a number of JSON: 1 rather than 1.0.
template <class Real>
Json number_json(Real number) {
  if (number == std::floor(number) && std::abs(number) < Real(1e9)) return static_cast<std::int64_t>(number);
  char text[40];
  *std::to_chars(text, text + sizeof(text) - 1, number).ptr = '\0';
  double value = 0;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

// Rows of one kind each. The last two arguments are the text of the default, and the meaning.

template <class T, class Get>
Key<T> whole(std::string name, Get get, WholeRange range, std::string fallback, std::string meaning) {
  return {std::move(name),
          describe(range),
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, T& into) {
            auto& place = std::invoke(get, into);
            place = static_cast<std::remove_reference_t<decltype(place)>>(read_whole(value, path, range));
          },
          [=](const T& from) { return Json(std::invoke(get, from)); }};
}

template <class T, class Get>
Key<T> real(std::string name, Get get, RealRange range, std::string fallback, std::string meaning) {
  return {std::move(name),
          describe(range),
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, T& into) {
            auto& place = std::invoke(get, into);
            if constexpr (std::is_same_v<decltype(place), float&>) {
              place = read_float(value, path, range);
            } else {
              place = read_double(value, path, range);
            }
          },
          [=](const T& from) { return number_json(std::invoke(get, from)); }};
}

template <class T, class Get>
Key<T> boolean(std::string name, Get get, std::string fallback, std::string meaning) {
  return {
      std::move(name),
      "true or false",
      std::move(fallback),
      std::move(meaning),
      [=](const Value& value, const std::string& path, T& into) { std::invoke(get, into) = read_bool(value, path); },
      [=](const T& from) { return Json(std::invoke(get, from)); }};
}

template <class T, class Get>
Key<T> text(std::string name, Get get, std::string type, std::string fallback, std::string meaning) {
  return {
      std::move(name),
      std::move(type),
      std::move(fallback),
      std::move(meaning),
      [=](const Value& value, const std::string& path, T& into) { std::invoke(get, into) = read_text(value, path); },
      [=](const T& from) { return Json(std::invoke(get, from)); }};
}

template <class Enum>
struct Choice {
  std::string word;
  Enum value;
  bool yet = true;  // false: known to the language, refused by this version
};

template <class T, class Enum, class Get>
Key<T> choice(std::string name, Get get, std::vector<Choice<Enum>> choices, std::string fallback, std::string meaning) {
  std::vector<std::string> words, runs;
  for (const Choice<Enum>& c : choices) {
    words.push_back(c.word);
    if (c.yet) runs.push_back(c.word);
  }
  return {std::move(name),
          join_or(runs),
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, T& into) {
            const Choice<Enum>& chosen = choices[read_choice(value, path, words)];
            if (!chosen.yet) refuse_not_yet(value.where, path + " " + chosen.word, join_or(runs));
            std::invoke(get, into) = chosen.value;
          },
          [=](const T& from) -> std::optional<Json> {
            for (const Choice<Enum>& c : choices) {
              if (c.value == std::invoke(get, from)) return c.word;
            }
            return std::nullopt;
          }};
}

// A key that this version gives one value only; `words` are those the language knows, the first is the one.
template <class T>
Key<T> only(std::string name, std::vector<std::string> words, std::string meaning) {
  return {std::move(name),
          words[0],
          words[0],
          std::move(meaning),
          [=](const Value& value, const std::string& path, T&) {
            if (read_choice(value, path, words) != 0) refuse_not_yet(value.where, path + " " + value.text, words[0]);
          },
          [=](const T&) { return Json(words[0]); }};
}

// A whole number that must be 1 in this version.
template <class T, class Get>
Key<T> only_one(std::string name, Get get, WholeRange range, std::string meaning) {
  Key<T> key = whole<T>(std::move(name), get, range, "1", std::move(meaning));
  key.type = "1";
  key.read = [=, read = std::move(key.read)](const Value& value, const std::string& path, T& into) {
    read(value, path, into);
    if (std::invoke(get, into) != 1) refuse_not_yet(value.where, path + " " + value.text, "1");
  };
  return key;
}

// A map of keys of its own. A place with a member `where` keeps the map's position there.
template <class T, class S, class Get>
Key<T> section(std::string name, Get get, Keys<S> keys, std::string fallback, std::string meaning) {
  std::vector<KeyInfo> below = list_keys(keys);
  return {std::move(name),
          "map",
          std::move(fallback),
          std::move(meaning),
          [=](const Value& value, const std::string& path, T& into) {
            S& place = std::invoke(get, into);
            if constexpr (requires { place.where; }) place.where = value.where;
            read_map(value, path, keys, place);
          },
          [=](const T& from) { return write_map<S>(keys, std::invoke(get, from)); },
          std::move(below)};
}

// The same row, which also keeps the value's position.
template <class T>
Key<T> at(Position T::*where, Key<T> key) {
  key.read = [where, read = std::move(key.read)](const Value& value, const std::string& path, T& into) {
    into.*where = value.where;
    read(value, path, into);
  };
  return key;
}

// A row of an alternative that the language has and this version refuses.
template <class T>
Key<T> not_yet(std::string name, std::string use_instead) {
  return {.name = std::move(name),
          .type = "",
          .fallback = "",
          .meaning = "",
          .read = {},
          .write = {},
          .below = {},
          .not_yet = std::move(use_instead)};
}

}  // namespace hadal
