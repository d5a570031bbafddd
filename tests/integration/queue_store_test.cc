// Claiming in PostgreSQL: what is taken, what is left, and what the ledger keeps.
#include "repository/queue_store.h"

#include <set>

#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::ClaimBatch;
using test::Stores;

constexpr core::InstanceId kMe = 11;
constexpr core::InstanceId kOther = 12;

std::string ids_of(const ClaimBatch& batch) {
    std::string ids;
    for (const core::Delivery& delivery : batch.deliveries) ids += (ids.empty() ? "" : " ") + std::to_string(delivery.id);
    return ids;
}

class QueueStore : public testing::Test {
protected:
    ClaimBatch claim(int limit = 100, service::Floor floor = 0, core::InstanceId me = kMe) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_ready({me, {floor}, limit}, std::move(done)); });
    }
    ClaimBatch claim_due(int limit = 100) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_due({kMe, {}, limit}, std::move(done)); });
    }
    std::size_t return_orphans(std::vector<core::ClaimId> known) {
        return db_.value<std::size_t>([&](auto done) { store_.return_orphans(kMe, known, std::move(done)); });
    }
    void insert(int count) {
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+9055511' || g, 'text ' || g FROM generate_series(1, " +
                std::to_string(count) + ") g");
    }

    Stores db_{test::fresh_database()};
    PgQueueStore store_{db_.open_session(claim_session_settings()), db_.open_session(record_session_settings())};
};

TEST_F(QueueStore, ClaimsWhatWasInsertedWithItsContents) {
    db_.sql(
        "INSERT INTO messages (recipient, content) VALUES ('+905551111111', 'Merhaba 👋'), ('+4915112345678', E'two\\nlines')");
    const ClaimBatch batch = claim();
    ASSERT_EQ(batch.deliveries.size(), 2U);
    EXPECT_EQ(batch.taken, 2U);
    EXPECT_TRUE(batch.running);
    const core::Delivery& first = batch.deliveries[0];
    EXPECT_EQ(first.id, 1);
    EXPECT_EQ(first.recipient, "+905551111111");
    EXPECT_EQ(first.content, "Merhaba 👋");
    EXPECT_EQ(first.attempts, 0);
    EXPECT_EQ(first.endpoint_id, core::kDefaultEndpointId);
    EXPECT_GE(first.age_seconds, 0);
    EXPECT_EQ(batch.deliveries[1].content, "two\nlines");
    EXPECT_EQ(db_.sql("SELECT claim_id, instance_id, ids, attempts, adopted FROM messaging._claim"),
              std::to_string(first.claim_id) + "|11|[1,2]|[0,0]|false");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 0);
}

TEST_F(QueueStore, ClaimsInTheOrderOfInsertionAndNoMoreThanTheLimit) {
    insert(7);
    EXPECT_EQ(ids_of(claim(3)), "1 2 3");
    EXPECT_EQ(ids_of(claim(3)), "4 5 6");
    EXPECT_EQ(ids_of(claim(3)), "7");
    EXPECT_EQ(ids_of(claim(3)), "");
}

TEST_F(QueueStore, GoesOnBehindAPlaceAndFindsWhatLiesBeforeItFromTheFloor) {
    insert(6);
    const ClaimBatch first = claim(2);
    EXPECT_EQ(first.last.id, 2);
    const auto behind = [&](service::QueuePosition place) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_ready({kMe, place, 2}, std::move(done)); });
    };
    EXPECT_EQ(ids_of(behind({first.last.xid, 3})), "4 5");
    EXPECT_EQ(ids_of(behind({first.last.xid, 5})), "6");
    const ClaimBatch nothing = behind({first.last.xid + 1, 0});
    EXPECT_EQ(ids_of(nothing), "");
    EXPECT_EQ(ids_of(claim(9, first.last.xid)), "3") << "left out, and not lost";
}

TEST_F(QueueStore, AnEmptyClaimMovesTheFloorAndWritesNoLedger) {
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 0U);
    EXPECT_GT(batch.next_floor, 0U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(QueueStore, SkipsWhatIsGoneOrSentAndKeepsItOutOfTheLedger) {
    insert(4);
    db_.sql("DELETE FROM messages WHERE id = 2");
    db_.sql("UPDATE messages SET is_sent = true WHERE id = 3");
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 4U);
    EXPECT_EQ(ids_of(batch), "1 4");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,4]");
}

TEST_F(QueueStore, WhereEverythingIsGoneNoLedgerIsWritten) {
    insert(2);
    db_.sql("DELETE FROM messages");
    EXPECT_EQ(claim().taken, 2U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(QueueStore, TheContentIsTheOneAtTheClaim) {
    insert(1);
    db_.sql("UPDATE messages SET content = 'changed'");
    EXPECT_EQ(claim().deliveries.at(0).content, "changed");
}

TEST_F(QueueStore, DoesNotWaitForARowThatAnotherHolds) {
    insert(3);
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT FROM messaging._queue WHERE id = 2 FOR UPDATE"));
    EXPECT_EQ(ids_of(claim()), "1 3");
    ASSERT_TRUE(other.execute_script("ROLLBACK"));
    EXPECT_EQ(ids_of(claim()), "2");
}

TEST_F(QueueStore, TheFloorNeverPassesATransactionThatIsStillOpen) {
    pg::Session open = test::connect_or_abort(db_.url());
    ASSERT_TRUE(open.execute_script("BEGIN; INSERT INTO messages (recipient, content) VALUES ('+1', 'early')"));
    insert(1);
    const ClaimBatch before = claim();
    EXPECT_EQ(ids_of(before), "2");
    ASSERT_TRUE(open.execute_script("COMMIT"));
    EXPECT_EQ(ids_of(claim(100, before.next_floor)), "1");
}

TEST_F(QueueStore, WhatLiesBelowTheFloorIsLeftToASweep) {
    const service::Floor floor = claim().next_floor;
    insert(1);
    db_.sql("UPDATE messaging._queue SET xid = '5'");
    EXPECT_EQ(ids_of(claim(100, floor)), "");
    EXPECT_EQ(ids_of(claim(100, 0)), "1");
}

TEST_F(QueueStore, AStoppedServiceClaimsNothing) {
    insert(2);
    db_.sql("INSERT INTO messaging._schedule VALUES (2, now())");
    db_.sql("UPDATE messaging._state SET state = 'stopped'");
    EXPECT_FALSE(claim().running);
    EXPECT_FALSE(claim_due().running);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 2);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 1);
    db_.sql("UPDATE messaging._state SET state = 'running'");
    EXPECT_EQ(claim().taken, 2U);
}

