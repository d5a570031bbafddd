// Webhook-ids, written and read.
#include "core/webhook_id.h"

#include <gtest/gtest.h>

namespace messaging::core {
namespace {

TEST(WebhookId, IsTheSameWhenTheMessageIsSentAgain) {
    EXPECT_EQ(format_webhook_id("rnkdfj", 42, 0x0f3a9c << kResendBits), "msg_rnkdfj_42_0f3a9c");
    EXPECT_EQ(format_webhook_id("rnkdfj", 42, (0x0f3a9c << kResendBits) + 5), "msg_rnkdfj_42_0f3a9c");
}

TEST(WebhookId, HasTheIdOfTheMessage) {
    EXPECT_EQ(id_in_webhook_id("msg_rnkdfj_42_0f3a9c"), 42);
    EXPECT_EQ(id_in_webhook_id(format_webhook_id("a", 9223372036854775807, 0)), 9223372036854775807);
    for (const char* text : {"", "42", "msg_", "msg_a", "msg_a_42", "msg_a__b", "msg_a_x_b", "msg_a_042_b", "msg_a_0_b",
                             "msg_a_-1_b", "msg_a_1_2_b", "MSG_a_1_b", "msg_a_9223372036854775808_b"}) {
        EXPECT_FALSE(id_in_webhook_id(text)) << text;
    }
}

}  // namespace
}  // namespace messaging::core
