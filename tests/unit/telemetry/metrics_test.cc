// What an engine reports, as /metrics shows it.
#include <gtest/gtest.h>

#include "support/fake_time.h"
#include "telemetry/engine_metrics.h"

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

TEST_F(MetricsTest, EachCountOfTheStatusHasAGauge) {
    service::StatusView status;
    status.pending = {1, true};
    status.scheduled = {2, true};
    status.held = {3, true};
    status.dead = {4, true};
    status.endpoints = {5, 6, 7};
    metrics_.set_status(status);
    for (const char* line : {"messaging_pending_messages 1", "messaging_scheduled_messages 2", "messaging_held_messages 3",
                             "messaging_dead_messages 4", "messaging_endpoints{state=\"backlogged\"} 5",
                             "messaging_endpoints{state=\"failing\"} 6", "messaging_endpoints{state=\"disabled\"} 7"}) {
        EXPECT_TRUE(has(line)) << metrics_.text();
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

TEST_F(MetricsTest, EachFaultOfARequestHasACounter) {
    for (const auto fault : core::kAttemptFaults) {
        core::AttemptResult result;
        result.fault = fault;
        result.status = 429;
        result.connections = 2;
        engine_.on_attempt(result);
    }
    for (const char* fault : {"dns", "connect", "tls", "timeout", "reset", "protocol", "forbidden", "request", "local"}) {
        EXPECT_TRUE(has("messaging_attempt_faults_total{fault=\"" + std::string(fault) + "\"} 1")) << metrics_.text();
    }
    EXPECT_TRUE(has("messaging_attempts_total{status_class=\"4xx\"} 1"));
    EXPECT_TRUE(has("messaging_attempts_total{status_class=\"none\"} 8")) << "a fault of our own is no attempt";
    EXPECT_TRUE(has("messaging_connections_total 20"));
}

// Claims of held messages were missing: they could fail for ever while the engine was ready.
TEST_F(MetricsTest, AnEngineIsNotReadyWhileAnEssentialOperationKeepsFailing) {
    const core::Error error{core::ErrorKind::kInternal, "damaged index", "XX002"};
    for (const char* operation : {"claim", "claim held", "claim due", "reschedule orphans", "record", "reclaim"}) {
        engine_.on_error(operation, error);
        EXPECT_EQ(engine_.failing(), "");
        time_.advance(kFailingTooLong);
        engine_.on_error(operation, error);
        EXPECT_EQ(engine_.failing(), std::string(operation) + ": damaged index");
        engine_.on_success(operation);
        EXPECT_EQ(engine_.failing(), "");
    }
}

TEST_F(MetricsTest, AnEngineStaysReadyWhileAnotherOperationFails) {
    engine_.on_error(engine::kReceiptsOperation, {core::ErrorKind::kUnavailable, "Redis is not connected", ""});
    time_.advance(kFailingTooLong);
    EXPECT_EQ(engine_.failing(), "");
}

}  // namespace
}  // namespace messaging::telemetry
