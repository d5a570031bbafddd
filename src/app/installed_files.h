// Where the files that belong to the program are: beside a build, or installed.
#pragma once

#include <string>

namespace messaging::app {

// `configured` when it is set; else <folder of the program>/<local>, <folder above>/<local>, /usr/share/messaging/<local>.
std::string installed_dir(const std::string& configured, const std::string& local);

}  // namespace messaging::app
