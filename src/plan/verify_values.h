#pragma once
// Which step of a plan gives the values and diffs that the kernels of a layer should take. Internal to src/plan.

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "nn/network.h"
#include "plan/plan.h"

namespace hadal {

// What a kernel takes of a layer: the value of an input, the layer's own value, or the diff of it.
struct ValueUse {
  enum class What { input, own, diff };
  Range range;
  What what = What::input;
  std::size_t input = 0;
};

// Of a kernel of a layer, what it reads, or overwrites, of values and diffs. Products of factors are left out.
std::vector<ValueUse> values_used(const Plan& plan, const Network& network, const Step& step);

class ValueSources {
 public:
  ValueSources(const Plan& plan, const Network& network);

  // Whether the step of this name gives what is used by a kernel of `layer`.
  bool gives(const std::string& step, int layer, const ValueUse& use) const;

 private:
  bool is_view(const Layer& layer) const;
  std::string value_of(int layer) const;

  const Plan& plan_;
  const Network& network_;
  std::vector<std::set<std::string>> diffs_;  // by layer: steps that may give the diff of its value
};

}  // namespace hadal
