// What the log says of a call that fails: the changes, and never more than two lines a minute.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/fake_time.h"
#include "telemetry/engine_metrics.h"
#include "telemetry/logging.h"

namespace messaging::telemetry {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class DependencyLogTest : public testing::Test {
protected:
    void SetUp() override {
        auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
        logger->set_pattern("%l %v");
        before_ = spdlog::default_logger();
        spdlog::set_default_logger(logger);
    }
    void TearDown() override { spdlog::set_default_logger(before_); }
    std::vector<std::string> lines() const {
        std::vector<std::string> lines;
        std::istringstream text(text_.str());
        for (std::string line; std::getline(text, line);) lines.push_back(line);
        return lines;
    }

    std::ostringstream text_;
    std::shared_ptr<spdlog::logger> before_;
    test::FakeTime time_;
    DependencyLog log_{"receipts", time_};
};

TEST_F(DependencyLogTest, WhichOneFailedIsToldAndMakesNoOtherReason) {
    DependencyLog log{"requests", time_, SecondReason::kAtOnce, "answered with 503"};
    for (int i = 1; i <= 1000; ++i) log.failed("gone", " (request " + std::to_string(i) + ")");
    log.failed("gone another way", " (request x)");
    for (int i = 1; i <= 1000; ++i) log.failed("gone a third way", " (request y)");
    EXPECT_EQ(lines(),
              (std::vector<std::string>{
                  "warning requests: gone (request 1); answered with 503",
                  "warning requests: gone another way (request x); answered with 503 (999 failures since the last line)"}));
}

TEST_F(DependencyLogTest, ALineForTheFirstFailureAndOneForTheRecovery) {
    log_.recovered();
    for (int i = 0; i < 5; ++i) log_.failed("OOM");
    log_.recovered();
    log_.recovered();
    EXPECT_EQ(lines(), (std::vector<std::string>{"warning receipts: OOM; trying again",
                                                 "info receipts: recovered (4 failures since the last line)"}));
}

TEST_F(DependencyLogTest, AnotherReasonIsALineOfItsOwnOnceAMinute) {
    log_.failed("OOM");
    log_.failed("READONLY");
    EXPECT_EQ(lines().size(), 1U);
    time_.advance(minutes(1));
    log_.failed("READONLY");
    ASSERT_EQ(lines().size(), 2U);
    EXPECT_EQ(lines()[1], "warning receipts: READONLY; trying again (1 failures since the last line)");
}

TEST_F(DependencyLogTest, WhatLastsIsSaidAgainEachMinute) {
    for (int second = 0; second < 180; ++second) {
        log_.failed("permission denied");
        time_.advance(seconds(1));
    }
    EXPECT_EQ(lines(),
              (std::vector<std::string>{"warning receipts: permission denied; trying again",
                                        "warning receipts: permission denied; trying again (59 failures since the last line)",
                                        "warning receipts: permission denied; trying again (59 failures since the last line)"}));
}

TEST_F(DependencyLogTest, OfASessionOneOtherReasonIsLoggedAtOnce) {
    DependencyLog session("session", time_, SecondReason::kAtOnce);
    for (int second = 0; second < 60; ++second) {
        session.failed("lost");
        session.failed("too many connections");
        session.failed("refused");
        session.failed("too many connections");
        if (second % 10 == 9) session.recovered();
        time_.advance(seconds(1));
    }
    EXPECT_EQ(lines(), (std::vector<std::string>{"warning session: lost; trying again",
                                                 "warning session: too many connections; trying again",
                                                 "info session: recovered (38 failures since the last line)"}));
}

TEST_F(DependencyLogTest, WhatComesAndGoesIsTwoLinesAMinuteAndTheRestIsCounted) {
    std::vector<int> seconds_of_lines;
    for (int second = 0; second < 600; ++second) {
        for (int i = 0; i < 50; ++i) {
            log_.failed(i % 2 == 0 ? "OOM" : "READONLY");
            log_.recovered();
        }
        while (seconds_of_lines.size() < lines().size()) seconds_of_lines.push_back(second);
        time_.advance(seconds(1));
    }
    EXPECT_EQ(lines().size(), 20U);
    for (std::size_t i = 2; i < seconds_of_lines.size(); ++i) EXPECT_GE(seconds_of_lines[i] - seconds_of_lines[i - 2], 60);
    EXPECT_NE(lines()[2].find("(2999 failures since the last line)"), std::string::npos) << lines()[2];
}

TEST_F(DependencyLogTest, AFailureInTheSameMinuteIsLoggedIfItLasts) {
    log_.failed("OOM");
    log_.recovered();
    time_.advance(seconds(30));
    log_.failed("OOM");
    time_.advance(seconds(29));
    log_.failed("OOM");
    EXPECT_EQ(lines().size(), 2U);
    time_.advance(seconds(1));
    log_.failed("OOM");
    ASSERT_EQ(lines().size(), 3U);
    EXPECT_EQ(lines()[2], "warning receipts: OOM; trying again (2 failures since the last line)");
    log_.recovered();
    EXPECT_EQ(lines().size(), 4U) << "what the log says is down is never left so";
}

// The log said "well again" of Redis with each transaction, and "OOM" with each batch.
TEST_F(DependencyLogTest, ARecordedTransactionIsNoRecoveryOfRedis) {
    Metrics metrics;
    EngineMetrics engine(metrics, time_, "host:1/2");
    const core::Error full{core::ErrorKind::kInternal, "OOM", ""};
    for (int i = 0; i < 5; ++i) {
        engine.on_error(engine::kReceiptsOperation, full);
        engine.on_error(engine::kBacklogOperation, full);
        engine.on_recorded(1, milliseconds(1));
        engine.on_success(engine::kBacklogOperation);
    }
    EXPECT_EQ(lines(), (std::vector<std::string>{
                           "warning engine host:1/2, receipts (they wait in PostgreSQL, sending goes on): OOM; trying again",
                           "warning engine host:1/2, receipt backlog: OOM; trying again",
                           "info engine host:1/2, receipt backlog: recovered (0 failures since the last line)"}));
    engine.on_success(engine::kReceiptsOperation);
    EXPECT_EQ(lines().size(), 4U);
    EXPECT_NE(metrics.text().find("messaging_redis_errors_total 5"), std::string::npos);
}

// Whoever may insert can cause one with each row.
TEST_F(DependencyLogTest, DeadLettersHaveALineAMinuteThatCountsThemAll) {
    Metrics metrics;
    EngineMetrics engine(metrics, time_, "host:1/2");
    for (int i = 0; i < 121; ++i) {
        engine.on_dead_lettered(10);
        time_.advance(milliseconds(1000));
    }
    ASSERT_EQ(lines().size(), 3U);
    EXPECT_NE(lines()[0].find("dead-lettered 10 messages"), std::string::npos);
    EXPECT_NE(lines()[1].find("dead-lettered 600 messages"), std::string::npos);
    EXPECT_NE(lines()[2].find("dead-lettered 600 messages"), std::string::npos);
}

TEST_F(DependencyLogTest, AnEngineWhoseWorkFailsForLongIsNotReadyAndSaysSoOnce) {
    Metrics metrics;
    EngineMetrics engine(metrics, time_, "host:1/2");
    const core::Error broken{core::ErrorKind::kInternal, "no replica identity", ""};
    const auto count_errors = [&] {
        const auto all = lines();
        return std::count_if(all.begin(), all.end(), [](const std::string& line) { return line.starts_with("error "); });
    };
    for (int second = 0; second < 30; ++second) {
        engine.on_error(engine::kClaimOperation, broken);
        engine.on_error(engine::kRecordOneOperation, broken);
        engine.on_recorded(1, milliseconds(1));
        EXPECT_EQ(engine.failing(), "");
        time_.advance(seconds(1));
    }
    for (int i = 0; i < 3; ++i) engine.on_error(engine::kClaimOperation, broken);
    EXPECT_EQ(engine.failing(), "claim: no replica identity");
    EXPECT_EQ(count_errors(), 1) << "what is recorded does not make claims work";
    engine.on_success(engine::kClaimOperation);
    EXPECT_EQ(engine.failing(), "");
    engine.on_error(engine::kClaimOperation, broken);
    EXPECT_EQ(engine.failing(), "");
    EXPECT_EQ(count_errors(), 1);
}

}  // namespace
}  // namespace messaging::telemetry
