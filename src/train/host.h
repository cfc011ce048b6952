#pragma once
// What this machine is.

#include <cstddef>
#include <string>

namespace hadal {

struct Host {
  std::string processor, vectors, onednn;  // "AMD EPYC", "avx2", "2.6.3, avx2"
  int cores = 1;                           // that this process may use
  bool native_bf16 = false;                // products of bf16 numbers by instructions for them
  std::size_t memory_bytes = 0;
};

Host describe_host();

}  // namespace hadal
