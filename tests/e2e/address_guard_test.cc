// Endpoints at addresses that are not public: refused with a reason, while the others go on.
#include <gtest/gtest.h>

#include <string>

#include "support/world.h"

namespace messaging::test {
namespace {

// WEBHOOK_URL is on loopback, and nothing else may be.
Environment closed(const Receiver& receiver) {
    return {{"WEBHOOK_URL", receiver.url()}, {"ALLOWED_NETWORKS", ""}, {"MAX_ATTEMPTS", "2"}, {"BACKOFF_BASE", "50ms"}};
}

constexpr const char* kForbidden = "127.0.0.1 is a loopback address; allow it with ALLOWED_NETWORKS";

TEST(AddressGuard, MessagesOfAForbiddenEndpointFailWithTheReasonAndTheOthersGoOn) {
    const Receiver own;
    const Receiver inner;
    Service service(closed(own));
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('inner', '" + inner.url() + "')");
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2)");
    service.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 100)");
    EXPECT_TRUE(wait_until([&] { return own.stat("distinct") == 100; }));
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT reason FROM messaging._dead") != ""; }));
    EXPECT_EQ(service.sql("SELECT reason FROM messaging._dead"), kForbidden);
    EXPECT_EQ(service.sql("SELECT attempts || ' ' || last_error FROM messages WHERE endpoint_id = 2"),
              std::string("2 ") + kForbidden);
    EXPECT_EQ(service.metric("messaging_attempt_faults_total{fault=\"forbidden\"}"), 2);
    EXPECT_EQ(service.metric("messaging_attempts_total{status_class=\"none\"}"), 2);
    EXPECT_EQ(inner.stat("received"), 0);
}

// The connection is open already, and what differs is only who chose the URL.
TEST(AddressGuard, AnotherEndpointMayNotUseTheConnectionsToWebhookUrl) {
    const Receiver own;
    Service service(closed(own));
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('same', '" + own.url() + "')");
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(wait_until([&] { return own.stat("distinct") == 1; }));
    service.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', 2)");
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT reason FROM messaging._dead") == kForbidden; }));
    EXPECT_EQ(own.stat("received"), 1);
}

TEST(AddressGuard, TheEndpointDefaultIsExemptOnlyWhileItHasWebhookUrl) {
    const Receiver own;
    const Receiver inner;
    Service service(closed(own));
    service.sql("UPDATE messaging.endpoints SET url = '" + inner.url() + "' WHERE id = 1");
    service.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    ASSERT_TRUE(wait_until([&] { return service.sql("SELECT reason FROM messaging._dead") == kForbidden; }));
    EXPECT_EQ(inner.stat("received"), 0);
}

}  // namespace
}  // namespace messaging::test
