// How often an endpoint may be tested, and how many tests there may be.
#include "gateway/test_limits.h"

#include <gtest/gtest.h>

#include "service/endpoint_tester.h"

namespace messaging::gateway {
namespace {

const core::MonoTime kBegin{std::chrono::hours(1)};
constexpr std::chrono::milliseconds kAlmost = service::kTestInterval - std::chrono::milliseconds(1);

TEST(TestLimits, AnEndpointIsTestedOnceASecond) {
    TestLimits limits;
    EXPECT_FALSE(limits.begin(1, kBegin));
    limits.end();
    EXPECT_TRUE(limits.begin(1, kBegin + kAlmost));
    EXPECT_FALSE(limits.begin(2, kBegin + kAlmost)) << "others may be";
    EXPECT_FALSE(limits.begin(1, kBegin + service::kTestInterval)) << "the one that was refused does not count";
    EXPECT_TRUE(limits.begin(1, kBegin + service::kTestInterval + kAlmost)) << "also while the one before is under way";
}

TEST(TestLimits, OnlySoManyAreUnderWay) {
    TestLimits limits;
    core::EndpointId endpoint = 0;
    while (endpoint < static_cast<core::EndpointId>(kMaxTests)) EXPECT_FALSE(limits.begin(++endpoint, kBegin));
    EXPECT_TRUE(limits.begin(++endpoint, kBegin));
    limits.end();
    EXPECT_FALSE(limits.begin(endpoint, kBegin)) << "the one that was refused does not count";
    EXPECT_TRUE(limits.begin(++endpoint, kBegin + service::kTestInterval));
}

}  // namespace
}  // namespace messaging::gateway
