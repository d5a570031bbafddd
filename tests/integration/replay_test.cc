// Replays in PostgreSQL: which messages are sent again, in what batches, and what cannot stop or lose one.
#include <chrono>

#include "engine/replay_rounds.h"
#include "repository/replay_rounds.h"
#include "repository/replay_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using engine::ReplayRound;
using service::ReplayFilter;
using service::ReplayView;
using test::OneEngine;
using test::Stores;

constexpr int kMost = 100;  // messages of one replay that wait for their attempt
constexpr int kFew = 8;     // messages of one endpoint that has not shown yet that it is quick

class Replay : public testing::Test {
protected:
    void insert(int count, const std::string& endpoint = "1") {
        db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', " + endpoint +
                " FROM generate_series(1, " + std::to_string(count) + ")");
    }
    // Sent or dead-lettered by an engine.
    void end_all(OutcomeKind kind) { engine_.record(engine_.claim(), kind); }
    void insert_and_end(int count, OutcomeKind kind, const std::string& endpoint = "1") {
        insert(count, endpoint);
        end_all(kind);
    }
    // Its id is the number of endpoints before it, plus 2.
    void add_endpoint(const std::string& name, const std::string& more = "NULL") {
        db_.sql("INSERT INTO messaging.endpoints (name, url, tenant, event_types) VALUES ('" + name + "', 'http://" + name +
                "/', " + more + ", '{*}')");
    }
    ReplayView create(const ReplayFilter& filter) {
        return db_.value<ReplayView>([&](auto done) { store_.create(filter, "test", std::move(done)); });
    }
    ReplayView get(core::ReplayId id) {
        return db_.value<ReplayView>([&](auto done) { store_.get(id, std::move(done)); });
    }
    std::string error_of(const ReplayFilter& filter) {
        const auto result = db_.answer<ReplayView>([&](auto done) { store_.create(filter, "test", std::move(done)); });
        return result ? "" : result.error().message;
    }
    // A round now, whatever the pace.
    ReplayRound round() {
        db_.sql("UPDATE messaging._replay_pace SET next_round = now()");
        return db_.value<ReplayRound>([&](auto done) { rounds_.run_round(std::move(done)); });
    }
    // The same as if the last batch had just begun, however slow this machine is.
    ReplayRound quick_round() {
        db_.sql("UPDATE messaging._replay SET batch_at = now()");
        return round();
    }
    // The attempts of what is due.
    void deliver(OutcomeKind kind = OutcomeKind::kDelivered) { engine_.record(engine_.claim_due(), kind); }
    // Until the replay has ended.
    void finish(OutcomeKind kind = OutcomeKind::kDelivered, int rounds = 200) {
        while (rounds-- > 0 && round().running > 0) deliver(kind);
        EXPECT_EQ(db_.sql("SELECT id FROM messaging._replay WHERE state = 'running'"), "");
    }
    std::string scheduled() { return db_.sql("SELECT id FROM messaging._schedule ORDER BY id"); }
    std::string misplaced() { return db_.sql("SELECT id, is_sent, places FROM messaging.misplaced() ORDER BY id"); }
    // As an application's trigger on messages.
    void add_trigger(const std::string& when, const std::string& body, const std::string& kind = "TRIGGER") {
        db_.sql("CREATE FUNCTION app() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + " END $$");
        db_.sql("CREATE " + kind + " app " + when + " ON messages " +
                (kind == "TRIGGER" ? "" : "DEFERRABLE INITIALLY DEFERRED ") + "FOR EACH ROW EXECUTE FUNCTION app()");
    }
    // Which messages a filter chooses, replayed one batch after another.
    std::string chosen_by(const std::string& arguments) {
        db_.sql("SELECT messaging.replay(" + arguments + ")");
        const std::string id = db_.sql("SELECT max(id) FROM messaging.replays");
        std::string chosen;
        for (int i = 0; i < 50 && round().running > 0; ++i) {
            const std::string now = scheduled();
            if (!now.empty()) chosen += (chosen.empty() ? "" : " ") + now;
            deliver();
        }
        EXPECT_EQ(db_.sql("SELECT state, progress FROM messaging.replays WHERE id = " + id), "done|1");
        return chosen;
    }

    Stores db_{test::fresh_database()};
    OneEngine engine_{db_};
    PgReplayRounds rounds_{db_.open_session(reconcile_session_settings())};
    PgReplayStore store_{db_.open_session(api_session_settings()), db_.open_session(api_session_settings())};
};

