// An instance's life in PostgreSQL, and what others do when it ends.
#include "engine/instance_store.h"

#include <optional>

#include "core/outcome.h"
#include "engine/claim_store.h"
#include "engine/record_store.h"
#include "repository/instance_store.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using engine::Reclaimed;
using test::Stores;

// A claim id, as an engine would choose it.
core::ClaimId next_number() {
    static core::ClaimId number = 5000;
    return ++number;
}

// One engine's sessions: its locks end with them.
struct Engine {
    explicit Engine(Stores& stores)
        : db(stores),
          instances(db.open_session(listen_session_settings())),
          queue(db.open_session(claim_session_settings()), db.open_session(record_session_settings())) {
        id = db.value<core::InstanceId>([&](auto done) { instances.register_instance("engine", "", std::move(done)); });
    }
    engine::ClaimBatch claim(int limit) {
        engine::ClaimRequest request;
        request.instance_id = id;
        request.claim_id = next_number();
        request.limit = limit;
        return db.value<engine::ClaimBatch>([&](auto done) { queue.claim_ready(request, std::move(done)); });
    }
    // From those whose locks are free, as if it had looked for long enough.
    Reclaimed reclaim() {
        std::vector<core::InstanceId> failed;
        for (const engine::LivenessSample& sign : sample()) {
            if (sign.lock_free) failed.push_back(sign.id);
        }
        return reclaim_from(failed);
    }
    Reclaimed reclaim_from(const std::vector<core::InstanceId>& failed) {
        return db.value<Reclaimed>(
            [&](auto done) { instances.reclaim(id, failed, std::chrono::seconds(2), true, std::move(done)); });
    }
    engine::RecordResult record(const std::vector<core::Outcome>& outcomes, const std::vector<core::ClaimId>& finished = {}) {
        engine::RecordRequest request;
        request.instance_id = id;
        request.outcomes = outcomes;
        request.finished = finished;
        return db.value<engine::RecordResult>([&](auto done) { queue.record(request, std::move(done)); });
    }
    std::vector<engine::LivenessSample> sample() {
        return db.value<std::vector<engine::LivenessSample>>(
            [&](auto done) { instances.check_instances(id, engine::kMuteAfter, std::move(done)); });
    }

    Stores& db;
    PgInstanceStore instances;
    test::EngineStores queue;
    core::InstanceId id = 0;
};

class InstanceStoreTest : public testing::Test {
protected:
    void insert(int count) {
        mine_.sql("INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, " + std::to_string(count) +
                  ")");
    }
    void look_stale(core::InstanceId id) {
        mine_.sql("UPDATE messaging._instance SET last_seen = now() - interval '11 s' WHERE instance_id = " + std::to_string(id));
    }
    void kill(core::InstanceId id) {
        theirs_.close_sessions();
        const std::string lock =
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 772 AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) AND objid = " +
            std::to_string(id);
        ASSERT_TRUE(test::wait_until([&] { return mine_.number(lock) == 0; }));
    }

    Stores mine_{test::fresh_database()};
    Stores theirs_{mine_.url()};
    Engine me_{mine_};
    Engine other_{theirs_};
};

TEST_F(InstanceStoreTest, RegisteringGivesAnIdOfItsOwnAndReceivesNotifications) {
    EXPECT_NE(me_.id, other_.id);
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._instance"), 2);
    theirs_.sql("SELECT pg_advisory_lock(771, 1)");  // asleep: inserters notify
    insert(1);
    mine_.sql("UPDATE messaging._state SET state = 'stopped'");
    ASSERT_TRUE(test::run_until(mine_.loop(), [&] { return mine_.notified().size() >= 2; }));
    EXPECT_EQ(mine_.notified(), (std::vector<std::string>{kReadyChannel, kControlChannel}));
    EXPECT_FALSE(mine_.value<bool>([&](auto done) { me_.instances.read_state(std::move(done)); }));
}

TEST_F(InstanceStoreTest, TheStatesRowComesBackWhenItIsRead) {
    mine_.sql("DELETE FROM messaging._state");
    const auto running = [this] { return mine_.value<bool>([&](auto done) { me_.instances.read_state(std::move(done)); }); };
    EXPECT_TRUE(running());
    EXPECT_EQ(mine_.sql("SELECT state FROM messaging._state"), "running");
    EXPECT_TRUE(running());
}

TEST_F(InstanceStoreTest, AHeartbeatTellsWhatIsInFlightAndTheFloor) {
    look_stale(me_.id);
    const auto beat = [this] {
        return mine_.value<bool>([&](auto done) { me_.instances.heartbeat(me_.id, 42, 7777, std::move(done)); });
    };
    EXPECT_TRUE(beat());
    EXPECT_EQ(
        mine_.sql("SELECT in_flight, floor FROM messaging._instance WHERE last_seen > now() - interval '3 s' AND instance_id = " +
                  std::to_string(me_.id)),
        "42|7777");
    mine_.sql("DELETE FROM messaging._instance");
    EXPECT_FALSE(beat());
}

