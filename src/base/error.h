#pragma once
// The errors a user can meet. Each message is one line that says where, what, and what to do; each class has the exit
// code that the command ends with (docs/errors.md).

#include <cstdint>
#include <stdexcept>
#include <string>

namespace hadal {

// Where a word of a job file stands. Lines and columns count from 1; line 0 means "not from a file" (a --set, a flag).
struct Position {
  std::string file;
  int line = 0;
  int column = 0;

  std::string to_string() const;  // "job.yaml:7:12", "job.yaml", or "" where nothing is known
};

class Error : public std::runtime_error {
 public:
  Error(int exit_code, const std::string& message) : std::runtime_error(message), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// The user's input is wrong: a job file, a flag, a file name. Exit code 2.
class ConfigError : public Error {
 public:
  explicit ConfigError(const std::string& message) : Error(2, message) {}
  ConfigError(const Position& where, const std::string& message);
};

// Data is wrong: a truncated file, a label out of range, a NaN. Exit code 3.
class DataError : public Error {
 public:
  explicit DataError(const std::string& message) : Error(3, message) {}
  DataError(const std::string& file, std::uint64_t offset, const std::string& message);
};

// A device failed, or its work did. Exit code 4.
class DeviceError : public Error {
 public:
  explicit DeviceError(const std::string& message) : Error(4, message) {}
};

// Writing a run's files failed: a full disk, an unwritable folder. Exit code 4: nothing already written is lost.
class StorageError : public Error {
 public:
  explicit StorageError(const std::string& message) : Error(4, message) {}
};

// The user stopped the run; its state is kept. Exit code 5.
class Stopped : public Error {
 public:
  explicit Stopped(const std::string& message) : Error(5, message) {}
};

// What a kernel throws when it meets a number that is not finite where that must not be stored.
class NotFinite : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Training left the finite numbers in one step of a plan. Exit code 3.
class Diverged : public DataError {
 public:
  Diverged(const std::string& message, bool in_loss, std::uint64_t step)
      : DataError(message), in_loss_(in_loss), step_(step) {}
  bool in_loss() const { return in_loss_; }     // before that step updated any parameter; else in a gradient
  std::uint64_t step() const { return step_; }  // the training step

 private:
  bool in_loss_;
  std::uint64_t step_;
};

// A broken promise between parts of this program: never reached by what a user or a file can say.
#define HADAL_CHECK(condition)                                                                                       \
  ((condition) ? static_cast<void>(0)                                                                                \
               : throw std::logic_error(std::string("internal error: " #condition " does not hold at ") + __FILE__ + \
                                        ":" + std::to_string(__LINE__)))

}  // namespace hadal
