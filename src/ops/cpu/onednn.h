#pragma once
// oneDNN (https://oneapi-src.github.io/oneDNN/v2.6), as this backend uses it: primitives with their memory objects made
// once, whose handles are set for each run.

#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string>
#include <vector>

#include "ops/cpu/scratch.h"
#include "tensor/bf16.h"
#include "tensor/tensor.h"

namespace hadal::onednn {

// The engine of this process's processor.
dnnl::engine cpu_engine();

// Whether it multiplies bf16 numbers by instructions for them. Where it has to make do with others, products in fp32
// are faster.
bool has_bf16();

// [N, C, H, W] in a layout.
dnnl::memory::desc image(const dnnl::memory::dims& dims, Layout layout, DType type = DType::f32);
dnnl::memory::desc plain(const dnnl::memory::dims& dims, dnnl::memory::format_tag tag, DType type = DType::f32);
dnnl::memory::data_type type_of(DType type);  // f32 or bf16

// Attributes of every primitive here: the scratchpad is ours.
dnnl::primitive_attr attributes();

// How good an implementation is by its name: 0 direct, 1 through a matrix product, 2 a plain loop.
int rank_of(const std::string& implementation);

// Floats in a vector register of the instruction set that oneDNN uses.
int vector_floats();

// C[m, n] = A[m, k] B[k, n] + beta C, all row-major; a transposed operand is stored as [k, m] or [n, k]. ld*: floats
// from row to row, as stored.
struct Product {
  bool transpose_a = false, transpose_b = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t lda = 0, ldb = 0, ldc = 0;
  float beta = 0;
};
void multiply(const Product& product, const float* a, const float* b, float* c);  // fp32

// A primitive with its arguments. Movable; run by one thread at a time.
class Step {
 public:
  struct Argument {
    int id;  // DNNL_ARG_...
    dnnl::memory memory;
  };

  Step(dnnl::primitive primitive, dnnl::memory::desc scratchpad, std::vector<Argument> arguments, ScratchPlan& plan);
  void run(dnnl::stream& stream, std::byte* scratch);

 private:
  dnnl::primitive primitive_;
  dnnl::memory scratchpad_;
  std::size_t scratchpad_offset_;
  std::vector<Argument> arguments_;           // keeps the memory objects alive
  std::vector<dnnl_exec_arg_t> c_arguments_;  // the same for the C interface, which copies no map at each run
};

// A product of bf16 numbers, added up in fp32, with a bias [n] (fp32) for each row where it is asked for. C is fp32 or
// bf16; beta is 0. Made for one shape. Throws dnnl::error where oneDNN cannot, DeviceError where it has but plain
// loops.
class Bf16Product {
 public:
  // Which of oneDNN's primitives: an inner product's gradient can A B on whole matrices, and is the faster for few
  // rows.
  enum class Way { matmul, inner_product };

  Bf16Product(const Product& product, DType type_of_c, bool with_bias, Way way, ScratchPlan& plan);

  // bias: nullptr where there is none.
  void run(dnnl::stream& stream, std::byte* scratch, const Bf16* a, const Bf16* b, const float* bias, void* c);

  const std::string& implementation() const { return implementation_; }

 private:
  void check_implementation() const;

  std::string implementation_;
  dnnl::memory a_, b_, bias_, c_;
  std::optional<Step> step_;
};

enum class Direction { read, write };

// An argument as the caller has it (outside), and as a primitive wants it (inside): the same memory where the two
// agree, else a copy in scratch.
class Bridge {
 public:
  Bridge(const dnnl::memory::desc& outside, const dnnl::memory::desc& inside, Direction direction, ScratchPlan& plan);

  const dnnl::memory& inside() const { return inside_; }
  Direction direction() const { return direction_; }

  // Points both sides at their memory; gives the inside.
  template <class T = float>
  T* place(std::byte* outside, std::byte* scratch) {
    return static_cast<T*>(place_at(outside, scratch));
  }

  // Reorders from outside to inside where the argument is read, back where it is written. After place().
  void cross(dnnl::stream& stream, std::byte* scratch);

 private:
  void* place_at(std::byte* outside, std::byte* scratch);

  bool same_;
  Direction direction_;
  dnnl::memory outside_, inside_;
  std::size_t offset_ = 0;
  std::unique_ptr<Step> reorder_;
};

}  // namespace hadal::onednn
