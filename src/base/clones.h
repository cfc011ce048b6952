#pragma once
// A loop marked HADAL_CLONES is compiled for several instruction sets, and the program picks one when it is loaded.
// Every clone gives the same bits, at any position, alignment and count: + - * / are rounded one by one everywhere (the
// build sets -ffp-contract=off, never -ffast-math), and the remainder of a loop uses the same formula.

// Sanitizers cannot start before the resolvers of clones run; clang 14 has no clones.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(HADAL_SANITIZED)
#define HADAL_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define HADAL_CLONES
#endif
