// Claiming in PostgreSQL: what is taken, what is left, and what the ledger keeps.
#include "engine/claim_store.h"

#include <set>

#include "engine/queue_position.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using engine::ClaimBatch;
using test::Stores;

constexpr core::InstanceId kMe = 11;
constexpr core::InstanceId kOther = 12;

std::string ids_of(const ClaimBatch& batch) {
    std::string ids;
    for (const core::Delivery& delivery : batch.deliveries) ids += (ids.empty() ? "" : " ") + std::to_string(delivery.id);
    return ids;
}

class ClaimStoreTest : public testing::Test {
protected:
    engine::ClaimRequest request(int limit, engine::QueuePosition behind = {}, core::InstanceId me = kMe) {
        engine::ClaimRequest one;
        one.instance_id = me;
        one.claim_id = ++last_claim_;
        one.behind = behind;
        one.limit = limit;
        return one;
    }
    ClaimBatch claim(int limit = 100, engine::Xid floor = 0, core::InstanceId me = kMe) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_ready(request(limit, {floor}, me), std::move(done)); });
    }
    ClaimBatch claim_due(int limit = 100) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_due(request(limit), std::move(done)); });
    }
    ClaimBatch claim_held(std::vector<core::EndpointCapacity> capacities, int other_capacity = 0, int limit = 100,
                          core::EndpointId after = 0) {
        engine::ClaimRequest held = request(limit);
        held.capacities = std::move(capacities);
        held.other_capacity = other_capacity;
        held.after = after;
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_held(held, std::move(done)); });
    }
    std::string endpoint_state(core::EndpointId id) {
        return db_.sql("SELECT state FROM messaging._endpoint_state WHERE endpoint_id = " + std::to_string(id));
    }
    engine::OrphanCount reschedule_orphans(std::vector<core::ClaimId> known, std::vector<core::MessageId> in_memory) {
        return db_.value<engine::OrphanCount>(
            [&](auto done) { store_.reschedule_orphans(kMe, known, in_memory, std::move(done)); });
    }
    void insert(int count) {
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+9055511' || g, 'text ' || g FROM generate_series(1, " +
                std::to_string(count) + ") g");
    }

    core::ClaimId last_claim_ = 100;
    Stores db_{test::fresh_database()};
    test::EngineStores store_{db_.open_session(claim_session_settings()), db_.open_session(record_session_settings())};
};

TEST_F(ClaimStoreTest, ClaimsWhatWasInsertedWithItsContents) {
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
    EXPECT_EQ(db_.sql("SELECT claim_id, instance_id, ids, attempts FROM messaging._claim"),
              std::to_string(first.claim_id) + "|11|[1,2]|[0,0]");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 0);
}

TEST_F(ClaimStoreTest, ClaimsInTheOrderOfInsertionAndNoMoreThanTheLimit) {
    insert(7);
    EXPECT_EQ(ids_of(claim(3)), "1 2 3");
    EXPECT_EQ(ids_of(claim(3)), "4 5 6");
    EXPECT_EQ(ids_of(claim(3)), "7");
    EXPECT_EQ(ids_of(claim(3)), "");
}

TEST_F(ClaimStoreTest, GoesOnBehindAPlaceAndFindsWhatLiesBeforeItFromTheFloor) {
    insert(6);
    const ClaimBatch first = claim(2);
    EXPECT_EQ(first.last.id, 2);
    const auto behind = [&](engine::QueuePosition place) {
        return db_.value<ClaimBatch>([&](auto done) { store_.claim_ready(request(2, place), std::move(done)); });
    };
    EXPECT_EQ(ids_of(behind({first.last.xid, 3})), "4 5");
    EXPECT_EQ(ids_of(behind({first.last.xid, 5})), "6");
    const ClaimBatch nothing = behind({first.last.xid + 1, 0});
    EXPECT_EQ(ids_of(nothing), "");
    EXPECT_EQ(ids_of(claim(9, first.last.xid)), "3") << "left out, and not lost";
}

