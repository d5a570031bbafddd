// Finds a folder beside the program, above it, or under /usr/share.
#include "app/installed_files.h"

#include <filesystem>

namespace messaging::app {

std::string installed_dir(const std::string& configured, const std::string& local) {
    if (!configured.empty()) return configured;
    std::error_code ignored;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    for (const auto& directory : {program / local, program.parent_path() / local}) {
        if (std::filesystem::is_directory(directory, ignored)) return directory.string();
    }
    return "/usr/share/messaging/" + local;
}

}  // namespace messaging::app