TEST_F(InstanceStoreTest, UnregisteringRemovesTheRow) {
    mine_.value<core::Unit>([&](auto done) { me_.instances.unregister_instance(me_.id, std::move(done)); });
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._instance"), other_.id);
}

TEST_F(InstanceStoreTest, AnInstanceThatHoldsItsLockKeepsItsClaimsWhoeverCallsItFailed) {
    insert(1);
    other_.claim(1);
    look_stale(other_.id);
    ASSERT_EQ(me_.sample().size(), 1U);
    EXPECT_FALSE(me_.sample()[0].lock_free);
    EXPECT_TRUE(me_.sample()[0].mute);
    mine_.sql("UPDATE messaging._instance SET last_seen = now() + interval '1 day' WHERE instance_id = " +
              std::to_string(other_.id));
    EXPECT_TRUE(me_.sample()[0].mute) << "the server's clock was ahead when it wrote its last heartbeat";
    EXPECT_EQ(me_.reclaim_from({other_.id}).claims, 0U);
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._claim"), other_.id);
}

// A record that stands still, because its engine's host has vanished, holds its claims; the reclaim of all others waited for it.
TEST_F(InstanceStoreTest, AClaimThatSomebodyHoldsDoesNotKeepTheOthersFromBeingReclaimed) {
    insert(4);
    other_.claim(2);
    const std::string first = mine_.sql("SELECT claim_id FROM messaging._claim");
    other_.claim(2);
    kill(other_.id);
    pg::Session holder = test::connect_or_abort(mine_.url());
    ASSERT_TRUE(holder.execute_script("BEGIN; SELECT FROM messaging._claim WHERE claim_id = " + first + " FOR SHARE"));
    EXPECT_EQ(me_.reclaim().claims, 1u);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule ORDER BY id"), "3 4");
    ASSERT_TRUE(holder.execute_script("ROLLBACK"));
    EXPECT_EQ(me_.reclaim().claims, 1u) << "though its instance is gone already";
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule ORDER BY id"), "1 2 3 4");
}

TEST_F(InstanceStoreTest, EverySessionOfAnUnresponsiveInstanceEnds) {
    mine_.sql("UPDATE messaging._instance SET session_tag = 'cafe0001' WHERE instance_id = " + std::to_string(other_.id));
    pg::Session record = test::connect_or_abort(mine_.url());
    pg::Session another = test::connect_or_abort(mine_.url());
    ASSERT_TRUE(record.execute_script("SET application_name = 'messaging record cafe0001'"));
    ASSERT_TRUE(another.execute_script("SET application_name = 'messaging record cafe0002'"));
    const auto ended = mine_.value<std::size_t>([&](auto done) { me_.instances.end_sessions({other_.id}, std::move(done)); });
    EXPECT_EQ(ended, 2u);
    EXPECT_FALSE(record.execute("SELECT 1"));
    EXPECT_TRUE(another.execute("SELECT 1"));
    // The same engine, registered anew, has the same tag.
    mine_.sql("INSERT INTO messaging._instance (name, session_tag) VALUES ('engine', 'cafe0001')");
    ASSERT_TRUE(another.execute_script("SET application_name = 'messaging record cafe0001'"));
    mine_.value<std::size_t>([&](auto done) { me_.instances.end_sessions({other_.id}, std::move(done)); });
    EXPECT_TRUE(another.execute("SELECT 1"));
}

TEST_F(InstanceStoreTest, AnUnresponsiveInstanceLosesItsLockAndNobodyElseDoes) {
    Engine third(mine_);
    look_stale(other_.id);
    const auto ended = mine_.value<std::size_t>([&](auto done) { me_.instances.end_sessions({other_.id}, std::move(done)); });
    EXPECT_EQ(ended, 1U);
    const auto free = [&] {
        std::vector<core::InstanceId> ids;
        for (const engine::LivenessSample& sign : me_.sample()) {
            if (sign.lock_free) ids.push_back(sign.id);
        }
        return ids;
    };
    ASSERT_TRUE(test::wait_until([&] { return !free().empty(); }));
    EXPECT_EQ(free(), std::vector<core::InstanceId>{other_.id});
}

core::Outcome refused(const core::Delivery& delivery) {
    core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kRetry);
    outcome.attempts = delivery.attempts + 1;
    outcome.delay = std::chrono::hours(1);
    outcome.error = "HTTP 503";
    return outcome;
}