TEST_F(Replay, ADeadMessageIsSentAgainWithTheSameWebhookIdAndAllItsAttempts) {
    insert_and_end(1, OutcomeKind::kDead);
    const std::string webhook_id = db_.sql("SELECT messaging.webhook_id(1)");
    const std::string generation = db_.sql("SELECT generation FROM messages");
    const auto replay = create({.status = "dead"});
    EXPECT_EQ(replay.state, "running");
    EXPECT_EQ(replay.created_by, "test");
    EXPECT_EQ(round().replayed, 1u);
    EXPECT_EQ(db_.sql("SELECT attempts, abandoned, is_sent FROM messages"), "0|0|false");
    EXPECT_EQ(db_.sql("SELECT generation = 1 + " + generation + " FROM messages"), "true");
    EXPECT_EQ(db_.sql("SELECT messaging.webhook_id(1)"), webhook_id);
    EXPECT_EQ(scheduled(), "1") << "due now, and not in the queue";
    EXPECT_EQ(misplaced(), "");
    EXPECT_EQ(get(replay.id).state, "running") << "its message waits for its attempt";
    deliver();
    round();
    const auto done = get(replay.id);
    EXPECT_EQ(done.state, "done");
    EXPECT_EQ(done.replayed, 1);
    EXPECT_EQ(done.progress, 1);
    EXPECT_TRUE(done.finished_at);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, ASentMessageIsSentAgainAsByUpdate) {
    insert_and_end(2, OutcomeKind::kDelivered);
    db_.sql("UPDATE messages SET is_sent = false WHERE id = 1");
    db_.sql("SELECT messaging.replay('default', 'sent')");
    round();
    const std::string columns =
        "is_sent, attempts, abandoned, generation % 128, sent_at IS NULL, receiver_message_id, last_error";
    EXPECT_EQ(scheduled(), "2") << "the other one waits already";
    EXPECT_EQ(db_.sql("SELECT " + columns + " FROM messages WHERE id = 2"),
              db_.sql("SELECT " + columns + " FROM messages WHERE id = 1"));
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, TheFilterChoosesByStatusEndpointTypeTenantAndTime) {
    add_endpoint("shop", "'acme'");
    insert(2);
    insert(2, "2");
    auto claimed = engine_.claim();
    engine_.record({claimed[0], claimed[2]}, OutcomeKind::kDelivered);
    engine_.record({claimed[1], claimed[3]}, OutcomeKind::kDead);  // 1 and 3 are sent, 2 and 4 dead; 3 and 4 are shop's
    db_.sql("INSERT INTO messaging.events (type, data, tenant) VALUES ('invoice.paid', '1', 'acme'), ('invoice', '1', 'acme')");
    end_all(OutcomeKind::kDead);
    db_.sql("SET messaging.session = 'engine'");
    db_.sql("UPDATE messages SET created_at = ('2026-01-0' || id || ' 12:00+00')::timestamptz");
    db_.sql("RESET messaging.session");
    const auto count = [&](const std::string& arguments) {
        return db_.sql("SELECT * FROM messaging.count_replay(" + arguments + ")");
    };
    EXPECT_EQ(count("status => 'dead'"), "4|true");
    EXPECT_EQ(count("'shop'"), "3|true");
    EXPECT_EQ(count("'2', 'both'"), "4|true");
    EXPECT_EQ(count("'shop', 'sent'"), "1|true");
    EXPECT_EQ(count("tenant => 'acme', status => 'both'"), "4|true");
    EXPECT_EQ(count("event_type => 'invoice.*'"), "1|true");
    EXPECT_EQ(count("event_type => 'invoice'"), "1|true");
    EXPECT_EQ(count("event_type => 'inv.*', status => 'both'"), "0|true");
    EXPECT_EQ(count("status => 'both', since => '2026-01-02 12:00+00', until => '2026-01-04 12:00+00'"), "2|true")
        << "created at since or later, and before until";
    EXPECT_EQ(count("since => '-infinity', until => 'infinity'"), "4|true");
    EXPECT_EQ(count("since => 'infinity'"), "0|true");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.replays"), "0") << "counting creates nothing";
    EXPECT_EQ(chosen_by("event_type => 'invoice.*', status => 'dead'"), "5");
    EXPECT_EQ(chosen_by("'default', 'both'"), "1 2");
    EXPECT_EQ(chosen_by("status => 'dead', since => '2026-01-04+00'"), "4 6") << "5 is sent by now";
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, WhatIsWrongWithAFilterIsSaid) {
    pg::Session session = test::connect_or_abort(db_.url());
    const auto says = [&](const std::string& arguments) {
        const auto result = session.execute_script("SELECT messaging.replay(" + arguments + ")");
        return result ? "" : result.error().message;
    };
    const std::string wide =
        "the filter would replay everything: name endpoint, since, event_type or tenant, or status dead alone";
    for (const char* arguments : {"", "status => 'sent'", "status => 'both'", "until => now()"}) EXPECT_EQ(says(arguments), wide);
    EXPECT_EQ(says("'shop'"), "endpoint must be the name or the id of an endpoint: there is no such endpoint");
    EXPECT_EQ(says("'default', 'pending'"), "status must be dead, sent or both");
    EXPECT_EQ(says("event_type => '*'").substr(0, 10), "event_type");
    EXPECT_EQ(says("tenant => ''").substr(0, 6), "tenant");
    EXPECT_EQ(says("since => now(), until => now()"), "until must be later than since");
    EXPECT_EQ(error_of({.endpoint = "shop"}), says("'shop'")) << "the same sentence over HTTP";
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.replays"), 0);
}

