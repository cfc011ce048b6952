#include "data/element.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace hadal {

static_assert(std::endian::native == std::endian::little);

namespace {

struct Kind {
  Element element;
  std::size_t size;
  bool whole;
  const char *name, *numpy, *safetensors;
};

constexpr Kind kKinds[] = {
    {Element::f16, 2, false, "f16", "<f2", "F16"}, {Element::bf16, 2, false, "bf16", "", "BF16"},  // NumPy has none
    {Element::f32, 4, false, "f32", "<f4", "F32"}, {Element::f64, 8, false, "f64", "<f8", "F64"},
    {Element::i8, 1, true, "i8", "|i1", "I8"},     {Element::u8, 1, true, "u8", "|u1", "U8"},
    {Element::i16, 2, true, "i16", "<i2", "I16"},  {Element::u16, 2, true, "u16", "<u2", "U16"},
    {Element::i32, 4, true, "i32", "<i4", "I32"},  {Element::u32, 4, true, "u32", "<u4", "U32"},
    {Element::i64, 8, true, "i64", "<i8", "I64"},  {Element::u64, 8, true, "u64", "<u8", "U64"},
};

const Kind& kind_of(Element element) { return kKinds[static_cast<std::size_t>(element)]; }

template <class T>
T load(const std::byte* bytes, std::size_t index) {
  T value;
  std::memcpy(&value, bytes + index * sizeof(T), sizeof(T));
  return value;
}

template <class T>
void convert(const std::byte* bytes, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(load<T>(bytes, i));
}

// IEEE 754's binary16: 5 bits of exponent, 10 of fraction. The bits of an fp32 with the same fields are 2^112 too
// small, subnormal numbers included.
float from_f16(std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffu, sign = (bits & 0x8000u) << 16;
  if (magnitude >= 0x7c00u) return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f) | sign);
}

// Numbers whose bits under `mask` are all set are not finite. Looks at many before it asks.
template <class T>
std::size_t first_with(T mask, const std::byte* bytes, std::size_t count) {
  constexpr std::size_t kAtOnce = 1024;
  for (std::size_t begin = 0; begin < count; begin += kAtOnce) {
    const std::size_t end = std::min(count, begin + kAtOnce);
    T any = 0;
    for (std::size_t i = begin; i < end; ++i) any |= static_cast<T>((load<T>(bytes, i) & mask) == mask);
    if (any == 0) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if ((load<T>(bytes, i) & mask) == mask) return i;
    }
  }
  return count;
}

}  // namespace

std::size_t size_of(Element element) { return kind_of(element).size; }
bool is_whole(Element element) { return kind_of(element).whole; }
const char* to_string(Element element) { return kind_of(element).name; }

std::optional<Element> element_of_numpy(std::string_view name) {
  if (name.empty()) return std::nullopt;
  for (const Kind& kind : kKinds) {
    // One byte has no order: "|u1", "<u1" and ">u1" are one.
    if (name == kind.numpy || (kind.size == 1 && name.substr(1) == kind.numpy + 1)) return kind.element;
  }
  return std::nullopt;
}

std::optional<Element> element_of_safetensors(std::string_view name) {
  for (const Kind& kind : kKinds) {
    if (name == kind.safetensors) return kind.element;
  }
  return std::nullopt;
}

void to_floats(Element element, const std::byte* bytes, std::span<float> values) {
  switch (element) {
    case Element::f32:
      if (!values.empty()) std::memcpy(values.data(), bytes, values.size_bytes());
      return;
    case Element::f64:
      return convert<double>(bytes, values);
    case Element::f16:
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = from_f16(load<std::uint16_t>(bytes, i));
      return;
    case Element::bf16:
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = std::bit_cast<float>(std::uint32_t{load<std::uint16_t>(bytes, i)} << 16);
      }
      return;
    case Element::u8:
      for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<float>(load<std::uint8_t>(bytes, i)) / 255.0f;
      return;
    case Element::i8:
      return convert<std::int8_t>(bytes, values);
    case Element::i16:
      return convert<std::int16_t>(bytes, values);
    case Element::u16:
      return convert<std::uint16_t>(bytes, values);
    case Element::i32:
      return convert<std::int32_t>(bytes, values);
    case Element::u32:
      return convert<std::uint32_t>(bytes, values);
    case Element::i64:
      return convert<std::int64_t>(bytes, values);
    case Element::u64:
      return convert<std::uint64_t>(bytes, values);
  }
  HADAL_CHECK(false);
}

std::size_t first_not_finite(Element element, const std::byte* bytes, std::size_t count) {
  switch (element) {
    case Element::f32:
      return first_with<std::uint32_t>(0x7f800000u, bytes, count);
    case Element::f16:
      return first_with<std::uint16_t>(0x7c00u, bytes, count);
    case Element::bf16:
      return first_with<std::uint16_t>(0x7f80u, bytes, count);
    case Element::f64:
      for (std::size_t i = 0; i < count; ++i) {
        if (!std::isfinite(static_cast<float>(load<double>(bytes, i)))) return i;
      }
      return count;
    default:
      return count;
  }
}

std::int64_t whole_at(Element element, const std::byte* bytes, std::size_t index) {
  switch (element) {
    case Element::i8:
      return load<std::int8_t>(bytes, index);
    case Element::u8:
      return load<std::uint8_t>(bytes, index);
    case Element::i16:
      return load<std::int16_t>(bytes, index);
    case Element::u16:
      return load<std::uint16_t>(bytes, index);
    case Element::i32:
      return load<std::int32_t>(bytes, index);
    case Element::u32:
      return load<std::uint32_t>(bytes, index);
    case Element::i64:
      return load<std::int64_t>(bytes, index);
    case Element::u64:
      return static_cast<std::int64_t>(
          std::min<std::uint64_t>(load<std::uint64_t>(bytes, index), std::numeric_limits<std::int64_t>::max()));
    default:
      HADAL_CHECK(false);
      return 0;
  }
}

}  // namespace hadal
