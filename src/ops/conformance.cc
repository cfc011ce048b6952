#include "ops/conformance.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/random.h"
#include "ops/arguments.h"
#include "ops/in_fp32.h"
#include "tensor/bf16.h"

namespace hadal {

namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::byte kUntouched{
    0xFF};  // fills results, guards and scratch before a run; as fp32 a NaN that no kernel makes
constexpr std::chrono::seconds kDeadline{60};
constexpr double kRounding = 0x1p-24;     // the largest relative error of one fp32 operation
constexpr double kBf16Rounding = 0x1p-8;  // ... and of rounding to bf16

using Bytes = std::vector<std::byte>;

template <class T>
T element(const Bytes& bytes, std::size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void set_element(Bytes& bytes, std::size_t i, T value) {
  std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
}

// ---- inputs

float number(Numbers kind, const RandomSequence& random, std::uint64_t i) {
  switch (kind) {
    case Numbers::normal:
      return random.normal(i);
    case Numbers::ties:
      return static_cast<float>(random.below(i, 5)) - 2;
    case Numbers::huge:
      return random.normal(i) * 2e4f;
    case Numbers::nans:
      return random.below(i + (1u << 20), 8) == 0 ? std::numeric_limits<float>::quiet_NaN() : random.normal(i);
  }
  return 0;
}

// What an activation can have given.
float activation_result(ActivationKind kind, float normal) {
  switch (kind) {
    case ActivationKind::relu:
      return normal > 0 ? normal : 0;
    case ActivationKind::sigmoid:
      return 1 / (1 + std::exp(-normal));
    case ActivationKind::tanh:
      return std::tanh(normal);
  }
  return 0;
}

// How many classes labels may have: where these are divided, more than the part does.
std::int64_t labels(const Op& op) {
  if (const auto* sums = std::get_if<SoftmaxSums>(&op)) return sums->first_class + sums->classes + 3;
  if (const auto* part = std::get_if<SoftmaxCrossEntropyPart>(&op)) return part->first_class + part->classes + 3;
  return std::get<SoftmaxCrossEntropy>(op).classes;
}

// Of some classes: a maximum above all logits, the sum of exponentials, the label's logit or 0.
float softmax_sum(Numbers kind, const RandomSequence& random, std::uint64_t i) {
  const std::uint64_t part = i / kSoftmaxSums, which = i % kSoftmaxSums;
  if (which == 0) return (kind == Numbers::huge ? 1e5f : 6.0f) + std::abs(number(kind, random, part));
  return which == 1 ? 1 + random.uniform(i) : part % 3 == 0 ? number(kind, random, i) : 0;
}

Bytes make_input(const ConformanceCase& which, const OpArgument& argument, std::uint32_t index) {
  const RandomSequence random(1, RandomUse::self_test, index);
  const auto* activation = std::get_if<ActivationBackward>(&which.op);
  Bytes bytes(argument.bytes());
  for (std::size_t i = 0; i < static_cast<std::size_t>(argument.elements); ++i) {
    if (argument.name == "labels") {
      set_element(bytes, i, static_cast<std::int32_t>(random.below(i, static_cast<std::uint64_t>(labels(which.op)))));
    } else if (argument.name == "before") {
      set_element(bytes, i, static_cast<std::int32_t>(random.below(i, 500)));
    } else if (argument.name == "sums" && argument.type == DType::f32) {
      set_element(bytes, i, softmax_sum(which.numbers, random, i));
    } else if (argument.name == "squares" && argument.type == DType::f64) {
      set_element(bytes, i, double{random.uniform(i)} * 10);
    } else if (argument.type == DType::f64) {
      // Sums of elements and of their squares, of more elements than any case has.
      const auto* statistics = std::get_if<BatchNormStatistics>(&which.op);
      const auto channels = static_cast<std::size_t>(statistics ? statistics->shape.channels : 1);
      const bool squares = statistics && i / channels % 2 == 1;
      set_element(bytes, i, 100 * (squares ? 2 + double{random.uniform(i)} : double{random.normal(i)}));
    } else if (argument.name.ends_with("squares") || argument.name.ends_with("variance") || argument.name == "scale") {
      set_element(bytes, i, random.uniform(i));
    } else {
      const float value = argument.name == "destination" ? activation_result(activation->kind, random.normal(i))
                                                         : number(which.numbers, random, i);
      if (argument.type == DType::bf16) {
        set_element(bytes, i, Bf16(value));
      } else {
        set_element(bytes, i, value);
      }
    }
  }
  return bytes;
}

// ---- runs

// A kernel with its addresses on a device.
class BoundKernel final : public Work {
 public:
  BoundKernel(Kernel& kernel, std::vector<std::byte*> pointers, std::byte* scratch, std::byte* arena, std::size_t bytes)
      : kernel_(kernel), pointers_(std::move(pointers)), scratch_(scratch), arena_{arena, bytes} {}

  void run(const StepValues& values) override { kernel_.run(pointers_, scratch_, values); }
  std::span<const Argument> arguments() const override { return {&arena_, 1}; }

 private:
  Kernel& kernel_;
  std::vector<std::byte*> pointers_;
  std::byte* scratch_;
  Argument arena_;
};

void run_on(Device& device, Work& work) {
  Program program;
  program.items.push_back({.kind = Item::Kind::run, .step = 0, .work = &work, .copy = {}, .event = nullptr});
  StepValues values;
  values.round = 1;
  values.step = 7;
  values.rate = 0.05f;
  Abort abort;
  Stream& stream = device.stream(StreamKind::compute);
  stream.submit(program, values, Clock::now() + kDeadline, abort, {});
  stream.synchronize();
}

// Where the arguments and the scratch of one run lie: each is aligned, and followed by a guard.
struct Arena {
  std::vector<std::size_t> offsets;
  std::size_t scratch = 0, bytes = kAlignment;

  Arena(const std::vector<OpArgument>& arguments, std::size_t scratch_bytes) {
    for (const OpArgument& argument : arguments) offsets.push_back(place(argument.bytes()));
    scratch = place(scratch_bytes);
  }

 private:
  std::size_t place(std::size_t size) {
    const std::size_t offset = bytes;
    bytes = (offset + size + kAlignment - 1) / kAlignment * kAlignment + kAlignment;
    return offset;
  }
};

struct Run {
  std::vector<Bytes> arrays;  // all arguments after the run
  std::string implementation;
  std::string problem;  // what the kernel did besides writing its results
};

// Whether something outside the arguments and the scratch was written.
bool guards_touched(const Arena& arena, const std::vector<OpArgument>& arguments, std::size_t scratch_bytes,
                    Bytes image) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(arena.offsets[i]), arguments[i].bytes(), kUntouched);
  }
  std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(arena.scratch), scratch_bytes, kUntouched);
  return std::any_of(image.begin(), image.end(), [](std::byte b) { return b != kUntouched; });
}

