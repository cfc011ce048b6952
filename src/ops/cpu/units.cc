#include "ops/cpu/units.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/random.h"
#include "device/device.h"
#include "tensor/bf16.h"

namespace hadal {

namespace {

class UnitByUnit : public Kernel {
 public:
  explicit UnitByUnit(const PieceRequest& request) : operands_(request.operands), moved_(request.operands.size()) {
    std::int64_t first = 0;
    for (const std::int64_t size : request.units) {
      if (size == 0) continue;
      std::unique_ptr<Kernel>& kernel = kernels_[size];
      if (!kernel) kernel = request.bind_unit(size);
      units_.push_back({first, kernel.get()});
      first += size;
    }
  }

  void run(std::span<std::byte* const> arguments, std::byte* scratch, const StepValues& values) override {
    for (const Unit& unit : units_) {
      for (std::size_t i = 0; i < moved_.size(); ++i) {
        moved_[i] = arguments[i] +
                    static_cast<std::size_t>(unit.first * operands_[i].piece_elements) * size_of(operands_[i].type);
      }
      unit.kernel->run(moved_, scratch, values);
    }
  }

  std::size_t scratch_bytes() const override {
    std::size_t bytes = 0;
    for (const auto& [size, kernel] : kernels_) bytes = std::max(bytes, kernel->scratch_bytes());
    return bytes;
  }

  std::string implementation() const override {
    return units_.empty() ? "nothing" : units_[0].kernel->implementation() + ", unit by unit";
  }

 private:
  struct Unit {
    std::int64_t first;
    Kernel* kernel;
  };
  std::vector<PieceOperand> operands_;
  std::map<std::int64_t, std::unique_ptr<Kernel>> kernels_;
  std::vector<Unit> units_;
  std::vector<std::byte*> moved_;
};

// Numbers that repeat with a prime period: as good as random ones, and cheap for weights of any size. Their exponents
// spread: sums of a few products of bf16 numbers of one size would be exact in fp32, whatever their order.
template <class T>
void fill(std::byte* data, std::int64_t count, std::uint32_t operand) {
  constexpr std::int64_t kPeriod = 4099;
  std::array<T, kPeriod + 1> numbers;
  const RandomSequence random(0, RandomUse::self_test, operand);
  for (std::int64_t i = 0; i < std::min(count, kPeriod); i += 2) {
    const PhiloxCounter words = random.bits(static_cast<std::uint32_t>(i / 2), 0, 0);
    for (std::size_t j = 0; j < 2; ++j) {
      const float number = static_cast<float>(words[2 * j] >> 8) * 0x1p-24f - 0.5f;
      numbers[static_cast<std::size_t>(i) + j] =
          static_cast<T>(number * static_cast<float>(1u << (words[2 * j + 1] >> 29)));
    }
  }
  for (std::int64_t i = 0; i < count; i += kPeriod) {
    const auto length = static_cast<std::size_t>(std::min(count - i, kPeriod));
    std::memcpy(data + static_cast<std::size_t>(i) * sizeof(T), numbers.data(), length * sizeof(T));
  }
}

// How the terms of sums are made to cancel (PieceOperand): not at all; term i and term half + i; term i and the one as
// far from the end. Any one of them may hide how two orders differ.
enum class Cancel { none, halves, mirrored };

template <class T>
void cancel(std::byte* data, const PieceOperand& operand, Cancel how) {
  const std::int64_t half = operand.terms / 2, inner = operand.inner;
  if (how == Cancel::none || half == 0) return;
  auto* numbers = reinterpret_cast<T*>(data);
  for (std::int64_t begin = 0; begin < operand.elements; begin += operand.terms * inner) {
    for (std::int64_t term = 0; term < half; ++term) {
      const std::int64_t other = how == Cancel::halves ? half + term : 2 * half - 1 - term;
      for (std::int64_t i = 0; i < inner; ++i) {
        const auto value = static_cast<float>(numbers[begin + term * inner + i]);
        numbers[begin + other * inner + i] = static_cast<T>(operand.opposite ? -value : value);
      }
    }
    std::fill_n(numbers + begin + 2 * half * inner, operand.terms % 2 * inner, static_cast<T>(0.0f));
  }
}

// Arguments of a self-test: inputs shared by all kernels, outputs of each run compared with the first's.
class Trial {
 public:
  Trial(const std::vector<PieceOperand>& operands, std::uint32_t number, Cancel how) : operands_(operands) {
    for (std::size_t i = 0; i < operands.size(); ++i) {
      const PieceOperand& operand = operands[i];
      buffers_.emplace_back(static_cast<std::size_t>(operand.elements) * size_of(operand.type));
      if (operand.zero && how != Cancel::none) {
        std::memset(buffers_.back().data(), 0, buffers_.back().size());
      } else if (operand.written) {
        expected_.emplace_back(buffers_.back().size());
      } else {
        const bool bf16 = operand.type == DType::bf16;
        (bf16 ? fill<Bf16> : fill<float>)(buffers_.back().data(), operand.elements,
                                          16 * number + static_cast<std::uint32_t>(i));
        (bf16 ? cancel<Bf16> : cancel<float>)(buffers_.back().data(), operand, how);
      }
    }
  }