TEST_F(Replay, OnlyWhatHadEndedBeforeItsCreationIsSentAgain) {
    insert_and_end(3, OutcomeKind::kDead);
    insert(1);
    create({.status = "both", .endpoint = "default"});
    end_all(OutcomeKind::kDead);
    insert_and_end(1, OutcomeKind::kDelivered);
    finish();
    EXPECT_EQ(get(1).replayed, 3);
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead"), "4");
}

TEST_F(Replay, WhatIsDeletedWaitingOrBeingSentIsPassedOver) {
    insert_and_end(6, OutcomeKind::kDelivered);
    create({.status = "sent", .endpoint = "default"});
    db_.sql("DELETE FROM messages WHERE id = 1");
    db_.sql("UPDATE messages SET is_sent = false WHERE id IN (2, 3)");
    EXPECT_EQ(engine_.claim(1).size(), 1u);  // 2 is being sent, and 3 waits
    round();
    EXPECT_EQ(scheduled(), "4 5 6");
    EXPECT_EQ(misplaced(), "");
    deliver();
    round();
    EXPECT_EQ(get(1).state, "done");
    EXPECT_EQ(get(1).replayed, 3);
}

TEST_F(Replay, AnEndpointGetsFewMessagesUntilItHasShownThatItIsQuick) {
    insert_and_end(400, OutcomeKind::kDelivered);
    create({.status = "sent", .endpoint = "default"});
    std::vector<std::size_t> batches;
    for (int i = 0; i < 9; ++i) {
        batches.push_back(quick_round().replayed);
        deliver();
    }
    EXPECT_EQ(batches, (std::vector<std::size_t>{8, 13, 20, 31, 47, 71, 100, 100, 10}));
    round();
    EXPECT_EQ(get(1).state, "done");
}

TEST_F(Replay, NoMoreIsAddedWhileItsEarlierMessagesWait) {
    insert_and_end(50, OutcomeKind::kDelivered);
    create({.status = "sent", .endpoint = "default"});
    EXPECT_EQ(round().replayed, std::size_t{kFew});
    for (int i = 0; i < 3; ++i) EXPECT_EQ(quick_round().replayed, 0u);
    const auto claimed = engine_.claim_due();
    ASSERT_EQ(claimed.size(), std::size_t{kFew});
    EXPECT_EQ(quick_round().replayed, 0u) << "being sent";
    engine_.record({claimed[0], claimed[1], claimed[2]}, OutcomeKind::kRetry);
    EXPECT_EQ(quick_round().replayed, 0u);
    db_.sql("UPDATE messaging._replay SET batch_at = now() - interval '201 milliseconds'");
    EXPECT_EQ(round().replayed, 3u) << "a slow endpoint has as many waiting as before; a failed attempt is an attempt";
}