TEST_F(ClaimStoreTest, AnEmptyClaimMovesTheFloorAndWritesNoLedger) {
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 0U);
    EXPECT_GT(batch.snapshot.xmax, 0U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(ClaimStoreTest, SkipsWhatIsGoneOrSentAndKeepsItOutOfTheLedger) {
    insert(4);
    db_.sql("DELETE FROM messages WHERE id = 2");
    db_.as_engine("UPDATE messages SET is_sent = true WHERE id = 3");
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 4U);
    EXPECT_EQ(ids_of(batch), "1 4");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,4]");
}

TEST_F(ClaimStoreTest, WhereEverythingIsGoneNoLedgerIsWritten) {
    insert(2);
    db_.sql("DELETE FROM messages");
    EXPECT_EQ(claim().taken, 2U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
}

TEST_F(ClaimStoreTest, TheContentIsTheOneAtTheClaim) {
    insert(1);
    db_.sql("UPDATE messages SET content = 'changed'");
    EXPECT_EQ(claim().deliveries.at(0).content, "changed");
}

TEST_F(ClaimStoreTest, DoesNotWaitForARowThatAnotherSessionHasLocked) {
    insert(3);
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT FROM messaging._queue WHERE id = 2 FOR UPDATE"));
    EXPECT_EQ(ids_of(claim()), "1 3");
    ASSERT_TRUE(other.execute_script("ROLLBACK"));
    EXPECT_EQ(ids_of(claim()), "2");
}

TEST_F(ClaimStoreTest, AClaimNamesTheTransactionsThatItCouldNotSee) {
    pg::Session open = test::connect_or_abort(db_.url());
    ASSERT_TRUE(open.execute_script("BEGIN; INSERT INTO messages (recipient, content) VALUES ('+1', 'early')"));
    insert(1);
    const ClaimBatch before = claim();
    EXPECT_EQ(ids_of(before), "2");
    ASSERT_TRUE(open.execute_script("COMMIT"));
    ASSERT_EQ(before.snapshot.running.size(), 1U);
    const engine::Xid straggler = before.snapshot.running.front();
    EXPECT_LT(straggler, before.snapshot.xmax);
    insert(1);
    engine::ClaimRequest of_straggler = request(100, {straggler});
    of_straggler.until = straggler;
    EXPECT_EQ(ids_of(db_.value<ClaimBatch>([&](auto done) { store_.claim_ready(of_straggler, std::move(done)); })), "1");
    EXPECT_EQ(ids_of(claim(100, before.snapshot.xmax)), "3");
}

TEST_F(ClaimStoreTest, WhatLiesBelowTheFloorIsLeftToAFullScan) {
    const engine::Xid floor = claim().snapshot.xmax;
    insert(1);
    db_.sql("UPDATE messaging._queue SET xid = '5'");
    EXPECT_EQ(ids_of(claim(100, floor)), "");
    EXPECT_EQ(ids_of(claim(100, 0)), "1");
}

TEST_F(ClaimStoreTest, AStoppedServiceClaimsNothing) {
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

TEST_F(ClaimStoreTest, EnginesThatClaimAtTheSameTimeShareWithoutOverlap) {
    constexpr int kMessages = 3000;
    insert(kMessages);
    test::EngineStores other(db_.open_session(claim_session_settings()), db_.open_session(record_session_settings()));
    std::multiset<core::MessageId> claimed;
    int answers = 0;
    constexpr int kClaims = 80;
    for (int i = 0; i < kClaims; ++i) {
        const bool mine = i % 2 == 0;
        (mine ? store_ : other).claim_ready(request(97, {}, mine ? kMe : kOther), [&](const core::Result<ClaimBatch>& batch) {
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

TEST_F(ClaimStoreTest, ClaimsWhatIsDueAndTellsWhenTheNextOneIs) {
    insert(3);
    db_.sql("TRUNCATE messaging._queue");
    db_.as_engine("UPDATE messages SET attempts = 2 WHERE id = 2");
    db_.sql(
        "INSERT INTO messaging._schedule VALUES (1, now() - interval '1 s'), (2, now() - interval '2 s'), (3, now() + interval "
        "'60 "
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

TEST_F(ClaimStoreTest, AFullClaimOfDueOnesSaysThatMoreMayBeDueNow) {
    insert(3);
    db_.sql("INSERT INTO messaging._schedule SELECT id, now() - id * interval '1 s' FROM messages");
    EXPECT_EQ(claim_due(2).next_due, std::chrono::milliseconds(0));
    EXPECT_FALSE(claim_due(2).next_due);
}

TEST_F(ClaimStoreTest, SchedulesWhatTheLedgerHasAndTheEngineDoesNotKnow) {
    insert(4);
    const core::ClaimId known = claim(1).deliveries.at(0).claim_id;
    claim(3);
    db_.as_engine("UPDATE messages SET is_sent = true WHERE id = 2");
    db_.as_engine("UPDATE messages SET attempts = 1 WHERE id = 3");
    EXPECT_EQ(reschedule_orphans({known}, {1}).unknown, 1U);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now()"), "4");
    EXPECT_EQ(db_.number("SELECT claim_id FROM messaging._claim"), known);
    EXPECT_EQ(reschedule_orphans({known}, {1}).unknown, 0U);
}

// Rule 6: a ledger entry alone makes no message safe.
TEST_F(ClaimStoreTest, SchedulesWhatAClaimNamesAndTheEngineDoesNotHold) {
    insert(5);
    const ClaimBatch batch = claim(5);
    const core::ClaimId known = batch.deliveries.at(0).claim_id;
    db_.as_engine("UPDATE messages SET is_sent = true WHERE id = 4");
    const auto count = reschedule_orphans({known}, {1, 3});
    EXPECT_EQ(count.unknown, 0U);
    EXPECT_EQ(count.not_in_memory, 2U);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._schedule ORDER BY id"), "2 5");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,3,4]");
    EXPECT_EQ(reschedule_orphans({known}, {1, 3}).not_in_memory, 0U);
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
}

TEST_F(ClaimStoreTest, LeavesTheClaimsOfOthersAlone) {
    insert(1);
    claim(1, 0, kOther);
    EXPECT_EQ(reschedule_orphans({}, {}).unknown, 0U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 1);
}

// Regression: a wrong endpoint_id was put off by five seconds, for ever.
TEST_F(ClaimStoreTest, AMessageWithoutAnEndpointIsDeadLettered) {
    insert(2);
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+1', 'x', 999), ('+1', 'x', -1)");
    const ClaimBatch batch = claim();
    EXPECT_EQ(ids_of(batch), "1 2");
    EXPECT_EQ(batch.taken, 4U);
    EXPECT_EQ(batch.dead, 2U);
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead ORDER BY id"), "3|no such endpoint: 999 4|no such endpoint: -1");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,2]");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
}

TEST_F(ClaimStoreTest, TheMessagesOfADeletedEndpointAreDeadLetteredAlsoWhenTheyAreDue) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('b', 'http://b/')");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+1', 'x', 2), ('+1', 'y', 2)");
    db_.sql("DELETE FROM messaging._queue WHERE id = 2");
    db_.sql("INSERT INTO messaging._schedule VALUES (2, now())");
    db_.sql("DELETE FROM messaging.endpoints WHERE name = 'b'");
    EXPECT_EQ(claim().dead, 1U);
    EXPECT_EQ(claim_due().dead, 1U);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead ORDER BY id"), "1 2");
}

TEST_F(ClaimStoreTest, TheMessagesOfAnEndpointOnHoldAreMovedThereOnce) {
    insert(3);
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged'");
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 3U);
    EXPECT_TRUE(batch.deliveries.empty());
    EXPECT_EQ(db_.sql("SELECT id, endpoint_id FROM messaging._hold ORDER BY id"), "1|1 2|1 3|1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._claim"), 0);
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
}

TEST_F(ClaimStoreTest, HeldMessagesAreClaimedInOrderAndThenTheirEndpointIsActiveAgain) {
    insert(5);
    db_.sql("UPDATE messaging._endpoint_state SET state = 'disabled', reason = 'maintenance'");
    claim(4);
    EXPECT_EQ(claim_held({{1, 10}}).taken, 0U) << "disabled: they wait";
    db_.sql("UPDATE messaging._endpoint_state SET state = 'active'");
    EXPECT_EQ(endpoint_state(1), "backlogged") << "what waits comes first";
    EXPECT_TRUE(claim(1).holding);
    EXPECT_TRUE(claim_due().holding);
    const ClaimBatch first = claim_held({{1, 3}});
    EXPECT_EQ(ids_of(first), "1 2 3");
    EXPECT_TRUE(first.deliveries[0].was_held);
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1,2,3]");
    EXPECT_EQ(claim_held({{1, 0}}).taken, 0U);
    EXPECT_EQ(ids_of(claim_held({{1, 3}})), "4 5") << "also the one that was ready";
    EXPECT_EQ(claim_held({{1, 3}}).taken, 0U);
    EXPECT_EQ(endpoint_state(1), "backlogged") << "not at once: others may be about to hold some";
    db_.sql("UPDATE messaging._endpoint_state SET since = now() - interval '2 seconds'");
    claim_held({{1, 0}});
    EXPECT_EQ(endpoint_state(1), "backlogged") << "nobody has looked";
    claim_held({{1, 3}});
    EXPECT_EQ(endpoint_state(1), "active");
    EXPECT_EQ(db_.sql("SELECT reason IS NULL, since > now() - interval '1 s' FROM messaging._endpoint_state"), "true|true");
    insert(1);
    EXPECT_EQ(ids_of(claim()), "6");
}

TEST_F(ClaimStoreTest, TheNewestHeldMessageIsClaimedFirstWhereThatIsAskedFor) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('second', 'http://b/')");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'failing'");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 1 + g / 4 FROM generate_series(1, 6) g");
    claim();
    EXPECT_EQ(ids_of(claim_held({{1, 1, true}, {2, 2}})), "3 4 5");
    EXPECT_EQ(ids_of(claim_held({{1, 5}, {2, 5, true}})), "1 2 6");
}

