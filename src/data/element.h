#pragma once
// The numbers that arrays on disk hold, little-endian, and their values as fp32.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hadal {

enum class Element { f16, bf16, f32, f64, i8, u8, i16, u16, i32, u32, i64, u64 };

std::size_t size_of(Element element);
bool is_whole(Element element);
const char* to_string(Element element);  // "f32"

// By NumPy's name ("<f4", "|u1"), or by safetensors' ("F32").
std::optional<Element> element_of_numpy(std::string_view name);
std::optional<Element> element_of_safetensors(std::string_view name);

// Converts values.size() numbers; `bytes` may start at any address. A u8 becomes x / 255, as pixels do; all others are
// themselves, rounded to fp32.
void to_floats(Element element, const std::byte* bytes, std::span<float> values);

// Where the first of `count` numbers is that is NaN or infinite as fp32; `count` where there is none.
std::size_t first_not_finite(Element element, const std::byte* bytes, std::size_t count);

// One of whole numbers; of a u64 past what an i64 has, its largest.
std::int64_t whole_at(Element element, const std::byte* bytes, std::size_t index);

}  // namespace hadal
