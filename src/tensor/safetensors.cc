#include "tensor/safetensors.h"

#include <bit>
#include <cstring>
#include <new>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/file.h"
#include "base/thousands.h"
#include "tensor/safetensors_header.h"

namespace hadal {

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr std::size_t kLengthSize = 8;  // of the number in front

constexpr std::pair<const char*, DType> kTypes[] = {
    {"F32", DType::f32}, {"F64", DType::f64}, {"I32", DType::i32}, {"U8", DType::u8}};

const char* type_name(DType type) {
  for (const auto& [name, known] : kTypes) {
    if (known == type) return name;
  }
  HADAL_CHECK(false);
  return nullptr;
}

// The header's length, checked against the file's. `start` holds the first bytes of the file, 8 where it has as many.
std::uint64_t header_length(std::span<const std::byte> start, std::uint64_t file_size, const std::string& file) {
  if (start.size() < kLengthSize) {
    throw DataError(file + ": has " + std::to_string(file_size) + " bytes; a safetensors file has at least 10");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, start.data(), kLengthSize);
  if (length > kSafetensorsHeaderLimit) {
    throw DataError(file, 0,
                    "is not a safetensors file: a header of " + with_thousands(length) +
                        " bytes is past the limit of " + with_thousands(kSafetensorsHeaderLimit));
  }
  if (length > file_size - kLengthSize) {
    throw DataError(file, 0,
                    "the header has " + with_thousands(length) + " bytes, but only " +
                        with_thousands(file_size - kLengthSize) + " follow");
  }
  return length;
}

}  // namespace

void write_safetensors(const std::string& path, const Metadata& metadata, const std::vector<TensorData>& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names{"__metadata__"};
  std::uint64_t offset = 0;
  for (const TensorData& tensor : tensors) {
    HADAL_CHECK(names.insert(tensor.name).second);
    HADAL_CHECK(static_cast<std::uint64_t>(elements(tensor.shape)) * size_of(tensor.type) == tensor.bytes.size());
    const std::uint64_t end = offset + tensor.bytes.size();
    header[tensor.name] = {{"dtype", type_name(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  HADAL_CHECK(text.size() <= kSafetensorsHeaderLimit);

  AtomicFile file(path);
  const std::uint64_t length = text.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const TensorData& tensor : tensors) file.write(tensor.bytes);
  file.commit();
}

SafetensorsHeader read_safetensors_header(const InputFile& file, std::uint64_t& data_begin) {
  std::vector<std::byte> start(std::min<std::uint64_t>(kLengthSize, file.size()));
  file.read(0, start);
  std::string text(header_length(start, file.size(), file.path()), '\0');
  file.read(kLengthSize, std::as_writable_bytes(std::span(text)));
  data_begin = kLengthSize + text.size();
  return parse_safetensors_header(text, file.size() - data_begin, file.path());
}

SafetensorsFile SafetensorsFile::open(const std::string& path, const Position& where) {
  const InputFile input(path, where);
  SafetensorsFile result;
  result.file_ = path;
  std::vector<std::byte>& bytes = result.bytes_;
  bytes.resize(std::min<std::uint64_t>(kLengthSize, input.size()));
  input.read(0, bytes);
  bytes.resize(kLengthSize + header_length(bytes, input.size(), path));
  input.read(0, bytes);
  result.read_header(std::span(bytes).subspan(kLengthSize), input.size() - bytes.size());
  try {
    bytes.resize(input.size());
  } catch (const std::exception&) {  // bad_alloc, length_error
    throw DataError(path + ": there is no memory for its " + with_thousands(input.size()) + " bytes");
  }
  input.read(result.data_begin_, std::span(bytes).subspan(result.data_begin_));
  return result;
}

SafetensorsFile SafetensorsFile::parse(std::string file, std::vector<std::byte> bytes) {
  SafetensorsFile result;
  result.file_ = std::move(file);
  result.bytes_ = std::move(bytes);
  const std::span<const std::byte> all = result.bytes_;
  const std::uint64_t length = header_length(all.first(std::min(kLengthSize, all.size())), all.size(), result.file_);
  result.read_header(all.subspan(kLengthSize, length), all.size() - kLengthSize - length);
  return result;
}

void SafetensorsFile::read_header(std::span<const std::byte> header, std::uint64_t data_size) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  SafetensorsHeader parsed = parse_safetensors_header(text, data_size, file_);
  metadata_ = std::move(parsed.metadata);
  entries_ = std::move(parsed.entries);
  for (std::size_t i = 0; i < entries_.size(); ++i) index_.emplace(entries_[i].name, i);
  data_begin_ = kLengthSize + header.size();
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : entries_) names.push_back(entry.name);
  return names;
}

TensorData SafetensorsFile::tensor(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) throw DataError(file_ + ": has no tensor '" + name + "'");
  const SafetensorsEntry& entry = entries_[found->second];
  for (const auto& [type, known] : kTypes) {
    if (entry.type == type) {
      return {.name = name,
              .type = known,
              .shape = entry.shape,
              .bytes = std::span(bytes_).subspan(data_begin_ + entry.begin, entry.end - entry.begin)};
    }
  }
  throw DataError(file_, data_begin_ + entry.begin,
                  "tensor '" + name + "' is of type " + entry.type + "; F32, F64, I32 and U8 are read");
}

void SafetensorsFile::copy_floats(const std::string& name, const Shape& shape, std::span<float> values) const {
  const TensorData data = tensor(name);
  if (data.type != DType::f32) {
    throw DataError(file_ + ": tensor '" + name + "' is of type " + type_name(data.type) + ", expected F32");
  }
  if (data.shape != shape) {
    throw DataError(file_ + ": tensor '" + name + "' is " + to_string(data.shape) + ", expected " + to_string(shape));
  }
  HADAL_CHECK(data.bytes.size() == values.size_bytes());
  if (!values.empty()) std::memcpy(values.data(), data.bytes.data(), values.size_bytes());
}

}  // namespace hadal
