#pragma once
// A thread with an owner that joins it and carries its exception out.

#include <exception>
#include <functional>
#include <thread>
#include <utility>

namespace hadal {

// Only the owner's thread calls these functions. Before this object ends the owner makes `body` return soon (it closes
// the queue that body waits on, it sets a flag): the destructor waits for it.
class OwnedThread {
 public:
  explicit OwnedThread(std::function<void()> body)
      : thread_([this, run = std::move(body)] {
          try {
            run();
          } catch (...) {
            error_ = std::current_exception();
          }
        }) {}

  // Joins; an exception that join() has not carried out is dropped.
  ~OwnedThread() {
    if (thread_.joinable()) thread_.join();
  }

  OwnedThread(const OwnedThread&) = delete;
  OwnedThread& operator=(const OwnedThread&) = delete;

  // Waits until `body` has ended and rethrows what it threw, each time it is called.
  void join() {
    if (thread_.joinable()) thread_.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::exception_ptr error_;  // written by the thread, read after it was joined
  std::thread thread_;
};

}  // namespace hadal