// `inputs`: an array for each argument; those of results are empty.
Run run_kernel(Backend& backend, Device& device, const Op& op, const std::vector<Bytes>& inputs) {
  const std::vector<OpArgument> arguments = arguments_of(op);
  const std::unique_ptr<Kernel> kernel = backend.bind(op, device.threads());
  const Arena arena(arguments, kernel->scratch_bytes());

  Bytes image(arena.bytes, kUntouched);
  std::byte* base = device.allocate(arena.bytes);
  std::vector<std::byte*> pointers;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::copy(inputs[i].begin(), inputs[i].end(), image.begin() + static_cast<std::ptrdiff_t>(arena.offsets[i]));
    pointers.push_back(base + arena.offsets[i]);
  }
  device.upload(base, image.data(), image.size());
  BoundKernel work(*kernel, pointers, base + arena.scratch, base, arena.bytes);
  run_on(device, work);
  device.download(image.data(), base, image.size());

  Run run;
  run.implementation = kernel->implementation();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const auto begin = image.begin() + static_cast<std::ptrdiff_t>(arena.offsets[i]);
    run.arrays.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(arguments[i].bytes()));
    if (arguments[i].access == Access::read && run.arrays[i] != inputs[i]) {
      run.problem = fmt::format("changes its input {}", arguments[i].name);
    }
  }
  if (guards_touched(arena, arguments, kernel->scratch_bytes(), image)) run.problem = "writes beside its arguments";
  return run;
}

// Inputs of `which`. A workspace is what the forward pass of the same backend leaves, and so belongs to one backend.
std::vector<Bytes> make_inputs(const ConformanceCase& which, Backend& backend, Device& device) {
  const std::vector<OpArgument> arguments = arguments_of(which.op);
  std::vector<Bytes> inputs(arguments.size());
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].access == Access::write) continue;
    if (arguments[i].name != "workspace") {
      inputs[i] = make_input(which, arguments[i], static_cast<std::uint32_t>(i));
      continue;
    }
    const auto& backward = std::get<PoolBackward>(which.op);
    const Op forward = PoolForward{.shape = backward.shape,
                                   .rows = backward.rows,
                                   .source = backward.source,
                                   .destination = backward.destination,
                                   .training = true,
                                   .type = backward.type};
    const ConformanceCase before{which.name, forward, which.numbers};
    inputs[i] = run_kernel(backend, device, forward, make_inputs(before, backend, device)).arrays.back();
  }
  return inputs;
}

