#pragma once
// Single words of a job: numbers in their ranges, texts, choices. All throw ConfigError at the value; `name` is the key
// in the message ("solver.epochs").

#include <cstdint>
#include <string>
#include <vector>

#include "spec/value.h"

namespace hadal {

struct WholeRange {
  std::uint64_t least = 0, most = 0;
};

struct RealRange {
  double least = 0, most = 0;
  bool above_least = false, below_most = false;  // that bound itself is outside; one of them at most
};

std::string describe(const WholeRange& range);  // "whole number from 1 to 1024"
std::string describe(const RealRange& range);   // "number from 0 to below 1"

// Decimal, without sign, leading zeros, point or exponent.
std::uint64_t read_whole(const Value& value, const std::string& name, const WholeRange& range);

// Decimal. Rounded once, to the type that is read; never NaN, infinite or -0.
double read_double(const Value& value, const std::string& name, const RealRange& range);
float read_float(const Value& value, const std::string& name, const RealRange& range);

// Bytes: "900 MB", "1.5GB", "2 GiB"; 1 MB is 1,000,000 bytes. At least 1.
std::uint64_t read_size(const Value& value, const std::string& name);
std::string size_text(std::uint64_t bytes);  // as read_size() reads it, exact

bool is_number(const Value& value);

bool read_bool(const Value& value, const std::string& name);

// Not empty, no control characters.
std::string read_text(const Value& value, const std::string& name);

// "a, b or c".
std::string join_or(const std::vector<std::string>& words);

// "; did you mean 'kernel'?", or nothing where no known word is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& known);

// The index in `known` of the word that `value` is.
std::size_t read_choice(const Value& value, const std::string& name, const std::vector<std::string>& known);

// What the language has and this version does not run.
[[noreturn]] void refuse_not_yet(const Position& where, const std::string& what, const std::string& use_instead);

}  // namespace hadal