TEST_F(Replay, AllEndpointsTogetherHaveABoundedNumberWaiting) {
    db_.sql("INSERT INTO messaging.endpoints (name, url) SELECT 'e' || g, 'http://e/' FROM generate_series(1, 30) g");
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', 2 + g % 30 FROM generate_series(1, 300) g");
    end_all(OutcomeKind::kDead);
    create({.status = "dead"});
    EXPECT_EQ(round().replayed, std::size_t{kMost});
    EXPECT_EQ(round().replayed, 0u);
}

TEST_F(Replay, AnEndpointThatTakesOneRequestAtATimeGetsOne) {
    add_endpoint("slow");
    db_.sql("UPDATE messaging.endpoints SET max_in_flight = 1 WHERE id = 2");
    insert_and_end(5, OutcomeKind::kDead, "2");
    create({.endpoint = "slow"});
    EXPECT_EQ(round().replayed, 1u);
}

TEST_F(Replay, AnEndpointWithALimitedRateGetsWhatAQuarterOfASecondHas) {
    add_endpoint("limited");
    db_.sql("UPDATE messaging.endpoints SET rate_limit = 5 WHERE id = 2");
    insert_and_end(5, OutcomeKind::kDead, "2");
    create({.endpoint = "limited"});
    EXPECT_EQ(round().replayed, 2u);
}

TEST_F(Replay, ADisabledEndpointIsWaitedForIfItIsNamedAndSkippedOtherwise) {
    add_endpoint("off");
    insert(2);
    insert(2, "2");
    end_all(OutcomeKind::kDead);
    db_.sql("SELECT messaging.disable('off')");
    create({.endpoint = "off"});
    EXPECT_EQ(round().replayed, 0u);
    EXPECT_EQ(scheduled(), "");
    create({.status = "dead"});
    round();
    EXPECT_EQ(scheduled(), "1 2") << "the one that waits does not stop the other one";
    deliver();
    round();
    round();
    EXPECT_EQ(get(2).state, "done");
    EXPECT_EQ(get(2).skipped, 2);
    db_.sql("SELECT messaging.enable('off')");
    finish();
    EXPECT_EQ(get(1).replayed, 2);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, AnEndpointThatIsDisabledMeanwhileDoesNotKeepItRunningUnlessItIsNamed) {
    add_endpoint("off");
    insert_and_end(20, OutcomeKind::kDead, "2");
    create({.status = "dead"});
    round();
    db_.sql("SELECT messaging.disable('off')");
    EXPECT_TRUE(engine_.claim_due().empty()) << "they are held";
    round();
    round();
    EXPECT_EQ(get(1).state, "done");
    EXPECT_EQ(get(1).replayed, kFew);
    EXPECT_EQ(get(1).skipped, 20 - kFew);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._hold"), kFew);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, MessagesOfAnEndpointThatIsGoneAreSkipped) {
    add_endpoint("gone");
    insert_and_end(3, OutcomeKind::kDead, "2");
    create({.endpoint = "gone"});
    db_.sql("DELETE FROM messaging.endpoints WHERE id = 2");
    finish();
    EXPECT_EQ(get(1).skipped, 3);
    EXPECT_EQ(get(1).endpoint, std::nullopt);
    EXPECT_EQ(get(1).endpoint_id, 2);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._dead"), 3);
}

TEST_F(Replay, ACancelTakesEffectAtTheNextBatch) {
    insert_and_end(50, OutcomeKind::kDead);
    create({.status = "dead"});
    round();
    const auto cancelled = db_.value<ReplayView>([&](auto done) { store_.cancel(1, std::move(done)); });
    EXPECT_EQ(cancelled.state, "cancelled");
    EXPECT_EQ(cancelled.replayed, kFew);
    EXPECT_TRUE(cancelled.finished_at);
    deliver();
    EXPECT_EQ(round().replayed, 0u);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE is_sent"), kFew) << "what was on its way is sent";
    const auto again = db_.answer<ReplayView>([&](auto done) { store_.cancel(1, std::move(done)); });
    ASSERT_FALSE(again.ok());
    EXPECT_EQ(again.error().kind, core::ErrorKind::kConflict);
    EXPECT_EQ(db_.answer<ReplayView>([&](auto done) { store_.cancel(9, std::move(done)); }).error().kind,
              core::ErrorKind::kNotFound);
    EXPECT_EQ(misplaced(), "");
}

