// An instance's life in PostgreSQL, and what others do when it ends.
#include <algorithm>

#include "repository/presence_store.h"
#include "repository/queue_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::AdoptedDelivery;
using test::Stores;
using Adopted = std::vector<AdoptedDelivery>;

// One engine's sessions: its locks end with them.
struct Engine {
    explicit Engine(Stores& stores)
        : db(stores),
          presence(db.open_session(bell_session_settings())),
          queue(db.open_session(claim_session_settings()), db.open_session(record_session_settings())) {
        id = db.value<core::InstanceId>([&](auto done) { presence.register_instance("engine", std::move(done)); });
    }
    service::ClaimBatch claim(int limit) {
        return db.value<service::ClaimBatch>([&](auto done) { queue.claim_ready({id, {}, limit}, std::move(done)); });
    }
    // What it has seen dead, as if it had looked for long enough.
    Adopted adopt(std::vector<core::ClaimId> known = {}) {
        std::vector<core::InstanceId> dead;
        for (const service::InstanceSign& sign : look()) {
            if (sign.lock_free) dead.push_back(sign.id);
        }
        return db.value<Adopted>([&](auto done) { presence.adopt_dead(id, known, dead, std::move(done)); });
    }
    std::vector<service::InstanceSign> look() {
        return db.value<std::vector<service::InstanceSign>>(
            [&](auto done) { presence.look_at_others(id, service::kSilentAfter, std::move(done)); });
    }

    Stores& db;
    PgPresenceStore presence;
    PgQueueStore queue;
    core::InstanceId id = 0;
};