// Regression: what only waited in memory when its engine died has used up no attempt.
TEST_F(InstanceStoreTest, TheMessagesOfAFailedInstanceAreScheduledOnceAndNoAttemptIsUsedUp) {
    insert(3);
    other_.claim(3);
    kill(other_.id);
    const Reclaimed reclaimed = me_.reclaim();
    EXPECT_EQ(reclaimed.claims, 1U);
    EXPECT_EQ(reclaimed.messages, 3U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now() ORDER BY id"), "1 2 3");
    EXPECT_EQ(mine_.sql("SELECT DISTINCT attempts, abandoned FROM messages"), "0|1");
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._claim"), 0);
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._instance"), me_.id);
    EXPECT_EQ(me_.reclaim().messages, 0U);
}

TEST_F(InstanceStoreTest, WhatWasAbandonedBeforeWaitsLongerAndIsGivenUpInTheEnd) {
    insert(3);
    mine_.as_engine("UPDATE messages SET abandoned = 3 WHERE id = 2");
    mine_.as_engine("UPDATE messages SET abandoned = " + std::to_string(engine::kMaxAbandonments - 1) + " WHERE id = 3");
    other_.claim(3);
    kill(other_.id);
    EXPECT_EQ(me_.reclaim().messages, 3U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now()"), "1");
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at BETWEEN now() + '5 s' AND now() + '24 s'"), "2");
    EXPECT_EQ(mine_.sql("SELECT id, reason FROM messaging._dead"), "3|engines failed 10 times while they had the message");
}

TEST_F(InstanceStoreTest, WhatTheFailedOneHadResolvedIsNotScheduledAgain) {
    insert(4);
    const auto first = other_.claim(2).deliveries;
    const auto second = other_.claim(2).deliveries;
    other_.record({core::uncounted(first.at(0), core::OutcomeKind::kDelivered), refused(first.at(1)),
                   core::uncounted(second.at(0), core::OutcomeKind::kReleased)});
    kill(other_.id);
    EXPECT_EQ(me_.reclaim().messages, 1U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now()"), "4");
    EXPECT_EQ(mine_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
}

TEST_F(InstanceStoreTest, AClaimWhoseInstanceIsUnknownIsReclaimed) {
    insert(1);
    other_.claim(1);
    mine_.sql("DELETE FROM messaging._instance WHERE instance_id = " + std::to_string(other_.id));
    EXPECT_EQ(me_.reclaim().messages, 1U);
}

TEST_F(InstanceStoreTest, AClaimOfMineWhoseAnswerIsOnItsWayIsNotReclaimed) {
    insert(1);
    me_.claim(1);
    EXPECT_EQ(me_.reclaim().claims, 0U);
}

TEST_F(InstanceStoreTest, ManyClaimsAreReclaimedInRounds) {
    insert(25);
    for (int i = 0; i < 25; ++i) other_.claim(1);
    kill(other_.id);
    EXPECT_EQ(me_.reclaim().claims, static_cast<std::size_t>(engine::kReclaimClaims));
    EXPECT_EQ(me_.reclaim().claims, static_cast<std::size_t>(engine::kReclaimClaims)) << "their instance has no row any more";
    EXPECT_EQ(me_.reclaim().claims, 5U);
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._schedule"), 25);
}

TEST_F(InstanceStoreTest, OfSeveralThatReclaimOnlyOneDoes) {
    insert(100);
    other_.claim(100);
    kill(other_.id);
    std::vector<std::unique_ptr<Engine>> engines;
    for (int i = 0; i < 4; ++i) engines.push_back(std::make_unique<Engine>(mine_));
    std::size_t reclaimed = 0;
    int answers = 0;
    for (const auto& engine : engines) {
        engine->instances.reclaim(engine->id, {other_.id}, std::chrono::seconds(2), true,
                                  [&](const core::Result<Reclaimed>& result) {
                                      ++answers;
                                      ASSERT_TRUE(result.ok());
                                      reclaimed += result->messages;
                                  });
    }
    ASSERT_TRUE(test::run_until(mine_.loop(), [&] { return answers == 4; }));
    EXPECT_EQ(reclaimed, 100U);
}

// Rule 5: one locked row delays one message.
TEST_F(InstanceStoreTest, ALockedRowKeepsNobodyFromBeingReclaimed) {
    insert(3);
    other_.claim(3);
    kill(other_.id);
    pg::Session editor = test::connect_or_abort(mine_.url());
    ASSERT_TRUE(editor.execute_script("BEGIN; SELECT FROM messages WHERE id = 2 FOR UPDATE"));
    EXPECT_EQ(me_.reclaim().messages, 3U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now() ORDER BY id"), "1 2 3");
    EXPECT_EQ(mine_.sql("SELECT abandoned FROM messages ORDER BY id"), "1 0 1") << "not counted, and not held up";
}

TEST_F(InstanceStoreTest, ARowThatRefusesAnUpdateKeepsNobodyFromBeingReclaimedUncounted) {
    insert(2);
    other_.claim(2);
    mine_.sql("ALTER TABLE messages ADD CONSTRAINT of_the_application CHECK (recipient LIKE '%@%') NOT VALID");
    kill(other_.id);
    const auto counted = mine_.answer<Reclaimed>(
        [&](auto done) { me_.instances.reclaim(me_.id, {other_.id}, std::chrono::seconds(2), true, std::move(done)); });
    EXPECT_FALSE(counted.ok());
    const auto uncounted = mine_.value<Reclaimed>(
        [&](auto done) { me_.instances.reclaim(me_.id, {other_.id}, std::chrono::seconds(2), false, std::move(done)); });
    EXPECT_EQ(uncounted.messages, 2U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now() ORDER BY id"), "1 2");
}

// A claim that a record holds is left alone, and the next reclaim sees what was recorded.
TEST_F(InstanceStoreTest, WhatIsBeingRecordedByTheOneThoughtFailedIsNotScheduledTwice) {
    insert(2);
    const auto deliveries = other_.claim(2).deliveries;
    pg::Session record = test::connect_or_abort(mine_.url());
    ASSERT_TRUE(
        record.execute_script("SET messaging.session = 'engine'; BEGIN; SELECT FROM messaging._claim FOR SHARE;"
                              "UPDATE messages SET attempts = 1 WHERE id = 1;"
                              "INSERT INTO messaging._schedule VALUES (1, now() + interval '1 h')"));
    kill(other_.id);
    EXPECT_EQ(me_.reclaim().claims, 0U);
    ASSERT_TRUE(record.execute_script("COMMIT"));
    EXPECT_EQ(me_.reclaim().messages, 1U);
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule WHERE due_at <= now()"), "2");
}

TEST_F(InstanceStoreTest, AFailureRecordedByTheOneThoughtFailedIsToldToBeLate) {
    insert(1);
    const core::Delivery delivery = other_.claim(1).deliveries.at(0);
    kill(other_.id);
    EXPECT_EQ(me_.reclaim().messages, 1U);
    const engine::RecordResult late = me_.record({refused(delivery)}, {delivery.claim_id});
    EXPECT_EQ(late.missing, std::vector<core::ClaimId>{delivery.claim_id});
    EXPECT_EQ(mine_.number("SELECT attempts FROM messages"), 0);
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._schedule"), 1);
}

TEST_F(InstanceStoreTest, ADeliveryRecordedAfterTheReclaimTakesTheMessageOutOfTheSchedule) {
    insert(1);
    const core::Delivery delivery = other_.claim(1).deliveries.at(0);
    kill(other_.id);
    me_.reclaim();
    EXPECT_EQ(me_.record({core::uncounted(delivery, core::OutcomeKind::kDelivered)}).sent.size(), 1U);
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._schedule"), 0);
}

// Regression: the move has committed, its answer is not here, and a failure is recorded.
TEST_F(InstanceStoreTest, AFailureRecordedWhileItsClaimIsMovedCounts) {
    insert(2);
    const auto deliveries = me_.claim(2).deliveries;
    pg::Session elsewhere = test::connect_or_abort(mine_.url());
    ASSERT_TRUE(elsewhere.execute_script("UPDATE messaging._claim SET instance_id = 6"));  // the move's commit
    const engine::RecordResult result = me_.record({refused(deliveries.at(0))});
    EXPECT_TRUE(result.missing.empty());
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule"), "1");
    me_.record({core::uncounted(deliveries.at(1), core::OutcomeKind::kDelivered)}, {deliveries.at(0).claim_id});
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._claim"), 0);
    EXPECT_EQ(mine_.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
}

TEST_F(InstanceStoreTest, OnlyClaimsThatNobodyHasReclaimedMove) {
    insert(3);
    const core::ClaimId mine = me_.claim(1).deliveries.at(0).claim_id;
    const core::ClaimId reclaimed = me_.claim(1).deliveries.at(0).claim_id;
    other_.claim(1);
    mine_.sql("DELETE FROM messaging._claim WHERE claim_id = " + std::to_string(reclaimed));
    const auto moved = mine_.value<std::vector<core::ClaimId>>([&](auto done) {
        me_.instances.move_claims(99, {mine, reclaimed}, std::move(done));
    });
    EXPECT_EQ(moved, std::vector<core::ClaimId>{mine});
    EXPECT_EQ(mine_.sql("SELECT instance_id FROM messaging._claim ORDER BY claim_id"), "99 " + std::to_string(other_.id));
}

}  // namespace
}  // namespace messaging::repository
