// hadal speech: from recordings to words.

#include "apps/verbs.h"

namespace hadal {

void add_speech(CLI::App& app) {
  CLI::App* verb = app.add_subcommand("speech", "Train a speech recogniser, and recognise words (docs/speech.md)");
  verb->require_subcommand(1);
  add_speech_features(*verb);
  add_speech_train(*verb);
  add_speech_align(*verb);
  add_speech_decode(*verb);
  add_speech_score(*verb);
  verb->footer("Example: hadal speech train examples/speech/espeak.yaml");
}

}  // namespace hadal