class Presence : public testing::Test {
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

TEST_F(Presence, RegisteringGivesAnIdOfItsOwnAndHearsTheBell) {
    EXPECT_NE(me_.id, other_.id);
    EXPECT_EQ(mine_.number("SELECT count(*) FROM messaging._instance"), 2);
    theirs_.sql("SELECT pg_advisory_lock(771, 1)");  // asleep: inserters ring
    insert(1);
    mine_.sql("UPDATE messaging._state SET state = 'stopped'");
    ASSERT_TRUE(test::run_until(mine_.loop(), [&] { return mine_.notified().size() >= 2; }));
    EXPECT_EQ(mine_.notified(), (std::vector<std::string>{kReadyChannel, kControlChannel}));
    EXPECT_FALSE(mine_.value<bool>([&](auto done) { me_.presence.read_state(std::move(done)); }));
}

TEST_F(Presence, AHeartbeatTellsWhatIsInFlightAndTheFloor) {
    look_stale(me_.id);
    mine_.value<core::Nothing>([&](auto done) { me_.presence.heartbeat(me_.id, 42, 7777, std::move(done)); });
    EXPECT_EQ(
        mine_.sql("SELECT in_flight, floor FROM messaging._instance WHERE last_seen > now() - interval '3 s' AND instance_id = " +
                  std::to_string(me_.id)),
        "42|7777");
}

TEST_F(Presence, UnregisteringRemovesTheRow) {
    mine_.value<core::Nothing>([&](auto done) { me_.presence.unregister_instance(me_.id, std::move(done)); });
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._instance"), other_.id);
}

TEST_F(Presence, AnInstanceThatHoldsItsLockKeepsItsClaimsWhoeverCallsItDead) {
    insert(1);
    other_.claim(1);
    look_stale(other_.id);
    ASSERT_EQ(me_.look().size(), 1U);
    EXPECT_FALSE(me_.look()[0].lock_free);
    EXPECT_TRUE(me_.look()[0].silent);
    EXPECT_TRUE(
        mine_.value<Adopted>([&](auto done) { me_.presence.adopt_dead(me_.id, {}, {other_.id}, std::move(done)); }).empty());
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._claim"), other_.id);
}

TEST_F(Presence, AHungInstanceLosesItsLockAndNobodyElseDoes) {
    Engine third(mine_);
    look_stale(other_.id);
    const auto ended = mine_.value<std::size_t>([&](auto done) { me_.presence.end_sessions({other_.id}, std::move(done)); });
    EXPECT_EQ(ended, 1U);
    const auto free = [&] {
        std::vector<core::InstanceId> ids;
        for (const service::InstanceSign& sign : me_.look()) {
            if (sign.lock_free) ids.push_back(sign.id);
        }
        return ids;
    };
    ASSERT_TRUE(test::wait_until([&] { return !free().empty(); }));
    EXPECT_EQ(free(), std::vector<core::InstanceId>{other_.id});
}

TEST_F(Presence, TheClaimsOfADeadInstanceAreAdoptedOnce) {
    insert(3);
    const core::ClaimId claim = other_.claim(3).deliveries.at(0).claim_id;
    kill(other_.id);
    Adopted adopted = me_.adopt();
    std::sort(adopted.begin(), adopted.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    ASSERT_EQ(adopted.size(), 3U);
    EXPECT_EQ(adopted[0].id, 1);
    EXPECT_NE(adopted[0].claim_id, claim) << "what was outcome of the old claim is not one of the new";
    EXPECT_EQ(adopted[0].attempts, 0);
    EXPECT_EQ(mine_.sql("SELECT instance_id, adopted FROM messaging._claim"), std::to_string(me_.id) + "|true");
    EXPECT_EQ(mine_.number("SELECT instance_id FROM messaging._instance"), me_.id);
    EXPECT_TRUE(me_.adopt({adopted[0].claim_id}).empty());
    EXPECT_EQ(me_.adopt({}).size(), 3U) << "an answer that was lost is given again";
}

TEST_F(Presence, WhatTheDeadOneHadResolvedIsNotAdopted) {
    insert(4);
    other_.claim(2);
    other_.claim(2);
    mine_.sql("UPDATE messages SET is_sent = true WHERE id IN (1, 3)");
    mine_.sql("UPDATE messages SET attempts = 1 WHERE id = 2");
    kill(other_.id);
    const Adopted adopted = me_.adopt();
    ASSERT_EQ(adopted.size(), 1U);
    EXPECT_EQ(adopted[0].id, 4);
    EXPECT_EQ(mine_.sql("SELECT claim_id, ids FROM messaging._claim"), std::to_string(adopted[0].claim_id) + "|[3,4]")
        << "a claim with nothing left is deleted";
}

TEST_F(Presence, AClaimWhoseInstanceIsUnknownIsAdopted) {
    insert(1);
    other_.claim(1);
    mine_.sql("DELETE FROM messaging._instance WHERE instance_id = " + std::to_string(other_.id));
    EXPECT_EQ(me_.adopt().size(), 1U);
}

TEST_F(Presence, AClaimOfMineWhoseAnswerIsOnItsWayIsNotAdopted) {
    insert(1);
    me_.claim(1);
    EXPECT_TRUE(me_.adopt({}).empty());
}

TEST_F(Presence, OfSeveralRescuersOnlyOneAdopts) {
    insert(100);
    other_.claim(100);
    kill(other_.id);
    std::vector<std::unique_ptr<Engine>> rescuers;
    for (int i = 0; i < 4; ++i) rescuers.push_back(std::make_unique<Engine>(mine_));
    std::size_t adopted = 0;
    int answers = 0;
    for (const auto& rescuer : rescuers) {
        rescuer->presence.adopt_dead(rescuer->id, {}, {other_.id}, [&](const core::Result<Adopted>& result) {
            ++answers;
            ASSERT_TRUE(result.ok());
            adopted += result->size();
        });
    }
    ASSERT_TRUE(test::run_until(mine_.loop(), [&] { return answers == 4; }));
    EXPECT_EQ(adopted, 100U);
}

TEST_F(Presence, AFailureRecordedByTheOneThoughtDeadIsDroppedAfterTheRescue) {
    insert(1);
    const core::ClaimId claim = other_.claim(1).deliveries.at(0).claim_id;
    kill(other_.id);
    const Adopted adopted = me_.adopt();
    ASSERT_EQ(adopted.size(), 1U);
    core::Outcome late;
    late.id = 1;
    late.claim_id = claim;
    late.kind = core::OutcomeKind::kRetry;
    late.attempts = 1;
    mine_.value<service::RecordResult>([&](auto done) { me_.queue.record({other_.id, {late}, {claim}, {}}, std::move(done)); });
    EXPECT_EQ(mine_.number("SELECT attempts FROM messages"), 0);
    late.claim_id = adopted[0].claim_id;
    mine_.value<service::RecordResult>([&](auto done) { me_.queue.record({me_.id, {late}, {claim}, {}}, std::move(done)); });
    EXPECT_EQ(mine_.number("SELECT attempts FROM messages"), 1);
}

// An engine that got back a claim which it had once lost took its old outcomes for the new ones, ended the claim too early, and
// what was then not yet recorded was in no table any more.
TEST_F(Presence, TheOutcomesOfALostClaimDoNotEndItOnceItIsAdoptedBack) {
    insert(2);
    const core::ClaimId lost = me_.claim(2).deliveries.at(0).claim_id;
    mine_.sql("UPDATE messaging._claim SET instance_id = " + std::to_string(other_.id));  // as by a rescue
    kill(other_.id);
    const Adopted adopted = me_.adopt();
    ASSERT_EQ(adopted.size(), 2U);
    core::Outcome old;
    old.id = 1;
    old.claim_id = lost;
    old.attempts = 1;
    mine_.value<service::RecordResult>([&](auto done) { me_.queue.record({me_.id, {old}, {lost}, {}}, std::move(done)); });
    core::Outcome abandoned;
    abandoned.id = 2;
    abandoned.claim_id = adopted[0].claim_id;
    abandoned.kind = core::OutcomeKind::kRetry;
    abandoned.attempts = 1;
    mine_.value<service::RecordResult>([&](auto done) { me_.queue.record({me_.id, {abandoned}, {}, {}}, std::move(done)); });
    EXPECT_EQ(mine_.sql("SELECT id FROM messaging._schedule"), "2");
}

TEST_F(Presence, OnlyClaimsThatAreStillTheOldInstancesMove) {
    insert(2);
    const core::ClaimId mine = me_.claim(1).deliveries.at(0).claim_id;
    other_.claim(1);
    const auto moved =
        mine_.value<std::vector<core::ClaimId>>([&](auto done) { me_.presence.move_claims(me_.id, 99, std::move(done)); });
    EXPECT_EQ(moved, std::vector<core::ClaimId>{mine});
    EXPECT_EQ(mine_.sql("SELECT instance_id FROM messaging._claim ORDER BY claim_id"), "99 " + std::to_string(other_.id));
}

}  // namespace
}  // namespace messaging::repository
