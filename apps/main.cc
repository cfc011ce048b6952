// hadal: one command, a verb for each thing it does.

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string>

#include "apps/verbs.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/printable.h"

namespace {

// What the user typed wrong, in one line.
int usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string message = error.what(), path;
  const CLI::App* verb = &app;
  int words = 1;
  for (; !verb->get_subcommands().empty(); ++words) {
    verb = verb->get_subcommands()[0];
    path += verb->get_name() + " ";
  }
  std::vector<std::string> names;
  for (const CLI::App* below : verb->get_subcommands({})) names.push_back(below->get_name());
  if (!names.empty() && argc > words && argv[words][0] != '-') {
    const std::string near = hadal::nearest(argv[words], names);
    message =
        "there is no verb '" + path + argv[words] + "'" + (near.empty() ? "" : "; did you mean '" + path + near + "'?");
  }
  std::fprintf(stderr, "hadal: %s; see 'hadal %s--help'\n", message.c_str(), path.c_str());
  return 2;
}

// OpenMP's threads spin for milliseconds between parallel loops unless told otherwise, and on a machine that does
// anything else they then take the cores from each other: ten times slower (GNU libgomp manual, GOMP_SPINCOUNT). The
// runtime reads its settings before main(), so the program starts itself again with one.
void spin_briefly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", 0);
  // By its name, which lists of processes show. Where that fails, it is as slow as it was.
  std::error_code error;
  execv(std::filesystem::read_symlink("/proc/self/exe", error).c_str(), argv);
}

// Whether standard output is a pipe that nobody reads any more: they have seen what they wanted.
bool reader_left() {
  pollfd descriptor{STDOUT_FILENO, POLLOUT, 0};
  return poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLERR) != 0;
}

}  // namespace

int main(int argc, char** argv) {
  spin_briefly(argv);
  // A reader of our output that leaves, and a limit on file sizes, are errors of a write: they must not end a training.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGUSR1, SIG_IGN);  // until there is something to tell
  CLI::App app("Hadal trains neural networks on many devices. One job.yaml, one command.", "hadal");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("hadal ") + HADAL_VERSION);
  app.footer("Example: hadal train examples/mnist_lenet.yaml");
  hadal::add_train(app);
  hadal::add_eval(app);
  hadal::add_predict(app);
  hadal::add_plan(app);
  hadal::add_bench(app);
  hadal::add_speech(app);
  hadal::add_doctor(app);
  try {
    app.parse(argc, argv);
    const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
    if (!written && !reader_left()) throw hadal::StorageError("standard output cannot be written");
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::CallForVersion& version) {
    return app.exit(version);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error, argc, argv);
  } catch (const hadal::Error& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "hadal: %s\n", hadal::printable(error.what()).c_str());
    return error.exit_code();
  } catch (const std::filesystem::filesystem_error& error) {
    std::fflush(stdout);
    const std::string path = hadal::printable(error.path1().string());
    std::fprintf(stderr, "hadal: %s: cannot be used: %s; name another path, or change its permissions\n", path.c_str(),
                 error.code().message().c_str());
    return 4;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "hadal: not enough memory\n");
    return 4;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hadal: %s\n", error.what());
    return 4;
  }
}