// Before, each round chose the locked replay again, and failed when it had waited for the lock.
TEST_F(Replay, ACancelInAnOpenTransactionStopsNoOtherReplay) {
    insert_and_end(40, OutcomeKind::kDead);
    create({.status = "dead"});
    create({.endpoint = "default"});
    pg::Session person = test::connect_or_abort(db_.url());
    ASSERT_TRUE(person.execute_script("BEGIN; SELECT messaging.cancel_replay(1)"));
    for (int i = 0; i < 20; ++i) {
        round();
        deliver();
    }
    EXPECT_EQ(get(1).replayed, 0);
    EXPECT_EQ(get(2).replayed, 40);
    ASSERT_TRUE(person.execute_script("ROLLBACK"));
    finish();
    EXPECT_EQ(get(1).state, "done");
    EXPECT_EQ(misplaced(), "");
}

// The round has read the replay as running, and is not finished when the cancel commits.
TEST_F(Replay, ARoundThatEndsAfterTheCancelKeepsItCancelled) {
    insert_and_end(1, OutcomeKind::kDead);
    create({.status = "dead"});
    db_.sql(
        "CREATE FUNCTION cancel_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " UPDATE messaging._replay SET state = 'cancelled'; RETURN NEW; END $$");
    db_.sql("CREATE TRIGGER app BEFORE UPDATE ON messages FOR EACH ROW EXECUTE FUNCTION cancel_it()");
    EXPECT_EQ(round().replayed, 1u);
    EXPECT_EQ(get(1).state, "cancelled");
    EXPECT_EQ(get(1).replayed, 1) << "and what it did is counted";
}

TEST_F(Replay, AProcessThatIsKilledInARoundLeavesNothingHalfDone) {
    insert_and_end(20, OutcomeKind::kDelivered);
    create({.status = "sent", .endpoint = "default"});
    const std::string before = db_.sql("SELECT * FROM messaging._replay");
    {
        pg::Session killed = test::connect_or_abort(db_.url());
        ASSERT_TRUE(killed.execute_script("BEGIN; SELECT messaging._replay_round()"));
    }
    ASSERT_TRUE(test::wait_until(
        [&] { return db_.number("SELECT count(*) FROM pg_locks WHERE relation = 'messaging._replay_pace'::regclass") == 0; }));
    EXPECT_EQ(db_.sql("SELECT * FROM messaging._replay"), before);
    EXPECT_EQ(scheduled(), "");
    EXPECT_EQ(misplaced(), "");
    // Killed between two rounds: another process goes on where the first one was.
    round();
    Stores other(db_.url());
    PgReplayRounds others(other.open_session(reconcile_session_settings()));
    while (get(1).state == "running") {
        deliver();
        db_.sql("UPDATE messaging._replay_pace SET next_round = now()");
        other.value<ReplayRound>([&](auto done) { others.run_round(std::move(done)); });
    }
    EXPECT_EQ(get(1).replayed, 20);
    EXPECT_EQ(db_.sql("SELECT DISTINCT generation % 128 FROM messages"), "1") << "each of them once";
}

TEST_F(Replay, TwoProcessesAtOnceDoNoRowTwice) {
    insert_and_end(100, OutcomeKind::kDelivered);
    create({.status = "sent", .endpoint = "default"});
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT messaging._replay_round()"));
    const ReplayRound mine = db_.value<ReplayRound>([&](auto done) { rounds_.run_round(std::move(done)); });
    EXPECT_EQ(mine.replayed, 0u) << "it neither waits for the other one nor does the same";
    EXPECT_GT(mine.wait.count(), 0);
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), kFew);
    finish();
    EXPECT_EQ(get(1).replayed, 100);
    EXPECT_EQ(db_.sql("SELECT DISTINCT generation % 128 FROM messages"), "1");
}