// ---- comparison

template <class T>
bool untouched(const Bytes& bytes, std::size_t i) {
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(i * sizeof(T));
  return std::all_of(begin, begin + sizeof(T), [](std::byte b) { return b == kUntouched; });
}

template <class T>
double number_of(T value) {
  return static_cast<double>(value);
}
double number_of(Bf16 value) { return static_cast<double>(static_cast<float>(value)); }

template <class T>
double root_mean_square(const Bytes& bytes) {
  double sum = 0, count = 0;
  for (std::size_t i = 0; i < bytes.size() / sizeof(T); ++i) {
    const double value = number_of(element<T>(bytes, i));
    if (!std::isfinite(value)) continue;
    sum += value * value;
    ++count;
  }
  return count > 0 ? std::sqrt(sum / count) : 0;
}

double relative_error(double actual, double expected, double scale) {
  if (actual == expected || (std::isnan(actual) && std::isnan(expected))) return 0;
  const double error = std::abs(actual - expected) / std::max(std::abs(expected), scale);
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

// One result: its bytes, of the type it has, beside those of the reference, which may be fp32 where it is bf16.
template <class T, class Expected = T>
void compare(const std::string& name, const Bytes& actual, const Bytes& expected, double tolerance,
             ConformanceResult& result) {
  const double scale = root_mean_square<Expected>(expected);
  for (std::size_t i = 0; i < expected.size() / sizeof(Expected); ++i) {
    if (untouched<T>(actual, i) || untouched<Expected>(expected, i)) {
      result.problem = fmt::format("does not write element {} of {}", i, name);
      return;
    }
    const double got = number_of(element<T>(actual, i));
    double want = number_of(element<Expected>(expected, i));
    if constexpr (!std::is_same_v<T, Expected>) {
      if (tolerance == 0) want = number_of(Bf16(element<Expected>(expected, i)));
    }
    const double error = relative_error(got, want, scale);
    if (error > tolerance && error > result.error) {
      result.problem = fmt::format("element {} of {} is {:.9g} instead of {:.9g}", i, name, got, want);
    }
    result.error = std::max(result.error, error);
  }
}

// `wide`: the operator that the reference ran, in fp32.
void compare_results(const Op& op, const Op& wide, const Run& actual, const Run& expected, ConformanceResult& result) {
  const std::vector<OpArgument> arguments = arguments_of(op), wide_arguments = arguments_of(wide);
  const double tolerance = result.tolerance;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const OpArgument& argument = arguments[i];
    const Bytes &got = actual.arrays[i], &want = expected.arrays[i];
    if (argument.access == Access::read || argument.name == "workspace") continue;
    if (argument.type == DType::f64) {
      compare<double>(argument.name, got, want, tolerance, result);
    } else if (argument.type == DType::i32) {
      compare<std::int32_t>(argument.name, got, want, tolerance, result);
    } else if (argument.type == DType::f32) {
      compare<float>(argument.name, got, want, tolerance, result);
    } else if (wide_arguments[i].type == DType::f32) {
      compare<Bf16, float>(argument.name, got, want, tolerance == 0 ? 0 : tolerance + kBf16Rounding, result);
    } else {
      compare<Bf16>(argument.name, got, want, tolerance == 0 ? 0 : tolerance + 2 * kBf16Rounding, result);
    }
  }
}

// The inputs of `op` as in_fp32(op) takes them.
std::vector<Bytes> widen(const Op& op, std::vector<Bytes> inputs) {
  const std::vector<OpArgument> arguments = arguments_of(op), wide = arguments_of(in_fp32(op));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (arguments[i].type == wide[i].type || arguments[i].access == Access::write) continue;
    Bytes numbers(wide[i].bytes());
    for (std::size_t e = 0; e < numbers.size() / sizeof(float); ++e) {
      set_element(numbers, e, static_cast<float>(element<Bf16>(inputs[i], e)));
    }
    inputs[i] = std::move(numbers);
  }
  return inputs;
}

// ---- tolerance