TEST_F(ClaimStoreTest, EndpointsWhoseMessagesAreHeldTakeTurns) {
    for (int id = 2; id <= 4; ++id) {
        db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('number " + std::to_string(id) + "', 'http://b/')");
    }
    db_.sql("UPDATE messaging._endpoint_state SET state = 'disabled'");
    db_.sql(
        "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', e FROM generate_series(1, 3), "
        "generate_series(1, 4) e");
    claim();
    db_.sql("UPDATE messaging._endpoint_state SET state = 'active' WHERE endpoint_id <> 4");
    const auto endpoints = [](const ClaimBatch& batch) {
        std::multiset<core::EndpointId> found;
        for (const core::Delivery& delivery : batch.deliveries) found.insert(delivery.endpoint_id);
        return found;
    };
    EXPECT_EQ(endpoints(claim_held({{2, 1}}, 2, 3)), (std::multiset<core::EndpointId>{1, 1, 2}));
    EXPECT_EQ(endpoints(claim_held({{2, 1}}, 2, 3, 2)), (std::multiset<core::EndpointId>{1, 3, 3})) << "begins behind 2";
}

// 5,000 endpoints with a room of their own, such as those whose secrets no key opens, took 0.15 s of each claim, and 40,000 all
// of its five seconds.
TEST_F(ClaimStoreTest, TheRoomsOfManyEndpointsAreFoundInOnePass) {
    insert(1);
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged'");
    claim();
    db_.sql(
        "INSERT INTO messaging._endpoint_state (endpoint_id, state) SELECT g, 'backlogged' FROM generate_series(1001, 81000) g");
    std::vector<core::EndpointCapacity> capacities{{1, 3}};
    for (core::EndpointId id = 1001; id <= 81000; ++id) capacities.push_back({id, 0});
    capacities.push_back({7, 5});  // not held
    EXPECT_EQ(ids_of(claim_held(capacities, 8)), "1");
}