TEST_F(Replay, SeveralReplaysTakeTurnsAndDoNotSendTheSameMessageTwiceAtATime) {
    insert_and_end(30, OutcomeKind::kDead);
    create({.status = "dead"});
    create({.endpoint = "default"});
    round();
    round();
    EXPECT_EQ(get(1).replayed, kFew);
    EXPECT_EQ(get(2).replayed, kFew) << "those behind";
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._schedule"), 2 * kFew);
    finish();
    EXPECT_EQ(get(1).replayed + get(2).replayed, 30);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, ATriggerThatRaisesStopsItsOwnRowOnly) {
    insert_and_end(20, OutcomeKind::kDead);
    add_trigger("BEFORE UPDATE",
                "IF NEW.id = 5 AND NOT NEW.is_sent AND NEW.attempts = 0 THEN RAISE 'not this one'; END IF; RETURN NEW;");
    create({.status = "dead"});
    finish();
    const auto replay = get(1);
    EXPECT_EQ(replay.replayed, 19);
    EXPECT_EQ(replay.refused, 1);
    EXPECT_EQ(replay.last_error, "message 5: not this one");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead"), "5");
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, SoDoesADeferredTriggerThatRaises) {
    insert_and_end(20, OutcomeKind::kDead);
    add_trigger("AFTER UPDATE",
                "IF NEW.id = 5 AND NOT NEW.is_sent AND NEW.attempts = 0 THEN RAISE 'not this one'; END IF; RETURN NULL;",
                "CONSTRAINT TRIGGER");
    create({.status = "dead"});
    finish();
    EXPECT_EQ(get(1).replayed, 19);
    EXPECT_EQ(get(1).refused, 1);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, EndsAlsoWhereEveryRowIsRefused) {
    insert_and_end(30, OutcomeKind::kDead);
    add_trigger("BEFORE UPDATE", "RAISE 'none of these';");
    create({.status = "dead"});
    finish();
    EXPECT_EQ(get(1).refused, 30);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._dead"), 30);
}

TEST_F(Replay, ATriggerThatKeepsARowOrMarksItAsSentLosesNothing) {
    insert_and_end(4, OutcomeKind::kDead);
    add_trigger("BEFORE UPDATE",
                "IF OLD.id = 1 THEN RETURN NULL; ELSIF OLD.id = 2 THEN RETURN OLD; ELSIF OLD.id = 3 THEN NEW.is_sent := true; "
                "END IF; RETURN NEW;");
    create({.status = "dead"});
    round();
    EXPECT_EQ(misplaced(), "");
    EXPECT_EQ(db_.sql("SELECT status FROM messaging.message_status WHERE id IN (1, 3, 4) ORDER BY id"), "dead sent scheduled");
    db_.sql("DROP TRIGGER app ON messages");
    finish();
}

TEST_F(Replay, ALockedRowIsTriedAgainAndThenPassedOver) {
    insert_and_end(3, OutcomeKind::kDead);
    create({.status = "dead"});
    pg::Session other = test::connect_or_abort(db_.url());
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT * FROM messages WHERE id = 1 FOR UPDATE"));
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 5; ++i) EXPECT_EQ(round().replayed, 0u);
    EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(1)) << "it does not wait until its lock_timeout";
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(round().replayed, 3u);
    deliver();
    insert_and_end(3, OutcomeKind::kDead);
    create({.status = "dead"});
    ASSERT_TRUE(other.execute_script("BEGIN; SELECT * FROM messages WHERE id = 4 FOR UPDATE"));
    finish();
    EXPECT_EQ(get(2).refused, 1);
    EXPECT_EQ(get(2).replayed, 2);
    EXPECT_NE(get(2).last_error.value_or("").find("lock"), std::string::npos);
    ASSERT_TRUE(other.execute_script("COMMIT"));
    EXPECT_EQ(misplaced(), "");
}

// A late "sent" can leave a row of the schedule, which its next claim removes.
TEST_F(Replay, ARowThatTheScheduleHasAlreadyIsKept) {
    insert_and_end(1, OutcomeKind::kDelivered);
    db_.sql("INSERT INTO messaging._schedule (id, due_at) VALUES (1, now())");
    create({.status = "sent", .endpoint = "default"});
    EXPECT_EQ(round().replayed, 1u);
    EXPECT_EQ(misplaced(), "");
    finish();
}

TEST_F(Replay, ADeadLetterThatWasSentMeanwhileStaysSent) {
    insert_and_end(1, OutcomeKind::kDead);
    db_.as_engine("UPDATE messages SET is_sent = true, sent_at = now()");
    create({.status = "dead"});
    finish();
    EXPECT_EQ(get(1).replayed, 0);
    EXPECT_EQ(db_.sql("SELECT is_sent FROM messages"), "true");
}

