// Which headers of an endpoint are left out, fail an attempt, or are sent.
#include "http/reserved_headers.h"

#include <gtest/gtest.h>

namespace messaging::http {
namespace {

TEST(ReservedHeaders, AreFoundInWhateverCase) {
    for (const char* name :
         {"Webhook-Id", "webhook-", "WEBHOOK-ANYTHING", "Content-Type", "content-encoding", "User-Agent", "Host", "Connection"}) {
        EXPECT_EQ(kind_of_header(name), HeaderKind::kOurs) << name;
    }
    for (const char* name : {"Content-Length", "transfer-encoding", "EXPECT"}) {
        EXPECT_EQ(kind_of_header(name), HeaderKind::kFraming) << name;
    }
    for (const char* name : {"Content-Language", "proxy-authorization", "Keep-Alive", "upgrade", "TE", "Trailer"}) {
        EXPECT_EQ(kind_of_header(name), HeaderKind::kOther) << name;
    }
}

TEST(ReservedHeaders, AreNoOthers) {
    for (const char* name : {"", "webhook", "x-webhook-id", "contents", "content", "hosts", "x-host", "connections", "t", "tes",
                             "authorization", "cookie", "x-ins-auth-key", "expect-ct", "user-agents", "proxy"}) {
        EXPECT_EQ(kind_of_header(name), HeaderKind::kFree) << name;
    }
}

}  // namespace
}  // namespace messaging::http