  void run_expected(Kernel& kernel) {
    run(kernel);
    for_outputs([](Buffer& output, Buffer& expected) {
      std::memcpy(expected.data(), output.data(), output.size());
      return true;
    });
  }

  bool gives_expected(Kernel& kernel) {
    for_outputs([](Buffer& output, Buffer&) {
      std::memset(output.data(), 0xff, output.size());
      return true;
    });
    run(kernel);
    return for_outputs([](Buffer& output, Buffer& expected) {
      return std::memcmp(expected.data(), output.data(), output.size()) == 0;
    });
  }

 private:
  void run(Kernel& kernel) {
    std::vector<std::byte*> arguments;
    for (const Buffer& buffer : buffers_) arguments.push_back(buffer.data());
    const Buffer scratch(kernel.scratch_bytes());
    kernel.run(arguments, scratch.data(), {});
  }

  template <class Body>
  bool for_outputs(const Body& body) {
    std::size_t output = 0;
    for (std::size_t i = 0; i < operands_.size(); ++i) {
      if (operands_[i].written && !body(buffers_[i], expected_[output++])) return false;
    }
    return true;
  }

  const std::vector<PieceOperand>& operands_;
  std::vector<Buffer> buffers_, expected_;
};

std::string full_key(const PieceRequest& request) {
  std::string key = request.key + " units";
  for (const std::int64_t size : request.units) key += ' ' + std::to_string(size);
  key += " operands";
  for (const PieceOperand& operand : request.operands) {
    key += ' ' + std::to_string(operand.elements) + (operand.type == DType::bf16 ? " bf16" : " fp32");
  }
  return key;
}

bool writes_bf16(const PieceRequest& request) {
  return std::any_of(request.operands.begin(), request.operands.end(),
                     [](const PieceOperand& operand) { return operand.written && operand.type == DType::bf16; });
}

// An order of sums shows in some of a trial's results only: small ones are tried more often, and bf16 ones in each way.
std::uint32_t trials_of(const PieceRequest& request) {
  constexpr std::int64_t kResults = 20'000;
  std::int64_t results = 0;
  for (const PieceOperand& operand : request.operands) results += operand.written ? operand.elements : 0;
  return static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(kResults / std::max<std::int64_t>(results, 1), writes_bf16(request) ? 3 : 1, 8));
}

}  // namespace

std::size_t SelfTests::choose(const PieceRequest& request) {
  const auto [found, is_new] = chosen_.try_emplace(full_key(request), request.ways.size());
  if (!is_new) return found->second;
  UnitByUnit one_by_one(request);
  std::vector<std::unique_ptr<Kernel>> kernels;
  for (const auto& bind_way : request.ways) kernels.push_back(bind_way());
  std::size_t& way = found->second;
  way = 0;
  for (std::uint32_t number = 0; number < trials_of(request) && way < kernels.size(); ++number) {
    const Cancel how = writes_bf16(request) ? static_cast<Cancel>(number % 3) : Cancel::none;
    Trial trial(request.operands, number, how);
    trial.run_expected(one_by_one);
    while (way < kernels.size() && !trial.gives_expected(*kernels[way])) ++way;
  }
  return way;
}

std::unique_ptr<Kernel> SelfTests::bind(const PieceRequest& request) {
  const std::size_t way = choose(request);
  if (way < request.ways.size()) return request.ways[way]();
  return std::make_unique<UnitByUnit>(request);
}

}  // namespace hadal