TEST_F(Replay, OddRowsStopNothing) {
    insert_and_end(4, OutcomeKind::kDelivered);
    db_.as_engine("UPDATE messages SET sent_at = NULL, generation = 2147483647, attempts = 32000, abandoned = 1000 WHERE id = 1");
    db_.as_engine("UPDATE messages SET sent_at = '2999-12-31', created_at = '1970-01-01' WHERE id = 2");
    db_.sql(
        "INSERT INTO messages (id, recipient, content, is_sent) OVERRIDING SYSTEM VALUE VALUES (9223372036854775807, 'a', 'b', "
        "true)");
    create({.status = "sent", .endpoint = "default"});
    EXPECT_EQ(round().replayed, 4u);
    EXPECT_EQ(scheduled(), "1 3 4 9223372036854775807") << "one was sent in a future that has not come";
    EXPECT_EQ(db_.sql("SELECT generation / 128 = 2147483647 / 128 FROM messages WHERE id = 1"), "true");
    finish();
    EXPECT_EQ(get(1).progress, 1);
    EXPECT_EQ(misplaced(), "");
}

TEST_F(Replay, AWalkReadsABoundedNumberOfRowsInARound) {
    db_.sql("INSERT INTO messages (recipient, content, is_sent) SELECT 'a', 'b', true FROM generate_series(1, 12000)");
    add_endpoint("shop");
    db_.sql("INSERT INTO messages (recipient, content, is_sent, endpoint_id) VALUES ('a', 'b', true, 2)");
    create({.status = "sent", .endpoint = "shop"});
    std::string walked;
    for (int i = 0; i < 3; ++i) {
        round();
        walked += db_.sql("SELECT walked_to FROM messaging._replay") + " ";
    }
    EXPECT_EQ(walked, "5000 10000 12001 ");
    EXPECT_EQ(scheduled(), "12001");
    const auto counted = db_.sql("SELECT * FROM messaging.count_replay('default', 'sent')");
    EXPECT_EQ(counted, "10000|false") << "and so does the count";
}

TEST_F(Replay, ThePauseIsNineTimesWhatTheRoundTook) {
    insert_and_end(1, OutcomeKind::kDead);
    add_trigger("BEFORE UPDATE", "PERFORM pg_sleep(0.1); RETURN NEW;");
    create({.status = "dead"});
    const ReplayRound slow = round();
    EXPECT_EQ(slow.replayed, 1u);
    EXPECT_GE(slow.wait.count(), 900);
    const ReplayRound early = db_.value<ReplayRound>([&](auto done) { rounds_.run_round(std::move(done)); });
    EXPECT_GT(early.wait.count(), 0) << "a round before its time does nothing, whichever process runs it";
    db_.sql("UPDATE messaging._replay SET state = 'done'");
    EXPECT_EQ(db_.value<ReplayRound>([&](auto done) { rounds_.run_round(std::move(done)); }).wait, std::chrono::seconds(1));
}

TEST_F(Replay, ARowOfThePaceThatWasDeletedComesBack) {
    insert_and_end(1, OutcomeKind::kDead);
    create({.status = "dead"});
    db_.sql("DELETE FROM messaging._replay_pace");
    round();
    EXPECT_EQ(round().replayed, 1u);
}

TEST_F(Replay, ATruncateEndsIt) {
    insert_and_end(20, OutcomeKind::kDead);
    create({.status = "dead"});
    round();
    db_.sql("TRUNCATE messages RESTART IDENTITY");
    EXPECT_EQ(get(1).state, "cancelled");
    EXPECT_TRUE(get(1).finished_at);
    insert_and_end(20, OutcomeKind::kDead);
    EXPECT_EQ(round().running, 0u);
    EXPECT_EQ(scheduled(), "");
}

TEST_F(Replay, ABoundedNumberRunsAtOnceAndOldOnesAreForgotten) {
    for (int i = 0; i < 100; ++i) db_.sql("SELECT messaging.replay(status => 'dead')");
    const auto one_more = db_.answer<ReplayView>([&](auto done) { store_.create({}, "test", std::move(done)); });
    ASSERT_FALSE(one_more.ok());
    EXPECT_EQ(error_of({.status = "dead"}), "100 replays are running: wait for one to end, or cancel one");
    db_.sql("UPDATE messaging._replay SET state = 'done', finished_at = now() - interval '31 days' WHERE id <= 50");
    create({.status = "dead"});
    EXPECT_EQ(db_.sql("SELECT min(id), count(*) FROM messaging.replays"), "51|51");
}

