#pragma once
// Paths and patterns of a job as a list of files.

#include <string>
#include <vector>

#include "base/error.h"

namespace hadal {

// "shard-{000..127}.tar" stands for 128 paths and "{a,b}" for two, as in the shell, where braces may stand in braces;
// where both numbers have as many digits, so have those between them. A path with '*' or '?' in it is a pattern as the
// shell has them (glob(7)): it stands for the files that fit it, in the order of their names, byte by byte. Other paths
// stand for themselves. Throws ConfigError at `where` for a pattern that no file fits.
std::vector<std::string> list_files(const std::vector<std::string>& paths, const Position& where);

}  // namespace hadal