TEST_F(ClaimStoreTest, AClaimTellsThatItsEndpointOrASecretWasChanged) {
    const auto claimed_and_read = [&] {
        insert(1);
        const std::int64_t claimed = claim().deliveries.at(0).endpoint_version;
        const auto read = db_.value<std::vector<core::Endpoint>>([&](auto done) { store_.load_endpoints(std::move(done)); });
        EXPECT_EQ(read.at(0).version, claimed);
        return claimed;
    };
    std::int64_t last = claimed_and_read();
    const std::string secret = "'whsec_" + std::string(32, 'A') + "'";
    for (const std::string& change :
         {std::string("UPDATE messaging.endpoints SET url = 'http://new/'"),
          "INSERT INTO messaging._endpoint_secret (endpoint_id, kind, secret) VALUES (1, 'v1', " + secret + ")",
          std::string("UPDATE messaging._endpoint_secret SET expires_at = now() + interval '1 h'"),
          std::string("DELETE FROM messaging._endpoint_secret")}) {
        db_.sql(change);
        const std::int64_t now = claimed_and_read();
        EXPECT_NE(now, last) << change;
        last = now;
    }
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged'");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'active'");
    EXPECT_EQ(claimed_and_read(), last) << "the claim itself has read the state";
    pg::Session operator_session = test::connect_or_abort(db_.url());
    ASSERT_TRUE(operator_session.execute_script("BEGIN; SELECT messaging.disable('default')"));
    db_.sql("UPDATE messaging.endpoints SET url = 'http://newer/'");  // does not wait for it
    ASSERT_TRUE(operator_session.execute_script("ROLLBACK"));
}