TEST_F(Replay, ListsComeInPages) {
    for (int i = 0; i < 5; ++i) create({.status = "dead"});
    const auto page = [&](std::optional<core::ReplayId> after) {
        return db_.value<service::ReplayPage>([&](auto done) { store_.list({.limit = 2, .after = after}, std::move(done)); });
    };
    const auto first = page({});
    ASSERT_EQ(first.replays.size(), 2u);
    EXPECT_EQ(first.replays[0].id, 5);
    EXPECT_EQ(first.next, 4);
    EXPECT_EQ(page(first.next).next, 2);
    EXPECT_EQ(page(2).replays.at(0).id, 1);
    EXPECT_FALSE(page(2).next);
}

// Whoever starts one with SQL sees what the API shows, and the other way round.
TEST_F(Replay, TheViewIsAsTheApiHasIt) {
    add_endpoint("shop", "'acme'");
    insert_and_end(1, OutcomeKind::kDead, "2");
    db_.sql("SELECT messaging.replay('shop', 'both', '2026-01-02 03:04:05+00', '2999-01-02 03:04:05.5+00', NULL, 'acme')");
    round();
    const auto replay = get(1);
    const auto time = [](const std::string& column) {
        return "coalesce(to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '-')";
    };
    const auto text = [](const std::optional<std::string>& value) { return value.value_or("-"); };
    EXPECT_EQ(
        db_.sql("SELECT id, state, status, endpoint_id, endpoint, coalesce(event_type, '-'), tenant, " + time("since") + ", " +
                time("until") + ", replayed, skipped, refused, coalesce(last_error, '-'), replace(created_by, ' ', '_'), " +
                time("created_at") + ", " + time("finished_at") + " FROM messaging.replays"),
        "1|" + replay.state + "|" + replay.status + "|2|" + text(replay.endpoint) + "|" + text(replay.event_type) + "|" +
            text(replay.tenant) + "|" + text(replay.since) + "|" + text(replay.until) + "|1|0|0|" + text(replay.last_error) +
            "|sql_postgres|" + replay.created_at + "|" + text(replay.finished_at));
    EXPECT_EQ(replay.since, "2026-01-02T03:04:05.000000Z");
    EXPECT_EQ(replay.until, "2999-01-02T03:04:05.500000Z");
    EXPECT_EQ(replay.created_by, "sql postgres");
    EXPECT_EQ(db_.sql("SELECT state, replayed FROM messaging.cancel_replay(1)"), "cancelled|1");
    EXPECT_EQ(get(1).state, "cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.cancel_replay(99)"), "");
    const auto counted = db_.value<service::Count>([&](auto done) { store_.count({.endpoint = "2"}, std::move(done)); });
    EXPECT_EQ(std::to_string(counted.count) + "|" + (counted.exact ? "true" : "false"),
              db_.sql("SELECT * FROM messaging.count_replay('shop')"));
}

TEST_F(Replay, AKeyStartsOneReplay) {
    const service::ResponseTemplate response{202, {"a", "b", "c", "d", "e"}};
    const auto once = [&](const std::string& print) {
        return db_.answer<service::StoredResponse>([&](auto done) {
            store_.create_once({.endpoint = "default"}, "test", {"POST /replays", "k", print}, response, std::move(done));
        });
    };
    const auto first = once("x");
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_EQ(first->body, "a1b1cdefaultd" + get(1).created_at + "e");
    EXPECT_EQ(once("x")->body, first->body);
    EXPECT_TRUE(once("x")->replayed);
    EXPECT_EQ(once("y").error().kind, core::ErrorKind::kConflict);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging.replays"), 1);
}

TEST_F(Replay, AnEngineIsToldThatMessagesAreDue) {
    insert_and_end(1, OutcomeKind::kDead);
    create({.status = "dead"});
    pg::Connection& listening = db_.open_session(listen_session_settings());
    constexpr pg::Statement kListen{"listen_due", "LISTEN messaging_due"};
    db_.value<core::Unit>([&](auto done) {
        listening.execute({{&kListen, {}}}, [done](const core::Result<std::vector<pg::Rows>>&) { done(core::Unit{}); });
    });
    round();
    EXPECT_TRUE(test::run_until(db_.loop(), [&] { return db_.notified() == std::vector<std::string>{kDueChannel}; }));
}

}  // namespace
}  // namespace messaging::repository
