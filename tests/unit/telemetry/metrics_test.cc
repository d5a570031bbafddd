// What an engine reports, as /metrics shows it.
#include "telemetry/metrics.h"

#include <gtest/gtest.h>

#include "support/fake_time.h"

namespace messaging::telemetry {
namespace {

class MetricsTest : public testing::Test {
protected:
    void report(core::OutcomeKind kind) {
        core::Outcome outcome;
        outcome.kind = kind;
        engine_.on_outcome(outcome);
    }
    bool has(const std::string& line) const { return metrics_.text().find(line + "\n") != std::string::npos; }

    test::FakeTime time_;
    Metrics metrics_;
    EngineMetrics engine_{metrics_, time_, "host:1/1"};
};

TEST_F(MetricsTest, EachKindOfOutcomeHasACounter) {
    using Kind = core::OutcomeKind;
    for (const Kind kind : {Kind::kDelivered, Kind::kRetry, Kind::kDead, Kind::kDeferred, Kind::kHeld, Kind::kReleased})
        report(kind);
    for (const char* name : {"delivered", "retry", "dead", "deferred", "held", "released"}) {
        EXPECT_TRUE(has("messaging_deliveries_total{outcome=\"" + std::string(name) + "\"} 1")) << metrics_.text();
    }
}

// It indexed past the counters of the outcomes, into those of the attempts.
TEST_F(MetricsTest, AMessageThatIsGivenUpIsNoDeliveryAndNoAttempt) {
    report(core::OutcomeKind::kGivenUp);
    for (const char* name : {"delivered", "retry", "dead", "deferred", "held", "released"}) {
        EXPECT_TRUE(has("messaging_deliveries_total{outcome=\"" + std::string(name) + "\"} 0")) << metrics_.text();
    }
    EXPECT_TRUE(has("messaging_attempts_total{status_class=\"none\"} 0")) << metrics_.text();
}

}  // namespace
}  // namespace messaging::telemetry
