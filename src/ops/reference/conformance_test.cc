// The conformance runner itself: the reference agrees with itself on every kind of device, and a kernel with a mistake
// is found out.

#include "ops/conformance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "ops/arguments.h"
#include "ops/reference/reference.h"

namespace hadal {
namespace {

using Arguments = std::span<std::byte* const>;

std::unique_ptr<Device> make_device(DeviceKind kind) {
  DeviceOptions options;
  options.names = {{kind, 0}};
  options.pin = false;
  options.link = {.bytes_per_second = 1e12, .latency_seconds = 0};
  return std::move(make_devices(options).front());
}

// The reference, after whose kernels `mistake` is made.
class MistakenBackend final : public Backend {
 public:
  using Mistake = std::function<void(Arguments)>;
  explicit MistakenBackend(Mistake mistake) : mistake_(std::move(mistake)) {}

  std::string name() const override { return "mistaken"; }
  Layout image_layout() const override { return Layout::canonical; }
  std::unique_ptr<Kernel> bind(const Op& op, int threads) override {
    return std::make_unique<MistakenKernel>(reference_->bind(op, threads), mistake_);
  }

 private:
  class MistakenKernel final : public Kernel {
   public:
    MistakenKernel(std::unique_ptr<Kernel> kernel, Mistake mistake)
        : kernel_(std::move(kernel)), mistake_(std::move(mistake)) {}
    void run(Arguments arguments, std::byte* scratch, const StepValues& values) override {
      kernel_->run(arguments, scratch, values);
      mistake_(arguments);
    }
    std::string implementation() const override { return "mistaken"; }

   private:
    std::unique_ptr<Kernel> kernel_;
    Mistake mistake_;
  };

  std::unique_ptr<Backend> reference_ = make_reference_backend();
  Mistake mistake_;
};

std::string problem_with(MistakenBackend::Mistake mistake) {
  MistakenBackend mistaken(std::move(mistake));
  const std::unique_ptr<Backend> reference = make_reference_backend();
  const std::unique_ptr<Device> device = make_device(DeviceKind::cpu);
  const Rows rows{.first = 0, .count = 3, .units = {}};
  const ConformanceCase which{"relu", ActivationForward{ActivationKind::sigmoid, 5, rows}};
  const ConformanceResult result = check_conformance(which, mistaken, *reference, *device);
  EXPECT_EQ(result.ok, result.problem.empty());
  EXPECT_EQ(result.op, "activation_forward");
  return result.problem;
}

float* floats(std::byte* pointer) { return reinterpret_cast<float*>(pointer); }

TEST(Conformance, finds_mistakes) {
  using testing::HasSubstr;
  using testing::StartsWith;
  EXPECT_EQ(problem_with([](Arguments) {}), "");
  EXPECT_EQ(problem_with([](Arguments a) { floats(a[1])[4] *= 1 + 2e-7f; }), "");
  EXPECT_THAT(problem_with([](Arguments a) { floats(a[1])[4] += 1e-3f; }), StartsWith("element 4 of destination is "));
  EXPECT_EQ(problem_with([](Arguments a) { floats(a[1])[15] = 1; }), "writes beside its arguments");
  EXPECT_EQ(problem_with([](Arguments a) { a[0][0] ^= std::byte{1}; }), "changes its input source");
  EXPECT_EQ(problem_with([](Arguments a) { std::fill_n(a[1] + 8, 4, std::byte{0xFF}); }),
            "does not write element 2 of destination");
  EXPECT_THAT(problem_with([](Arguments) { throw DeviceError("no such instruction"); }),
              HasSubstr("no such instruction"));
}

TEST(Conformance, table_has_every_operator_and_no_case_twice) {
  std::set<std::size_t> operators;
  std::set<std::pair<std::string, std::string>> names;
  for (const ConformanceCase& which : conformance_cases()) {
    operators.insert(which.op.index());
    EXPECT_TRUE(names.insert({which.name, op_name(which.op)}).second) << which.name;
  }
  EXPECT_EQ(operators.size(), std::variant_size_v<Op>);
}

class ReferenceOn : public testing::TestWithParam<DeviceKind> {};

TEST_P(ReferenceOn, agrees_with_itself) {
  const std::unique_ptr<Backend> backend = make_reference_backend(), reference = make_reference_backend();
  const std::unique_ptr<Device> device = make_device(GetParam());
  for (const ConformanceCase& which : conformance_cases()) {
    const ConformanceResult result = check_conformance(which, *backend, *reference, *device);
    EXPECT_TRUE(result.ok) << result.name << ": " << result.op << " " << result.problem;
    // bf16 results are compared with those in fp32, so differ by their rounding.
    EXPECT_LE(result.error, result.name.ends_with("bf16") ? 0x1p-8 : 0) << result.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, ReferenceOn, testing::Values(DeviceKind::cpu, DeviceKind::fake));

}  // namespace
}  // namespace hadal
