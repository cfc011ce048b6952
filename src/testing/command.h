#pragma once
// The real `hadal` command as a child process of a test.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "testing/temporary_folder.h"

namespace hadal::testing {

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

struct CommandResult {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
  std::string out, err;

  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

// One run of the command in a folder, without a terminal. Killed when it goes out of scope, or after two minutes.
class Command {
 public:
  Command(const std::string& folder, const std::vector<std::string>& arguments,
          const std::vector<std::string>& environment = {}) {
    std::vector<std::string> words{std::string(HADAL_BINARY_DIR) + "/hadal"};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    std::vector<std::string> settings = environment;
    std::vector<char*> envp;
    for (std::string& setting : settings) envp.push_back(setting.data());
    for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
    envp.push_back(nullptr);
    const std::string out = streams_.path("out"), err = streams_.path("err");
    process_ = ::fork();
    if (process_ < 0) throw std::runtime_error("cannot fork");
    if (process_ > 0) return;
    const bool ready = ::chdir(folder.c_str()) == 0 && redirect("/dev/null", O_RDONLY, STDIN_FILENO) &&
                       redirect(out, O_WRONLY | O_CREAT, STDOUT_FILENO) &&
                       redirect(err, O_WRONLY | O_CREAT, STDERR_FILENO);
    if (ready) ::execve(argv[0], argv.data(), envp.data());
    ::_exit(127);
  }
  ~Command() {
    if (!running()) return;
    kill(SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  bool running() {
    if (!ended_) ended_ = ::waitpid(process_, &status_, WNOHANG) == process_;
    return !ended_;
  }

  pid_t process() const { return process_; }

  // Does nothing where it has ended.
  void kill(int signal) {
    if (running()) ::kill(process_, signal);
  }

  CommandResult wait() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (running()) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("hadal hangs");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CommandResult result;
    if (WIFEXITED(status_)) result.exit_code = WEXITSTATUS(status_);
    if (WIFSIGNALED(status_)) result.signal = WTERMSIG(status_);
    result.out = contents(streams_.path("out"));
    result.err = contents(streams_.path("err"));
    return result;
  }

 private:
  static bool redirect(const std::string& path, int flags, int descriptor) {
    const int opened = ::open(path.c_str(), flags, 0600);
    return opened >= 0 && ::dup2(opened, descriptor) == descriptor;
  }

  TemporaryFolder streams_;
  pid_t process_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

inline std::vector<std::string> lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> list;
  for (std::string line; std::getline(stream, line);) list.push_back(line);
  return list;
}

inline std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> list;
  for (const std::string& line : lines(text)) list.push_back(nlohmann::json::parse(line));
  return list;
}

}  // namespace hadal::testing
