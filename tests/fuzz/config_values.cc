// The environment, one NAME=value a line: a configuration, or sentences that say what is wrong and never quote a secret.
#include <map>
#include <string>

#include "app/config.h"
#include "fuzz/fuzz.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr const char* kSecret = "hUsh-hUsh-9d1";
    std::map<std::string, std::string> values{{"API_TOKEN", kSecret}};
    std::string_view text = fuzz::text_of(data, size);
    // Errors quote what is no secret, such as a network: input that holds the secret itself proves nothing.
    if (text.find(kSecret) != std::string_view::npos) return 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string name(line.substr(0, equals));
        if (name.ends_with("_FILE")) continue;  // which would read any file
        values[name] = line.substr(equals + 1, line.find('\0', equals) - equals - 1);
    }
    const auto lookup = [&](const std::string& name) -> const char* {
        const auto value = values.find(name);
        return value == values.end() ? nullptr : value->second.c_str();
    };
    for (const std::string& error : app::read_config(lookup, true).errors) {
        fuzz::promise(!error.empty(), "an error says what is wrong");
        fuzz::promise(values["API_TOKEN"] != kSecret || error.find(kSecret) == std::string::npos, "no error quotes a secret");
    }
    app::describe_config(lookup);
    return 0;
}