// A claim that had read an older state holds a message after its endpoint has become active.
TEST_F(ClaimStoreTest, WhatIsHeldForAnEndpointThatHasJustBecomeActiveIsClaimed) {
    insert(1);
    db_.sql("UPDATE messaging._endpoint_state SET since = now()");  // the row may be as old as the test program
    claim();
    db_.sql("INSERT INTO messaging._hold VALUES (1, 1)");
    db_.sql("DELETE FROM messaging._claim");
    db_.sql("UPDATE messaging._endpoint_state SET since = now()");
    EXPECT_TRUE(claim_due().holding);
    EXPECT_EQ(ids_of(claim_held({}, 8)), "1");
    db_.sql("UPDATE messaging._endpoint_state SET since = now() - interval '11 seconds'");
    EXPECT_FALSE(claim_due().holding);
}

TEST_F(ClaimStoreTest, AHeldMessageCanBeNamedAndGivenUp) {
    insert(2);
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged'");
    claim();
    engine::ClaimRequest one = request(1);
    one.other_capacity = 8;
    const auto first =
        db_.value<std::optional<core::MessageId>>([&](auto done) { store_.peek(engine::Source::kHeld, one, std::move(done)); });
    EXPECT_EQ(first, 1);
    db_.value<core::Unit>([&](auto done) { store_.dead_letter(engine::Source::kHeld, 1, "unreadable", std::move(done)); });
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead"), "1|unreadable");
    one.only = 2;
    EXPECT_EQ(ids_of(db_.value<ClaimBatch>([&](auto done) { store_.claim_held(one, std::move(done)); })), "2");
}

// A claim that had read an older state holds a message after its endpoint has become active.
TEST_F(ClaimStoreTest, WhatIsHeldForAnEndpointThatIsActiveOrGoneIsQueuedByReconcile) {
    insert(3);
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('b', 'http://b/'), ('c', 'http://c/')");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'disabled' WHERE endpoint_id = 2");
    db_.sql("DELETE FROM messaging.endpoints WHERE id = 3");
    db_.sql("INSERT INTO messaging._hold VALUES (1, 1), (2, 2), (3, 3)");
    db_.sql("SELECT messaging._release_strays(1000)");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "1 3");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._hold"), "2");
}

TEST_F(ClaimStoreTest, AHeldMessageThatGetsAnotherEndpointIsReadyForIt) {
    insert(1);
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('b', 'http://b/')");
    db_.sql("UPDATE messaging._endpoint_state SET state = 'backlogged' WHERE endpoint_id = 1");
    claim();
    db_.sql("UPDATE messages SET endpoint_id = 2");
    EXPECT_EQ(ids_of(claim()), "1");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), 0);
}

