// DATABASE_URL and REDIS_URL: taken apart, or refused.
#include "fuzz/fuzz.h"
#include "pg/conninfo.h"
#include "redis/client.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(fuzz::text_of(data, size));
    if (const auto info = pg::parse_conninfo(text)) {
        fuzz::promise(!info->hosts.empty(), "there is a host to try");
    } else {
        fuzz::promise(!info.error().message.empty(), "a refusal says why");
    }
    if (const auto target = redis::parse_url(text); !target) {
        fuzz::promise(!target.error().message.empty(), "a refusal says why");
    }
    return 0;
}
