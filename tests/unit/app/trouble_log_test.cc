// What the log says of a call that fails: the changes, and never more than two lines a minute.
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "app/logging.h"
#include "app/metrics.h"
#include "support/fake_time.h"

namespace messaging::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

class TroubleLogTest : public testing::Test {
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
    TroubleLog log_{"receipts", time_};
};

TEST_F(TroubleLogTest, ALineForTheFirstFailureAndOneForTheRecovery) {
    log_.recovered();
    for (int i = 0; i < 5; ++i) log_.failed("OOM");
    log_.recovered();
    log_.recovered();
    EXPECT_EQ(lines(), (std::vector<std::string>{"warning receipts: OOM; trying again",
                                                 "info receipts: recovered, after 4 more failures"}));
}

TEST_F(TroubleLogTest, AnotherReasonIsALineOfItsOwn) {
    log_.failed("OOM");
    log_.failed("READONLY");
    ASSERT_EQ(lines().size(), 2U);
    EXPECT_EQ(lines()[1], "warning receipts: READONLY; trying again");
}

TEST_F(TroubleLogTest, WhatComesAndGoesIsTwoLinesAMinuteAndTheRestIsCounted) {
    for (int second = 0; second < 600; ++second) {
        for (int i = 0; i < 50; ++i) {
            log_.failed(i % 2 == 0 ? "OOM" : "READONLY");
            log_.recovered();
        }
        time_.advance(seconds(1));
    }
    EXPECT_GE(lines().size(), 18U);
    EXPECT_LE(lines().size(), 20U);
    EXPECT_NE(lines()[2].find("(2999 failures since the last line)"), std::string::npos) << lines()[2];
}

TEST_F(TroubleLogTest, ARecoveryThatHadNoLineIsToldByTheNextSuccess) {
    log_.failed("OOM");
    log_.recovered();
    time_.advance(minutes(1));
    log_.failed("OOM");
    log_.failed("READONLY");
    log_.recovered();
    EXPECT_EQ(lines().size(), 4U) << "the third and fourth were READONLY's";
    time_.advance(minutes(1) - milliseconds(1));
    log_.recovered();
    EXPECT_EQ(lines().size(), 4U);
    time_.advance(milliseconds(1));
    log_.recovered();
    ASSERT_EQ(lines().size(), 5U);
    EXPECT_EQ(lines()[4], "info receipts: recovered, after 0 more failures");
}

// The log said "well again" of Redis with each transaction, and "OOM" with each batch.
TEST_F(TroubleLogTest, ARecordedTransactionIsNoRecoveryOfRedis) {
    Metrics metrics;
    EngineMetrics engine(metrics, time_);
    const core::Error full{core::ErrorKind::kInternal, "OOM", ""};
    for (int i = 0; i < 5; ++i) {
        engine.on_trouble(service::kReceiptsTrouble, full);
        engine.on_trouble(service::kBacklogTrouble, full);
        engine.on_recorded(1, milliseconds(1));
        engine.on_success(service::kBacklogTrouble);
    }
    EXPECT_EQ(lines(), (std::vector<std::string>{"warning receipts (they wait in PostgreSQL, sending goes on): OOM; trying again",
                                                 "warning receipt backlog: OOM; trying again",
                                                 "info receipt backlog: recovered, after 0 more failures"}));
    engine.on_success(service::kReceiptsTrouble);
    EXPECT_EQ(lines().size(), 4U);
    EXPECT_NE(metrics.text().find("messaging_redis_errors_total 5"), std::string::npos);
}

}  // namespace
}  // namespace messaging::app
