#pragma once
// Fast kernels for x86-64 processors: oneDNN for convolutions and matrix products, own loops for the rest. Everything
// adapts to the instruction set that runs it; ONEDNN_MAX_CPU_ISA limits oneDNN's part.

#include "ops/backend.h"

namespace hadal {

// bind() may be called from any thread; it builds one kernel at a time, and leaves the thread's OpenMP setting as it
// was.
//
// An operator with units computes on one thread whatever `threads` says: with two, several oneDNN kernels sum in
// another order. A reproducible job therefore runs on devices of one core. Its first bind() of a shape runs a self-test
// (units.h), whose outcome the backend keeps.
std::unique_ptr<Backend> make_cpu_backend();

// Whether `precision: bf16` is faster here than fp32: oneDNN has instructions for products of bf16 numbers.
bool cpu_has_bf16();

// The library's version and the instruction set it uses here: "2.6.3, AVX2".
std::string onednn_version();

}  // namespace hadal
