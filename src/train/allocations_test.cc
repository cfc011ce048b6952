// A training step allocates nothing. oneDNN's own allocations are counted apart.

#include <gtest/gtest.h>

#include "testing/networks.h"
#include "testing/small_training.h"
#include "train/engine.h"

#ifndef HADAL_SANITIZED

#include <dlfcn.h>
#include <execinfo.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

constexpr int kFrames = 40, kRecords = 8192;

struct Record {
  std::array<void*, kFrames> frames{};
  int count = 0;
};

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
std::array<Record, kRecords> records;
thread_local bool looking = false;  // backtrace() may allocate

void note() {
  if (!counting.load(std::memory_order_relaxed) || looking) return;
  looking = true;
  const int index = allocations.fetch_add(1);
  if (index < kRecords) records[index].count = backtrace(records[index].frames.data(), kFrames);
  looking = false;
}

}  // namespace

// The C library's, with a note: operator new of the C++ library and all other libraries come here too.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  note();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  note();
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
  note();
  return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
  note();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  note();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
  note();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}

namespace hadal {
namespace {

struct Counts {
  int own = 0, onednn = 0;
  std::string first_own;  // its callers
};

std::string library_of(void* address) {
  Dl_info info{};
  return dladdr(address, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

// Allocations of all threads while `work` runs.
template <class Work>
Counts count(const Work& work) {
  std::array<void*, kFrames> frames{};
  backtrace(frames.data(), kFrames);  // loads what it needs
  allocations = 0;
  counting = true;
  work();
  counting = false;
  Counts counts;
  EXPECT_LE(allocations, kRecords);
  for (int i = 0; i < std::min(allocations.load(), kRecords); ++i) {
    bool inside = false;
    for (int f = 0; f < records[i].count; ++f) {
      inside = inside || library_of(records[i].frames[f]).find("libdnnl") != std::string::npos;
    }
    ++(inside ? counts.onednn : counts.own);
    if (inside || !counts.first_own.empty()) continue;
    char** names = backtrace_symbols(records[i].frames.data(), records[i].count);
    for (int f = 0; f < records[i].count; ++f) counts.first_own += std::string("\n  ") + names[f];
    std::free(names);
  }
  return counts;
}

TEST(Allocations, are_counted) {
  const Counts counts = count([] {
    const std::vector<std::vector<char>> lists(3, std::vector<char>(100));
    ASSERT_EQ(lists.size(), 3u);
    void* volatile memory = nullptr;
    ASSERT_EQ(posix_memalign(const_cast<void**>(&memory), 64, 64), 0);
    std::free(memory);
  });
  EXPECT_EQ(counts.own, 6);
  EXPECT_EQ(counts.onednn, 0);
  EXPECT_NE(counts.first_own.find("malloc"), std::string::npos);
}

struct AllocationsCase {
  std::string name;
  NetworkSpec network;
  BackendKind backend = BackendKind::reference;
  std::vector<std::string> devices;
  int onednn = 0, onednn_reproducible = 0;  // at most, in a step
  Precision precision = Precision::fp32;
};

class Allocations : public ::testing::TestWithParam<AllocationsCase> {};

TEST_P(Allocations, are_none_in_a_step) {
  constexpr int kSteps = 10;
  for (const auto& [reproducible, passes] : {std::pair{false, 1}, {true, 1}, {false, 3}}) {
    JobSpec job;
    job.network = GetParam().network;
    job.data.batch = 24 / passes;
    job.solver.accumulate = passes;
    job.solver.rule.rate = ConstantRate{0.05};
    job.solver.rule.update = UpdateRule::sgd(0.9, 5e-4);
    job.solver.clip_norm = 5;
    job.parallel.devices = GetParam().devices;
    job.parallel.threads = 1;
    job.backend = GetParam().backend;
    job.precision = GetParam().precision;
    if (reproducible) job.reproducible = ReproducibleSpec{};
    const Network network = build_network(job.network);
    const PlanKey key{PlanMode::train, 24}, last{PlanMode::train, 7};
    Engine engine(job, network, {key, last});
    engine.initialise(2);
    testing::SmallTraining training;
    training.network = job.network;
    const std::vector<std::byte> batch = testing::SmallTrainer(training).staged(24, 0);
    const std::vector<std::byte> short_batch = testing::SmallTrainer(training).staged(7, 1);
    std::uint64_t step = 0;
    const auto steps = [&] {
      for (int i = 0; i < kSteps / 2; ++i) {
        engine.run(key, batch.data(), step++, 0.05);
        engine.run(last, short_batch.data(), step++, 0.05);
      }
    };
    steps();
    const Counts counts = count(steps);
    EXPECT_EQ(counts.own, 0) << counts.first_own;
    EXPECT_LE(counts.onednn, kSteps * passes * (reproducible ? GetParam().onednn_reproducible : GetParam().onednn));
    RecordProperty(std::string("inside_onednn_in_10_steps") + (reproducible ? "_reproducible" : ""), counts.onednn);
  }
}

INSTANTIATE_TEST_SUITE_P(
    all, Allocations,
    ::testing::Values(
        AllocationsCase{"loops", testing::small_lenet(), BackendKind::reference, {"cpu:0"}},
        AllocationsCase{"loops_on_2", testing::small_lenet(), BackendKind::reference, {"cpu:0", "cpu:1"}},
        AllocationsCase{"loops_on_2_fake", testing::small_dag(), BackendKind::reference, {"fake:0", "fake:1"}},
        AllocationsCase{"lenet", testing::small_lenet(), BackendKind::cpu, {"cpu:0"}, 100, 300},
        AllocationsCase{"lenet_on_2", testing::small_lenet(), BackendKind::cpu, {"cpu:0", "cpu:1"}, 200, 400},
        AllocationsCase{
            "batch_norm_on_2_fake", testing::small_batch_norm(), BackendKind::cpu, {"fake:0", "fake:1"}, 300, 500},
        AllocationsCase{"dag_on_2_fake", testing::small_dag(), BackendKind::cpu, {"fake:0", "fake:1"}, 300, 500},
        AllocationsCase{"dag_bf16_on_2_fake",
                        testing::small_dag(),
                        BackendKind::cpu,
                        {"fake:0", "fake:1"},
                        500,
                        1000,
                        Precision::bf16}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hadal

#else

TEST(Allocations, are_none_in_a_step) { GTEST_SKIP() << "a sanitizer has its own malloc"; }

#endif