TEST_F(ClaimStoreTest, EndpointsThatReplicationInsertsAndTruncateRemovesAreKnownAsSuch) {
    db_.sql("SET session_replication_role = replica");
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('b', 'http://b/')");
    db_.sql("RESET session_replication_role");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'x', 2)");
    EXPECT_EQ(ids_of(claim()), "1");
    db_.sql("TRUNCATE messaging.endpoints");
    insert(1);
    EXPECT_EQ(claim().dead, 1U);
}

// A reader's finding: after ALTER COLUMN … TYPE nothing was claimed until somebody ended the session.
TEST_F(ClaimStoreTest, AColumnOfAnotherTypeCostsOneClaim) {
    insert(1);
    claim();
    db_.sql(
        "DROP VIEW messaging.message_status, messaging.dead_letters, messaging.pending, messaging.sending, messaging.scheduled, "
        "messaging.held CASCADE");
    db_.sql("ALTER TABLE messages ALTER COLUMN recipient TYPE varchar");
    insert(1);
    const auto stale = db_.answer<ClaimBatch>([&](auto done) { store_.claim_ready(request(10), std::move(done)); });
    ASSERT_FALSE(stale.ok());
    EXPECT_EQ(stale.error().kind, core::ErrorKind::kUnavailable);
    std::string claimed;
    ASSERT_TRUE(test::wait_until([&] {
        const auto batch = db_.answer<ClaimBatch>([&](auto done) { store_.claim_ready(request(10), std::move(done)); });
        if (batch) claimed += ids_of(batch.value());
        return !claimed.empty();
    }));
    EXPECT_EQ(claimed, "2");
}

TEST_F(ClaimStoreTest, AMessageWhoseAttemptsHaveReachedTheLimitIsDeadLetteredByItsClaim) {
    db_.sql("INSERT INTO messages (recipient, content, attempts) VALUES ('+1', 'x', 32000), ('+1', 'y', 31998)");
    EXPECT_EQ(ids_of(claim()), "2");
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead"),
              "1|attempts is 31999 or more, and the service counts no further");
}

TEST_F(ClaimStoreTest, AnIdThatStandsTwiceInTheQueueIsSentOnce) {
    insert(1);
    db_.sql("UPDATE messages SET is_sent = true");
    db_.sql("UPDATE messages SET is_sent = false");
    ASSERT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 2);
    const ClaimBatch batch = claim();
    EXPECT_EQ(batch.taken, 2U);
    EXPECT_EQ(ids_of(batch), "1");
    EXPECT_EQ(db_.sql("SELECT ids FROM messaging._claim"), "[1]");
}

// Regression: a row that a policy hides looked gone, and left the queue.
TEST_F(ClaimStoreTest, RowLevelSecurityMakesTheClaimFailAndTheQueueIsUntouched) {
    insert(2);
    db_.sql("CREATE ROLE bound LOGIN SUPERUSER");
    db_.sql("ALTER TABLE messages ENABLE ROW LEVEL SECURITY");
    db_.sql("ALTER ROLE bound NOSUPERUSER NOBYPASSRLS");
    db_.sql("SELECT messaging.grant_to('bound', 'service')");
    auto settings = claim_session_settings();
    settings.emplace_back("role", "bound");
    test::EngineStores bound(db_.open_session(settings), db_.open_session(settings));
    const auto refused = db_.answer<ClaimBatch>([&](auto done) { bound.claim_ready(request(10), std::move(done)); });
    ASSERT_FALSE(refused.ok());
    EXPECT_NE(refused.error().message.find("row-level security"), std::string::npos) << refused.error().message;
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 2);
    db_.close_sessions();
    db_.sql("DROP OWNED BY bound");
    db_.sql("DROP ROLE bound");
}