TEST_F(QueueStore, EnginesThatClaimAtTheSameTimeShareWithoutOverlap) {
    constexpr int kMessages = 3000;
    insert(kMessages);
    PgQueueStore other(db_.open_session(claim_session_settings()), db_.open_session(record_session_settings()));
    std::multiset<core::MessageId> claimed;
    int answers = 0;
    constexpr int kClaims = 80;
    for (int i = 0; i < kClaims; ++i) {
        const bool mine = i % 2 == 0;
        (mine ? store_ : other).claim_ready({mine ? kMe : kOther, {}, 97}, [&](const core::Result<ClaimBatch>& batch) {
            ++answers;
            ASSERT_TRUE(batch.ok());
            for (const auto& delivery : batch->deliveries) claimed.insert(delivery.id);
        });
    }
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return answers == kClaims; }));
    EXPECT_EQ(claimed.size(), static_cast<std::size_t>(kMessages));
    EXPECT_EQ(std::set<core::MessageId>(claimed.begin(), claimed.end()).size(), claimed.size());
    EXPECT_EQ(db_.number("SELECT count(DISTINCT id) FROM messaging._claim, unnest(ids) AS id"), kMessages);
}

TEST_F(QueueStore, ClaimsWhatIsDueAndTellsWhenTheNextOneIs) {
    insert(3);
    db_.sql("TRUNCATE messaging._queue");
    db_.sql("UPDATE messages SET attempts = 2 WHERE id = 2");
    db_.sql(
        "INSERT INTO messaging._schedule VALUES (1, now() - interval '1 s'), (2, now() - interval '2 s'), (3, now() + interval '60 "
        "s')");
    const ClaimBatch batch = claim_due();
    EXPECT_EQ(ids_of(batch), "1 2");
    EXPECT_EQ(batch.deliveries.at(1).attempts, 2);
    ASSERT_TRUE(batch.next_due);
    EXPECT_GT(batch.next_due->count(), 50000);
    EXPECT_LE(batch.next_due->count(), 60000);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._schedule"), "3");
    EXPECT_EQ(db_.sql("SELECT ids, attempts FROM messaging._claim"), "[1,2]|[0,2]");
}

TEST_F(QueueStore, AFullClaimOfDueOnesSaysThatMoreMayBeDueNow) {
    insert(3);
    db_.sql("INSERT INTO messaging._schedule SELECT id, now() - id * interval '1 s' FROM messages");
    EXPECT_EQ(claim_due(2).next_due, std::chrono::milliseconds(0));
    EXPECT_FALSE(claim_due(2).next_due);
}

TEST_F(QueueStore, ReturnsWhatTheLedgerHasAndTheEngineDoesNotKnow) {
    insert(4);
    const core::ClaimId known = claim(1).deliveries.at(0).claim_id;
    claim(3);
    db_.sql("UPDATE messages SET is_sent = true WHERE id = 2");
    db_.sql("UPDATE messages SET attempts = 1 WHERE id = 3");
    EXPECT_EQ(return_orphans({known}), 1U);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "4");
    EXPECT_EQ(db_.number("SELECT claim_id FROM messaging._claim"), known);
    EXPECT_EQ(return_orphans({known}), 0U);
}

TEST_F(QueueStore, AnAdoptedClaimIsNoOrphanBecauseItsAttemptCounts) {
    insert(1);
    claim();
    db_.sql("UPDATE messaging._claim SET adopted = true");
    EXPECT_EQ(return_orphans({}), 0U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 1);
}

TEST_F(QueueStore, LeavesTheClaimsOfOthersAlone) {
    insert(1);
    claim(1, 0, kOther);
    EXPECT_EQ(return_orphans({}), 0U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 1);
}

TEST_F(QueueStore, LoadsEndpointsAndIgnoresHeadersThatAreNone) {
    db_.sql("UPDATE messaging.endpoints SET url = 'http://a/', max_in_flight = 5");
    db_.sql(
        R"(INSERT INTO messaging.endpoints (name, url, headers) VALUES ('b', 'http://b/', '{"x-one": "1", "x-number": 2}'), ('c', 'http://c/', 'no JSON'))");
    auto endpoints = db_.value<std::vector<core::Endpoint>>([&](auto done) { store_.load_endpoints(std::move(done)); });
    std::sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    ASSERT_EQ(endpoints.size(), 3U);
    EXPECT_EQ(endpoints[0].name, "default");
    EXPECT_EQ(endpoints[0].url, "http://a/");
    EXPECT_EQ(endpoints[0].max_in_flight, 5);
    using Headers = std::vector<std::pair<std::string, std::string>>;
    EXPECT_EQ(endpoints[1].headers, (Headers{{"x-one", "1"}}));
    EXPECT_TRUE(endpoints[2].headers.empty());
}

}  // namespace
}  // namespace messaging::repository
