#pragma once
// Runs operators on arrays of a test.

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "nn/op.h"
#include "ops/arguments.h"
#include "ops/backend.h"
#include "tensor/bf16.h"

namespace hadal {

// One array for each argument of an operator: fp32 and bf16 numbers as floats, others as words of 4 bytes.
using Arrays = std::vector<std::vector<float>>;

inline std::vector<DType> types_of(const Op& op) {
  std::vector<DType> types;
  for (const OpArgument& argument : arguments_of(op)) types.push_back(argument.type);
  return types;
}

// Pseudo-random inputs (labels are class 0), and outputs of NaN.
inline Arrays make_arrays(const Op& op) {
  Arrays arrays;
  for (const OpArgument& argument : arguments_of(op)) {
    const RandomSequence random(5, RandomUse::self_test, static_cast<std::uint32_t>(arrays.size()));
    std::vector<float> array(static_cast<std::size_t>(argument.elements), std::numeric_limits<float>::quiet_NaN());
    PhiloxCounter four{};
    for (std::size_t i = 0; i < array.size() && argument.access != Access::write; ++i) {
      if (i % 4 == 0) four = random.bits(static_cast<std::uint32_t>(i / 4), 0, 0);
      const float number = static_cast<float>(four[i % 4] >> 8) * 0x1p-23f - 1;
      if (argument.type == DType::f32) array[i] = number;
      if (argument.type == DType::bf16) array[i] = static_cast<float>(Bf16(number));
      if (argument.type == DType::i32) array[i] = 0;
    }
    arrays.push_back(std::move(array));
  }
  return arrays;
}

// Runs a kernel on copies of `arrays`, whose types are those of `op`, and gives them back. Each argument lies `shift`
// elements past a page.
inline void run_kernel(Kernel& kernel, const std::vector<DType>& types, Arrays& arrays, int threads = 1,
                       std::size_t shift = 0) {
  std::vector<Buffer> buffers;
  std::vector<std::byte*> arguments;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    buffers.emplace_back((arrays[i].size() + shift) * size_of(types[i]) + 1);
    arguments.push_back(buffers.back().data() + shift * size_of(types[i]));
    if (types[i] == DType::bf16) {
      std::transform(arrays[i].begin(), arrays[i].end(), reinterpret_cast<Bf16*>(arguments.back()),
                     [](float number) { return Bf16(number); });
    } else {
      std::copy(arrays[i].begin(), arrays[i].end(), reinterpret_cast<float*>(arguments.back()));
    }
  }
  const Buffer scratch(kernel.scratch_bytes());
  omp_set_num_threads(threads);
  kernel.run(arguments, scratch.data(), {.round = 1, .step = 3, .rate = 0.1f, .batch = nullptr});
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    if (types[i] == DType::bf16) {
      const auto* numbers = reinterpret_cast<const Bf16*>(arguments[i]);
      std::transform(numbers, numbers + arrays[i].size(), arrays[i].begin(),
                     [](Bf16 number) { return static_cast<float>(number); });
    } else {
      std::copy_n(reinterpret_cast<const float*>(arguments[i]), arrays[i].size(), arrays[i].begin());
    }
  }
}

inline Arrays run_op(Backend& backend, const Op& op, int threads = 1, std::size_t shift = 0) {
  Arrays arrays = make_arrays(op);
  run_kernel(*backend.bind(op, threads), types_of(op), arrays, threads, shift);
  return arrays;
}

// Whether floats [first, first + part.size()) of `whole` are `part`, bit for bit.
inline testing::AssertionResult holds_bits(const std::vector<float>& whole, std::size_t first,
                                           const std::vector<float>& part) {
  const std::span<const float> expected = std::span(whole).subspan(first, part.size());
  if (part.empty() || std::memcmp(expected.data(), part.data(), part.size() * sizeof(float)) == 0) {
    return testing::AssertionSuccess();
  }
  std::size_t i = 0;
  while (std::memcmp(&expected[i], &part[i], sizeof(float)) == 0) ++i;
  return testing::AssertionFailure() << "element " << first + i << ": " << expected[i] << " and " << part[i];
}

}  // namespace hadal
