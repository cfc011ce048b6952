#pragma once
// For tests: runs operators over arrays that are found by the name of the argument (ops/arguments.h).

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ops/arguments.h"
#include "ops/reference/loops.h"

namespace hadal::reference {

inline Rows all(std::int64_t count) { return {.first = 0, .count = count, .units = {}}; }

// The second and later arguments of one name are "source 2", "source 3", ...
inline std::vector<std::string> argument_names(const Op& op) {
  std::map<std::string, int> seen;
  std::vector<std::string> names;
  for (const OpArgument& argument : arguments_of(op)) {
    const int count = ++seen[argument.name];
    names.push_back(count == 1 ? argument.name : argument.name + " " + std::to_string(count));
  }
  return names;
}

template <class Real>
struct NamedArrays {
  std::map<std::string, std::vector<Real>> numbers;
  std::map<std::string, std::vector<std::int32_t>> integers;
  std::map<std::string, std::vector<double>> doubles;

  std::vector<Real>& operator[](const std::string& name) { return numbers[name]; }

  // Makes the arrays that `op` writes where they are missing; what it reads must be here in the right size.
  void run(const Op& op, const StepValues& values = {}) {
    const std::vector<OpArgument> arguments = arguments_of(op);
    const std::vector<std::string> names = argument_names(op);
    std::vector<std::byte*> pointers;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].type == DType::i32) {
        pointers.push_back(place(integers[names[i]], arguments[i]));
      } else if (arguments[i].type == DType::f64) {
        pointers.push_back(place(doubles[names[i]], arguments[i]));
      } else {
        pointers.push_back(place(numbers[names[i]], arguments[i]));
      }
    }
    run_any<Real>(op, {pointers, values});
  }

 private:
  template <class T>
  static std::byte* place(std::vector<T>& array, const OpArgument& argument) {
    const auto size = static_cast<std::size_t>(argument.elements);
    if (argument.access == Access::write) array.resize(size);
    HADAL_CHECK(array.size() == size);
    return reinterpret_cast<std::byte*>(array.data());
  }
};

}  // namespace hadal::reference