TEST_F(ClaimStoreTest, OneMessageCanBeNamedClaimedAndGivenUpByItsName) {
    insert(3);
    db_.sql("INSERT INTO messaging._schedule VALUES (3, now())");
    const auto peek = [&](engine::Source source) {
        return db_.value<std::optional<core::MessageId>>([&](auto done) { store_.peek(source, request(1), std::move(done)); });
    };
    EXPECT_EQ(peek(engine::Source::kReady), 1);
    EXPECT_EQ(peek(engine::Source::kDue), 3);
    engine::ClaimRequest second = request(1);
    second.only = 2;
    const auto batch = db_.value<ClaimBatch>([&](auto done) { store_.claim_ready(second, std::move(done)); });
    EXPECT_EQ(ids_of(batch), "2");
    for (const auto& [source, id] : {std::pair{engine::Source::kReady, 1}, std::pair{engine::Source::kDue, 3}}) {
        db_.value<core::Unit>(
            [&, source = source, id = id](auto done) { store_.dead_letter(source, id, "unreadable", std::move(done)); });
    }
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging._dead ORDER BY id"), "1|unreadable 3|unreadable");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "3") << "its second entry; the first claim drops it";
    EXPECT_FALSE(peek(engine::Source::kDue));
}

TEST_F(ClaimStoreTest, ADueClaimTellsWhereItEndedAndTheNextOneBeginsThere) {
    insert(3);
    db_.sql("TRUNCATE messaging._queue");
    db_.sql(
        "INSERT INTO messaging._schedule VALUES (1, now() - interval '3 h'), (2, now() - interval '2 h'), (3, now() - interval "
        "'1 h')");
    const ClaimBatch first = claim_due(1);
    EXPECT_EQ(ids_of(first), "1");
    EXPECT_NEAR(std::chrono::duration<double>(first.now - first.last_due).count(), 3 * 3600, 60);
    engine::ClaimRequest next = request(10);
    next.due_from = first.now - std::chrono::minutes(90);
    EXPECT_EQ(ids_of(db_.value<ClaimBatch>([&](auto done) { store_.claim_due(next, std::move(done)); })), "3");
    EXPECT_EQ(ids_of(claim_due()), "2");
    EXPECT_EQ(claim_due().last_due, engine::DueTime(0)) << "nothing was taken";
}

TEST_F(ClaimStoreTest, LoadsEndpointsAndTheirHeaders) {
    db_.sql("UPDATE messaging.endpoints SET url = 'http://a/', max_in_flight = 5");
    db_.sql(
        "INSERT INTO messaging.endpoints (name, url, timeout_seconds, max_attempts, rate_limit) VALUES ('b', 'http://b/', 3, 4, "
        "5)");
    db_.sql("SELECT messaging.disable('b')");
    db_.sql("ALTER TABLE messaging.endpoints DISABLE TRIGGER endpoints_check");  // as replication would bring it
    db_.sql(R"(UPDATE messaging.endpoints SET headers = '{"x-one": "1", "x-number": 2}' WHERE name = 'b')");
    auto endpoints = db_.value<std::vector<core::Endpoint>>([&](auto done) { store_.load_endpoints(std::move(done)); });
    std::sort(endpoints.begin(), endpoints.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    ASSERT_EQ(endpoints.size(), 2U);
    EXPECT_EQ(endpoints[0].name, "default");
    EXPECT_EQ(endpoints[0].url, "http://a/");
    EXPECT_EQ(endpoints[0].max_in_flight, 5);
    using Headers = std::vector<std::pair<std::string, std::string>>;
    EXPECT_EQ(endpoints[1].headers, (Headers{{"x-one", "1"}}));
    EXPECT_EQ(endpoints[0].state, core::EndpointState::kActive);
    EXPECT_EQ(endpoints[1].state, core::EndpointState::kDisabled);
    EXPECT_EQ(endpoints[0].timeout, std::nullopt);
    EXPECT_EQ(endpoints[1].timeout, std::chrono::seconds(3));
    EXPECT_EQ(endpoints[1].max_attempts, 4);
    EXPECT_EQ(endpoints[1].rate_limit, 5);
}

}  // namespace
}  // namespace messaging::repository
