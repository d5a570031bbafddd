// Reserving moments for requests, against a real PostgreSQL.
#include "repository/rate_limit_store.h"

#include <gtest/gtest.h>

#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using engine::RateGrant;
using engine::RateRequest;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using test::Stores;

class RateLimitStoreTest : public testing::Test {
protected:
    std::vector<RateGrant> reserve(const std::vector<RateRequest>& requests) {
        return db_.value<std::vector<RateGrant>>([&](auto done) { store_.reserve(requests, std::move(done)); });
    }

    Stores db_{test::fresh_database()};
    PgRateLimitStore store_{db_.open_session(listen_session_settings())};
};

TEST_F(RateLimitStoreTest, EachReservationBeginsBehindTheOnesBefore) {
    const auto first = reserve({{7, 10, 5}});
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first[0].endpoint, 7);
    EXPECT_EQ(first[0].count, 5);
    EXPECT_EQ(first[0].begins_in, microseconds(0));
    const auto second = reserve({{7, 10, 1}, {8, 1, 1}});
    ASSERT_EQ(second.size(), 2U);
    const bool is_sorted = second[0].endpoint == 7;
    const RateGrant& seven = second[is_sorted ? 0 : 1];
    EXPECT_GT(seven.begins_in, milliseconds(300));
    EXPECT_LE(seven.begins_in, milliseconds(500));
    EXPECT_EQ(second[is_sorted ? 1 : 0].begins_in, microseconds(0)) << "another endpoint";
    EXPECT_EQ(db_.sql("SELECT round(extract(epoch FROM free_at - clock_timestamp())::numeric, 0) FROM messaging._endpoint_rate "
                      "WHERE endpoint_id = 7"),
              "1");
}

TEST_F(RateLimitStoreTest, AMomentInThePastIsNotGivenOut) {
    reserve({{7, 1000, 1}});
    db_.sql("UPDATE messaging._endpoint_rate SET free_at = now() - interval '1 hour'");
    EXPECT_EQ(reserve({{7, 1, 1}})[0].begins_in, microseconds(0));
    EXPECT_GT(reserve({{7, 1, 1}})[0].begins_in, milliseconds(500)) << "no burst for the hour";
}

TEST_F(RateLimitStoreTest, AClockThatWasSetBackDoesNotStopAnEndpoint) {
    reserve({{7, 1, 1}});
    db_.sql("UPDATE messaging._endpoint_rate SET free_at = now() + interval '1 hour'");
    EXPECT_EQ(reserve({{7, 1, 1}})[0].begins_in, microseconds(0));
    EXPECT_LT(reserve({{7, 1, 1}})[0].begins_in, milliseconds(1001));
}

// A reader's finding: the reservations of all endpoints waited for such a transaction, and failed.
TEST_F(RateLimitStoreTest, AnOpenTransactionThatDeletesAnEndpointStopsNoReservation) {
    db_.sql("INSERT INTO messaging.endpoints (name, url, rate_limit) VALUES ('shop', 'http://shop/', 5)");
    reserve({{1, 1, 1}, {2, 1, 1}});
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; DELETE FROM messaging.endpoints WHERE name = 'shop'"));
    EXPECT_EQ(reserve({{1, 1, 1}, {2, 1, 1}}).size(), 2U);
    ASSERT_TRUE(other.execute_script("COMMIT"));
}

// Before, nothing was reserved for any of them as long as the row was locked.
TEST_F(RateLimitStoreTest, ALockedRowStopsItsOwnEndpointOnly) {
    reserve({{1, 1, 1}, {2, 1, 1}});
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT FROM messaging._endpoint_rate WHERE endpoint_id = 1 FOR UPDATE"));
    const auto grants = reserve({{1, 1, 1}, {2, 1, 1}, {3, 1, 1}});
    ASSERT_EQ(grants.size(), 2U);
    for (const RateGrant& grant : grants) EXPECT_NE(grant.endpoint, 1);
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(reserve({{1, 1, 1}}).size(), 1U);
}

TEST_F(RateLimitStoreTest, FiveHundredEndpointsAreOneStatement) {
    std::vector<RateRequest> requests;
    for (core::EndpointId id = 1; id <= 500; ++id) requests.push_back({id, 10, 5});
    EXPECT_EQ(reserve(requests).size(), 500U);
    for (const RateGrant& grant : reserve(requests)) EXPECT_GT(grant.begins_in, microseconds(0));
}

}  // namespace
}  // namespace messaging::repository
