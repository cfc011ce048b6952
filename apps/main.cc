// hadal: one command, a verb for each thing it does.

#include <cstdio>
#include <exception>
#include <string>

#include "apps/verbs.h"
#include "base/error.h"
#include "base/nearest.h"

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

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Hadal trains neural networks on many devices. One job.yaml, one command.", "hadal");
  app.require_subcommand(1);
  app.footer("Example: hadal train examples/mnist_lenet.yaml");
  hadal::add_train(app);
  hadal::add_eval(app);
  hadal::add_predict(app);
  hadal::add_plan(app);
  hadal::add_bench(app);
  hadal::add_doctor(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error, argc, argv);
  } catch (const hadal::Error& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "hadal: %s\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "hadal: not enough memory\n");
    return 4;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hadal: %s\n", error.what());
    return 4;
  }
}