// Of `terms` products added in fp32 in whatever order: rounding errors add up like a random walk.
double sum_tolerance(std::int64_t terms) { return kRounding * (8 + 4 * std::sqrt(static_cast<double>(terms))); }

struct Tolerance {
  double operator()(const ConvForward& o) const {
    return sum_tolerance(o.shape.channels / o.shape.groups * o.shape.kernel.area());
  }
  double operator()(const ConvBackwardData& o) const {
    return sum_tolerance(o.shape.out / o.shape.groups * o.shape.kernel.area());
  }
  double operator()(const ConvBackwardWeights& o) const {
    return sum_tolerance(o.rows.count * o.shape.out_height() * o.shape.out_width());
  }
  double operator()(const PoolForward& o) const {
    return o.shape.kind == PoolKind::max ? 0 : sum_tolerance(o.shape.kernel.area());
  }
  double operator()(const PoolBackward& o) const { return sum_tolerance(o.shape.kernel.area()); }
  double operator()(const LrnForward& o) const { return sum_tolerance(o.shape.options.size) + 32 * kRounding; }
  double operator()(const LrnBackward& o) const { return 2 * sum_tolerance(o.shape.options.size) + 64 * kRounding; }
  double operator()(const BatchNormSums&) const { return kRounding; }
  // The variance loses digits where the mean is large; in the cases it is not.
  double operator()(const BatchNormStatistics&) const { return 4 * kRounding; }
  double operator()(const BatchNormForward&) const { return 16 * kRounding; }
  double operator()(const BatchNormBackwardSums&) const { return 16 * kRounding; }
  double operator()(const BatchNormBackwardWeights&) const { return 4 * kRounding; }
  double operator()(const BatchNormBackwardData&) const { return 32 * kRounding; }
  double operator()(const ActivationForward& o) const { return o.kind == ActivationKind::relu ? 0 : 16 * kRounding; }
  double operator()(const ActivationBackward& o) const { return o.kind == ActivationKind::relu ? 0 : 8 * kRounding; }
  double operator()(const Dropout&) const { return 4 * kRounding; }
  double operator()(const FullyConnectedForward& o) const { return sum_tolerance(o.in); }
  double operator()(const FullyConnectedBackwardData& o) const { return sum_tolerance(o.out); }
  double operator()(const FullyConnectedBackwardWeights& o) const { return sum_tolerance(o.rows.count); }
  double operator()(const FullyConnectedUpdate& o) const { return sum_tolerance(o.gradient.rows.count); }
  double operator()(const SoftmaxCrossEntropy& o) const { return sum_tolerance(o.classes) + 16 * kRounding; }
  double operator()(const SoftmaxSums& o) const { return sum_tolerance(o.classes) + 16 * kRounding; }
  double operator()(const SoftmaxCrossEntropyPart&) const { return sum_tolerance(1) + 16 * kRounding; }
  double operator()(const Softmax& o) const { return sum_tolerance(o.classes) + 16 * kRounding; }
  template <class Exact>  // ConcatForward, ConcatBackward, Add, LabelRank, SumParts, Update, SquaredNorms, ClipScale
  double operator()(const Exact&) const {
    return 0;
  }
};

// Winograd's algorithm in bf16 rounds what it multiplies (ops/cpu/conv_winograd.cc): each product is wrong by up to two
// roundings more, and of a million sums the worst by about six times the root of the mean square.
double points_tolerance(const std::string& implementation) {
  const bool rounds = implementation.starts_with("winograd") && implementation.ends_with("bf16");
  return rounds ? 7 * kBf16Rounding : 0;
}

}  // namespace

double conformance_tolerance(const Op& op) { return std::visit(Tolerance{}, op); }

ConformanceResult check_conformance(const ConformanceCase& which, Backend& backend, Backend& reference,
                                    Device& device) {
  ConformanceResult result;
  result.name = which.name;
  result.op = op_name(which.op);
  result.tolerance = conformance_tolerance(which.op);
  try {
    const Op wide = in_fp32(which.op);
    const Run expected = run_kernel(reference, device, wide, widen(which.op, make_inputs(which, reference, device)));
    const Run actual = run_kernel(backend, device, which.op, make_inputs(which, backend, device));
    result.implementation = actual.implementation;
    result.tolerance += points_tolerance(actual.implementation);
    compare_results(which.op, wide, actual, expected, result);
    if (result.problem.empty()) result.problem = actual.problem;
  } catch (const std::exception& error) {
    result.problem = error.what();
  }
  result.ok = result.problem.empty();
  return result;
}

}  // namespace hadal
