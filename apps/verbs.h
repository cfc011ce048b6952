#pragma once
// The verbs of the `hadal` command, one file each. Each function adds its verb to the command line; what it does runs
// when the line was parsed, and errors leave as exceptions (main.cc gives them their exit codes).

#include <CLI/CLI.hpp>

namespace hadal {

void add_train(CLI::App& app);
void add_eval(CLI::App& app);
void add_predict(CLI::App& app);
void add_plan(CLI::App& app);
void add_bench(CLI::App& app);
void add_bench_input(CLI::App& bench);  // under it
void add_doctor(CLI::App& app);
void add_speech(CLI::App& app);
void add_speech_features(CLI::App& speech);  // these are under it
void add_speech_align(CLI::App& speech);
void add_speech_train(CLI::App& speech);
void add_speech_decode(CLI::App& speech);
void add_speech_score(CLI::App& speech);

}  // namespace hadal
