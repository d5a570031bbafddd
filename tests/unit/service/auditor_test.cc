// When the audit looks, and how long it rests.
#include "service/auditor.h"

#include <gtest/gtest.h>

#include "support/fake_ports.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"

namespace messaging::service {
namespace {

using std::chrono::milliseconds;
using test::take_first;

class AuditorTest : public testing::Test {
protected:
    AuditorTest() {
        auditor_.start();
        time_.advance(milliseconds(0));
    }

    test::FakeTime time_;
    test::FixedRandom random_{0.5};  // no jitter
    test::FakeAuditStore store_;
    std::size_t found_ = 0;
    int troubles_ = 0;
    Auditor auditor_{store_,
                     time_,
                     time_,
                     random_,
                     {[this](std::size_t found) { found_ += found; }, [this](const core::Error&) { ++troubles_; }}};
};

TEST_F(AuditorTest, LooksAtOnceAndThenOnceAPeriod) {
    EXPECT_EQ(store_.audits.at(0).request, kAuditRows);
    take_first(store_.audits).answer(AuditRound{3, false});
    EXPECT_EQ(found_, 3u);
    time_.advance(kAuditPeriod - milliseconds(1));
    EXPECT_TRUE(store_.audits.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.audits.size(), 1u);
}

TEST_F(AuditorTest, ReadsOnWhileThereIsMoreButRestsFiftyTimesWhatItCost) {
    time_.advance(milliseconds(100));
    take_first(store_.audits).answer(AuditRound{0, true});
    time_.advance(milliseconds(4999));
    EXPECT_TRUE(store_.audits.empty());
    time_.advance(milliseconds(1));
    EXPECT_EQ(store_.audits.size(), 1u);
}

TEST_F(AuditorTest, ADearRoundPutsTheNextOneOffForLongerThanAPeriod) {
    time_.advance(milliseconds(1000));
    take_first(store_.audits).answer(AuditRound{0, false});
    time_.advance(kAuditPeriod * 2);
    EXPECT_TRUE(store_.audits.empty());
    time_.advance(milliseconds(20'000));
    EXPECT_EQ(store_.audits.size(), 1u);
}

TEST_F(AuditorTest, AFailureIsToldAndTheNextPeriodTriesAgain) {
    take_first(store_.audits).answer(core::Error{core::ErrorKind::kUnavailable, "gone", ""});
    EXPECT_EQ(troubles_, 1);
    EXPECT_EQ(found_, 0u);
    time_.advance(kAuditPeriod);
    EXPECT_EQ(store_.audits.size(), 1u);
}

TEST_F(AuditorTest, ANewSessionLooksAtOnce) {
    take_first(store_.audits).answer(AuditRound{});
    auditor_.start();
    time_.advance(milliseconds(0));
    EXPECT_EQ(store_.audits.size(), 1u);
}

}  // namespace
}  // namespace messaging::service
