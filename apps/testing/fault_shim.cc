// Preloaded into a child process (LD_PRELOAD): makes the n-th call of write, fsync or rename on a checkpoint's
// temporary file die or fail. HADAL_FAULT=WHAT:CALL:N, where WHAT is
//   kill        SIGKILL in the middle of the call: half of the bytes are written, the rename has not happened
//   kill_after  SIGKILL once the call is done
//   full        from the n-th call on there is no space left on the device

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

struct Fault {
  std::string what, call;
  int count = 0;
};

const Fault& fault() {
  static const Fault kFault = [] {
    const char* setting = std::getenv("HADAL_FAULT");
    const std::string text = setting != nullptr ? setting : "";
    const std::size_t first = text.find(':'), second = text.rfind(':');
    if (first == std::string::npos || first == second) return Fault{};
    return Fault{text.substr(0, first), text.substr(first + 1, second - first - 1),
                 std::atoi(text.c_str() + second + 1)};
  }();
  return kFault;
}

bool is_temporary_checkpoint(const std::string& path) {
  return path.ends_with(".tmp") && path.find("/checkpoints/") != std::string::npos;
}

std::string path_of(int descriptor) {
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = ::readlink(link, path, sizeof path);
  return length < 0 ? "" : std::string(path, static_cast<std::size_t>(length));
}

// Whether this call is the one: counts the calls that are meant.
bool strikes(const char* call, const std::string& path) {
  static int calls = 0;
  if (fault().call != call || !is_temporary_checkpoint(path)) return false;
  ++calls;
  return fault().what == "full" ? calls >= fault().count : calls == fault().count;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

// Runs `half` before a kill in the middle and `whole` before a kill after it.
template <class Half, class Whole>
int strike(Half half, Whole whole) {
  if (fault().what == "full") {
    errno = ENOSPC;
    return -1;
  }
  fault().what == "kill" ? half() : whole();
  ::raise(SIGKILL);
  return -1;
}

}  // namespace

extern "C" ssize_t write(int descriptor, const void* bytes, size_t count) {
  static const auto kWrite = next<ssize_t (*)(int, const void*, size_t)>("write");
  if (fault().call != "write" || !strikes("write", path_of(descriptor))) return kWrite(descriptor, bytes, count);
  return strike([&] { kWrite(descriptor, bytes, count / 2); }, [&] { kWrite(descriptor, bytes, count); });
}

extern "C" int fsync(int descriptor) {
  static const auto kFsync = next<int (*)(int)>("fsync");
  if (fault().call != "fsync" || !strikes("fsync", path_of(descriptor))) return kFsync(descriptor);
  return strike([] {}, [&] { kFsync(descriptor); });
}

extern "C" int rename(const char* from, const char* to) noexcept {
  static const auto kRename = next<int (*)(const char*, const char*)>("rename");
  if (!strikes("rename", from)) return kRename(from, to);
  return strike([] {}, [&] { kRename(from, to); });
}
