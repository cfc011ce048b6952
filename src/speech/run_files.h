#pragma once
// Files and folders of a run, removed and copied; where that fails, a StorageError says which and why.

#include <string>

namespace hadal {

bool is_there(const std::string& path);

// A file, or a folder with all that is in it; nothing where there is none.
void remove_all(const std::string& path);

// `to` is not there yet.
void copy_file(const std::string& from, const std::string& to);

}  // namespace hadal
