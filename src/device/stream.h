#pragma once
// In-order queues of work on a device, and the events that order them across queues.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device/progress.h"

namespace hadal {

using Deadline = Clock::time_point;

// compute: kernels. gather: copies towards the owners of parameters. distribute: copies of new parameters back. Where a
// device has two neighbours to send to, each has a stream: what goes to the one of a lower number does not wait behind
// what goes to the other. transfer: copies between the devices that hold one model together.
enum class StreamKind { compute, gather, distribute, gather_down, distribute_down, transfer };
inline constexpr int kStreamKinds = 6;

const char* to_string(StreamKind kind);  // "compute", ...

// The values that change from one execution of a program to the next; handed to all its work.
struct StepValues {
  std::uint64_t round = 0;          // counts executions of any program from 1; events are reached per round
  std::uint64_t step = 0;           // training steps already taken: the counter of random numbers
  float rate = 0;                   // learning rate of this step
  std::uint64_t deferred_step = 0;  // the step whose exchange is done in this one (Step::deferred), and its rate
  float deferred_rate = 0;
  const void* batch = nullptr;  // host memory: the staged batch (data/batch_loader.h), read by host copies
};

// Stops a round everywhere once something failed: waits end, later items are dropped.
class Abort {
 public:
  void raise() { raised_.store(true, std::memory_order_release); }
  void reset() { raised_.store(false, std::memory_order_release); }
  bool raised() const { return raised_.load(std::memory_order_acquire); }

 private:
  std::atomic<bool> raised_{false};
};

// How often who waits looks whether the round was aborted.
inline constexpr std::chrono::milliseconds kAbortCheck{20};

// A point of a program that another stream's items can wait for. Recorded at most once in a round; rounds only grow.
class Event {
 public:
  void record(std::uint64_t round);

  enum class Outcome { reached, aborted, deadline };
  // Spins shortly, then sleeps. Sees a raised `abort` within 50 ms.
  [[nodiscard]] Outcome wait(std::uint64_t round, Deadline deadline, const Abort& abort);

 private:
  Progress reached_;
};

// A kernel with its addresses.
class Work {
 public:
  virtual ~Work() = default;
  virtual void run(const StepValues& values) = 0;

  struct Argument {
    const void* pointer;
    std::size_t bytes;
  };
  // All memory that run() may touch, for the check that a device addresses it.
  virtual std::span<const Argument> arguments() const = 0;
};

// A copy of `rows` pieces of `row_bytes`, their starts a pitch apart (as cudaMemcpy2D has it).
struct Copy {
  const std::byte* source = nullptr;  // nullptr: host memory, at StepValues::batch + batch_offset
  std::size_t batch_offset = 0;
  std::byte* destination = nullptr;
  std::size_t rows = 0, row_bytes = 0, source_pitch = 0, destination_pitch = 0;
  std::atomic<std::uint64_t>* counter = nullptr;  // of the bytes that arrived, where they are counted
};

struct Item {
  enum class Kind { run, copy, wait, record };
  Kind kind = Kind::run;
  int step = 0;            // index into the plan's steps: names the item in errors and timelines
  Work* work = nullptr;    // run
  Copy copy;               // copy
  Event* event = nullptr;  // wait, record
};

// When an item ran, in nanoseconds of the steady clock.
struct Span {
  std::int64_t begin_ns = 0, end_ns = 0;
};

// What one stream does in one execution of a plan. Immutable while submitted; outlives every round.
struct Program {
  std::vector<Item> items;
};

// Counters of a stream since the device began; read when no round is under way.
struct StreamCounters {
  double busy_seconds = 0;  // in kernels, and copies to other devices
  double load_seconds = 0;  // in copies from the host
  double wait_seconds = 0;  // in waits for events
};

// Runs one program at a time, item after item, asynchronously to the caller: one thread at a time. A stream is owned by
// its device; one that ends with a program still running raises that program's Abort and waits for the item under way.
//
// An item that throws stops the stream and raises the round's Abort; so does a wait that the deadline ends. The error
// is rethrown by synchronize() as StepError: a stream knows only the step's number, its caller adds device and name.
class Stream {
 public:
  virtual ~Stream() = default;

  // Starts `program`. `abort`, `program` and `spans` (empty, or one for each item; those of dropped items keep what
  // they held) must live until synchronize() returned, the events until every stream that uses them was synchronized.
  // Throws std::logic_error where the program before was not synchronized, and DeviceError at once where an item's
  // memory is not addressable on this device.
  virtual void submit(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
                      std::span<Span> spans) = 0;

  // Blocks until the program has ended; throws StepError where one of its items failed. A program that another stream's
  // failure cut short ends without an error. Returns at once when nothing was submitted.
  virtual void synchronize() = 0;

  // submit() and synchronize() in one; may run the program on the calling thread, which saves two wake-ups.
  virtual void run(const Program& program, const StepValues& values, Deadline deadline, Abort& abort,
                   std::span<Span> spans) {
    submit(program, values, deadline, abort, spans);
    synchronize();
  }

  virtual StreamCounters counters() const = 0;

  // After synchronize(): the item at which the last program was cut short; nullptr where it came to its end.
  virtual const Item* stopped_at() const = 0;
};

// What an item failed with: synchronize() throws this; the runner adds the step's name.
class StepError : public std::exception {
 public:
  enum class Cause { failed, not_finite, deadline };

  StepError(int step_index, std::string reason, Cause why = Cause::failed)
      : step(step_index), message(std::move(reason)), cause(why) {}
  const char* what() const noexcept override { return message.c_str(); }

  int step;
  std::string message;
  Cause cause;  // not_finite: the kernel threw NotFinite; deadline: it ended a wait for another step
};

}  // namespace hadal
