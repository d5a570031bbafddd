// Retry-After and Date as a receiver may send them: no wait, or one that is not negative.
#include "core/retry_after.h"

#include "fuzz/fuzz.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    const std::size_t line = text.find('\n');
    const std::string_view date = line == std::string_view::npos ? std::string_view() : text.substr(line + 1);
    const auto wait = core::parse_retry_after(text.substr(0, line), date, core::WallTime(std::chrono::hours(480'000)));
    fuzz::promise(!wait || wait->count() >= 0, "nobody waits until the past");
    return 0;
}
