// hadal: one command, a verb for each thing it does.

#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "apps/verbs.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/printable.h"

namespace {

// What the user typed wrong, in one line.
int usage_error(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  std::string message = error.what();
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands({})) verbs.push_back(verb->get_name());
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands().empty()) {
    const std::string near = hadal::nearest(argv[1], verbs);
    message =
        "there is no verb '" + std::string(argv[1]) + "'" + (near.empty() ? "" : "; did you mean '" + near + "'?");
  }
  std::fprintf(stderr, "hadal: %s; see 'hadal %s--help'\n", message.c_str(),
               app.get_subcommands().empty() ? "" : (app.get_subcommands()[0]->get_name() + " ").c_str());
  return 2;
}

// OpenMP's threads spin for milliseconds between parallel loops unless told otherwise, and on a machine that does
// anything else they then take the cores from each other: ten times slower (GNU libgomp manual, GOMP_SPINCOUNT). The
// runtime reads its settings before main(), so the program starts itself again with one.
void spin_briefly(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "1000", 0);
  execv("/proc/self/exe", argv);  // where that fails, it is as slow as it was
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
  CLI::App app("Hadal trains neural networks on many devices. One job.yaml, one command.", "hadal");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("hadal ") + HADAL_VERSION);
  app.footer("Example: hadal train examples/mnist_lenet.yaml");
  hadal::add_train(app);
  hadal::add_eval(app);
  hadal::add_predict(app);
  hadal::add_plan(app);
  hadal::add_bench(app);
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
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "hadal: not enough memory\n");
    return 4;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hadal: %s\n", error.what());
    return 4;
  }
}
