// Between fp32 and bf16.

#include "ops/reference/loops.h"
#include "tensor/bf16.h"

namespace hadal::reference {

namespace {

template <class From, class To>
void convert(std::int64_t count, const Call& call) {
  const From* numbers = call.read<From>(0);
  To* converted = call.written<To>(1);
  for (std::int64_t i = 0; i < count; ++i) converted[i] = static_cast<To>(numbers[i]);
}

}  // namespace

template <class Real>
void run(const Convert& op, const Call& call) {
  if (op.to == DType::bf16) {
    convert<float, Bf16>(op.elements, call);
  } else {
    convert<Bf16, float>(op.elements, call);
  }
}

template void run<float>(const Convert&, const Call&);
template void run<double>(const Convert&, const Call&);

}  // namespace hadal::reference
