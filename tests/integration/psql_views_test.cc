// What people use in psql, held against what the HTTP API says of the same rows.
#include "repository/control_store.h"
#include "repository/endpoint_registry.h"
#include "repository/message_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using service::ListStatus;
using test::OneEngine;
using test::Stores;

// One message or more in each status: 1 sent, 2 dead, 3 scheduled, 4 held, 5 being sent, 6 and 7 pending.
class PsqlViews : public testing::Test {
protected:
    PsqlViews() {
        db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://shop.test/')");
        db_.sql("INSERT INTO messages (recipient, content) SELECT '+' || g, 'c' || g FROM generate_series(1, 3) g");
        auto claimed = engine_.claim();
        engine_.record({claimed[0]}, OutcomeKind::kDelivered);
        engine_.record({claimed[1]}, OutcomeKind::kDead);
        engine_.record({claimed[2]}, OutcomeKind::kRetry);
        db_.sql("UPDATE messaging._schedule SET due_at = now() + interval '1 hour'");
        db_.sql("SELECT messaging.disable('shop', 'a pause')");
        db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+4', 'c4', 2)");
        EXPECT_TRUE(engine_.claim().empty());
        db_.sql("INSERT INTO messages (recipient, content) VALUES ('+5', 'c5')");
        EXPECT_EQ(engine_.claim().size(), 1u);
        db_.sql("INSERT INTO messages (recipient, content) VALUES ('+6', 'c6'), ('+7', 'c7')");
    }
    core::MessageView by_api(core::MessageId id) {
        return db_.value<service::MessageDetail>([&](auto done) { messages_.get({id}, std::move(done)); }).first;
    }
    std::string listed(ListStatus status) {
        std::string ids;
        const auto page = db_.value<service::ListPage>([&](auto done) { messages_.list({.status = status}, std::move(done)); });
        for (const auto& message : page.messages) ids = std::to_string(message.id) + (ids.empty() ? "" : " ") + ids;
        return ids;
    }
    std::string retry(const std::string& ids) { return db_.sql("SELECT * FROM messaging.retry(" + ids + ")"); }
    std::string cancel(const std::string& ids) { return db_.sql("SELECT * FROM messaging.cancel('{" + ids + "}')"); }

    Stores db_{test::fresh_database()};
    OneEngine engine_{db_};
    PgMessageStore messages_{db_.open_session(api_session_settings())};
};

TEST_F(PsqlViews, EachMessageIsAsTheApiHasIt) {
    const auto time = [](const std::string& column) {
        return "coalesce(to_char(" + column + " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '-')";
    };
    for (core::MessageId id = 1; id <= 7; ++id) {
        const core::MessageView message = by_api(id);
        const auto text = [](const std::optional<std::string>& value) { return value.value_or("-"); };
        EXPECT_EQ(
            db_.sql("SELECT status, webhook_id, endpoint_id, endpoint, recipient, attempts, " + time("created_at") + ", " +
                    time("next_attempt_at") + ", " + time("sent_at") + ", " + time("dead_at") +
                    ", coalesce(last_error, '-'), coalesce(receiver_message_id, '-') FROM messaging.message_status WHERE id = " +
                    std::to_string(id)),
            std::string(core::word_of(message.status)) + "|" + message.webhook_id + "|" + std::to_string(message.endpoint_id) +
                "|" + text(message.endpoint) + "|" + text(message.recipient) + "|" + std::to_string(message.attempts) + "|" +
                message.created_at + "|" + text(message.next_attempt_at) + "|" + text(message.sent_at) + "|" +
                text(message.dead_at) + "|" + text(message.last_error) + "|" + text(message.receiver_message_id));
        EXPECT_EQ(db_.number("SELECT messaging.message_id('" + message.webhook_id + "')"), id);
    }
    EXPECT_EQ(db_.sql("SELECT string_agg(status, ' ' ORDER BY id) FROM messaging.message_status"),
              "sent dead scheduled held sending pending pending");
    EXPECT_EQ(db_.sql("SELECT messaging.message_id('msg_other_1_000000') IS NULL, messaging.message_id('x') IS NULL"),
              "true|true");
}

TEST_F(PsqlViews, EachViewHasTheMessagesOfTheApisList) {
    const std::vector<std::pair<ListStatus, std::string>> views{{ListStatus::kDead, "dead_letters"},
                                                                {ListStatus::kScheduled, "scheduled"},
                                                                {ListStatus::kHeld, "held"},
                                                                {ListStatus::kSending, "sending"},
                                                                {ListStatus::kPending, "pending"}};
    for (const auto& [status, view] : views) {
        EXPECT_EQ(db_.sql("SELECT id FROM messaging." + view + " ORDER BY id"), listed(status)) << view;
    }
    EXPECT_EQ(db_.sql("SELECT content, reason FROM messaging.dead_letters"), "c2|HTTP 500");
    EXPECT_EQ(db_.sql("SELECT endpoint, endpoint_state, state_reason FROM messaging.held"), "shop|disabled|a pause");
    EXPECT_EQ(db_.sql("SELECT message_id, attempt, error FROM messaging.attempts ORDER BY 1"), "2|1|HTTP 500 3|1|HTTP 500");
}

TEST_F(PsqlViews, TheQueueStatusIsTheApisStatus) {
    PgControlStore control(db_.open_session(api_session_settings()));
    const auto status = db_.value<service::StatusView>([&](auto done) { control.read_status(std::move(done)); });
    EXPECT_EQ(db_.sql("SELECT state, changed_by, pending, scheduled, held, dead, sending, engines FROM messaging.queue_status"),
              "running|nobody yet|" + std::to_string(status.pending.count) + "|" + std::to_string(status.scheduled.count) + "|" +
                  std::to_string(status.held.count) + "|" + std::to_string(status.dead.count) + "|1|0");
    EXPECT_EQ(db_.sql("SELECT state, changed_by FROM messaging.stop()"), "stopped|sql postgres");
    EXPECT_FALSE(db_.value<service::StatusView>([&](auto done) { control.read_status(std::move(done)); }).state.running);
    EXPECT_EQ(db_.sql("SELECT state FROM messaging.start()"), "running");
    EXPECT_TRUE(db_.value<service::StatusView>([&](auto done) { control.read_status(std::move(done)); }).state.running);
}

TEST_F(PsqlViews, TheHealthOfAnEndpointIsTheApis) {
    PgEndpointRegistry registry(db_.open_session(api_session_settings()), db_.open_session(api_session_settings()));
    const auto shop = db_.value<service::EndpointView>([&](auto done) { registry.get({2, {}}, std::move(done)); });
    EXPECT_EQ(db_.sql("SELECT name, state, state_reason, held, sending FROM messaging.endpoint_health WHERE id = 2"),
              "shop|" + std::string(core::word_of(shop.state)) + "|" + shop.state_reason.value_or("-") + "|" +
                  std::to_string(shop.health.held.count) + "|" + std::to_string(shop.health.sending));
}

TEST_F(PsqlViews, RetryAnswersForEachId) {
    EXPECT_EQ(retry("1, 2, 3, 4, 5, 6, 99"),
              "1|queued 2|queued 3|queued 4|already waiting 5|being sent 6|already waiting 99|not found");
    EXPECT_EQ(db_.sql("SELECT string_agg(status, ' ' ORDER BY id) FROM messaging.message_status"),
              "pending pending pending held sending pending pending");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
}

TEST_F(PsqlViews, CancelTakesWhatWaitsAndNothingElse) {
    EXPECT_EQ(cancel("1, 2, 3, 4, 5, 6, 99"),
              "1|already sent 2|already dead 3|cancelled 4|cancelled 5|being sent 6|cancelled 99|not found");
    EXPECT_EQ(db_.sql("SELECT id, reason FROM messaging.dead_letters ORDER BY id"),
              "2|HTTP 500 3|cancelled 4|cancelled 6|cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "7");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
    EXPECT_EQ(retry("6"), "6|queued") << "and is sent after all";
    EXPECT_EQ(db_.sql("SELECT result FROM messaging.cancel('{7}', 'the customer has left')"), "cancelled");
    EXPECT_EQ(db_.sql("SELECT reason FROM messaging.dead_letters WHERE id = 7"), "the customer has left");
    EXPECT_EQ(db_.sql("SELECT result FROM messaging.cancel('{6}', '')"), "cancelled");
    EXPECT_EQ(db_.sql("SELECT reason FROM messaging.dead_letters WHERE id = 6"), "cancelled");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.cancel('{}')"), "0");
}

// The row in the queue is found by the transaction of the message, where that is known, and else by reading the queue.
TEST_F(PsqlViews, CancelFindsWhatWaitsHoweverItCameIntoTheQueue) {
    pg::Session session = test::connect_or_abort(db_.url());
    const auto run = [&](const std::string& script) { ASSERT_TRUE(session.execute_script(script)) << script; };
    run("BEGIN; SAVEPOINT a; INSERT INTO messages (recipient, content) VALUES ('+8', 'c8'); RELEASE a; COMMIT");
    run("INSERT INTO messages (recipient, content) VALUES ('+9', 'c9'); UPDATE messages SET content = 'new' WHERE id = 9");
    // Sent again before its first row in the queue was claimed: it has two.
    run("UPDATE messages SET is_sent = true WHERE id = 7; UPDATE messages SET is_sent = false WHERE id = 7");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging._queue WHERE id = 7"), "2");
    EXPECT_EQ(cancel("6, 7, 8, 9"), "6|cancelled 7|cancelled 8|cancelled 9|cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "");
    EXPECT_EQ(retry("8"), "8|queued");
    EXPECT_EQ(cancel("8, 8"), "8|cancelled 8|cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "");
    run("BEGIN; INSERT INTO messages (recipient, content) VALUES ('+10', 'c10'); SELECT messaging.cancel('{10}'); COMMIT");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "") << "also in the transaction that inserted it";
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
}

// A message that was sent again, is scheduled, and has an old row in the queue still.
TEST_F(PsqlViews, CancelLeavesNoOlderRowInTheQueue) {
    db_.as_engine("UPDATE messages SET generation = generation + 1 WHERE id = 3");
    db_.sql("INSERT INTO messaging._queue (id) VALUES (3)");
    EXPECT_EQ(cancel("3"), "3|cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue WHERE id = 3"), "");
}

TEST_F(PsqlViews, CancelReadsNoQueueForAMessageThatWasOnlyInserted) {
    pg::Session session = test::connect_or_abort(db_.url());
    ASSERT_TRUE(
        session.execute_script("INSERT INTO messages (recipient, content) SELECT '+1', 'x' FROM generate_series(1, 5000)"));
    ASSERT_TRUE(session.execute_script("BEGIN; SELECT messaging.cancel('{1, 2, 3, 4, 5, 5000}')"));
    const auto read = session.execute(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables WHERE relname = '_queue'");
    ASSERT_TRUE(read);
    EXPECT_LE(read->bigint(0, 0), 3);
    ASSERT_TRUE(session.execute_script("COMMIT"));
    EXPECT_EQ(db_.sql("SELECT reason FROM messaging._dead WHERE id = 5000"), "cancelled");
}

// Before, such a message was sent and among the dead letters.
TEST_F(PsqlViews, WhatIsMarkedAsSentAtThisMomentIsNotCancelled) {
    pg::Session marking = test::connect_or_abort(db_.url());
    ASSERT_TRUE(marking.execute_script("BEGIN; UPDATE messages SET is_sent = true WHERE id IN (3, 4, 6)"));
    EXPECT_EQ(cancel("3, 4, 6, 7"), "3|being sent 4|being sent 6|being sent 7|cancelled");
    ASSERT_TRUE(marking.execute_script("COMMIT"));
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._dead ORDER BY id"), "2 7");
    EXPECT_EQ(cancel("3, 4, 6"), "3|already sent 4|already sent 6|already sent");
}

// A claim has locked the queue's row: whoever comes second must not wait, and must not say that it has cancelled it.
TEST_F(PsqlViews, WhatIsBeingClaimedAtThisMomentIsNotCancelled) {
    pg::Session claiming = test::connect_or_abort(db_.url());
    ASSERT_TRUE(claiming.execute_script("BEGIN; SELECT * FROM messaging._queue WHERE id = 6 FOR UPDATE"));
    EXPECT_EQ(cancel("6, 7"), "6|being sent 7|cancelled");
    ASSERT_TRUE(claiming.execute_script("ROLLBACK"));
    EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
}

// Before, it was among the dead letters and being sent, and was sent although it had been cancelled.
TEST_F(PsqlViews, AMessageIsNotCancelledWhileOneOfItsTwoRowsIsBeingClaimed) {
    db_.sql("UPDATE messages SET is_sent = true WHERE id IN (6, 7)");
    db_.sql("UPDATE messages SET is_sent = false WHERE id IN (6, 7)");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "6 6 7 7");
    db_.sql("DELETE FROM messaging._queue WHERE ctid = (SELECT max(ctid) FROM messaging._queue WHERE id = 6)");
    db_.sql("INSERT INTO messaging._hold (id, endpoint_id) VALUES (6, 1)");
    pg::Session claiming = test::connect_or_abort(db_.url());
    ASSERT_TRUE(
        claiming.execute_script("BEGIN; SELECT * FROM messaging._queue WHERE id = 7 LIMIT 1 FOR UPDATE;"
                                "SELECT * FROM messaging._hold WHERE id = 6 FOR UPDATE"));
    EXPECT_EQ(cancel("6, 7"), "6|being sent 7|being sent");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "6 7 7");
    ASSERT_TRUE(claiming.execute_script("ROLLBACK"));
    EXPECT_EQ(cancel("6, 7"), "6|cancelled 7|cancelled");
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue"), "");
}

TEST_F(PsqlViews, SendNamesAnEndpoint) {
    EXPECT_EQ(db_.sql("SELECT messaging.send('+1', 'x'), messaging.send('+1', 'x', 'shop'), messaging.send('+1', 'x', '2')"),
              "8|9|10");
    EXPECT_EQ(db_.sql("SELECT endpoint FROM messaging.message_status WHERE id > 7 ORDER BY id"), "default shop shop");
    pg::Session session = test::connect_or_abort(db_.url());
    EXPECT_FALSE(session.execute_script("SELECT messaging.send('+1', 'x', 'nobody')"));
}

TEST_F(PsqlViews, TheTimelineTellsWhatHasHappened) {
    EXPECT_EQ(db_.sql("SELECT what FROM messaging.timeline(1)"), "inserted sent");
    EXPECT_EQ(db_.sql("SELECT replace(what, ' ', '_') FROM messaging.timeline(2)"),
              "inserted attempt_1:_HTTP_500_after_0_ms dead:_HTTP_500");
    EXPECT_EQ(db_.sql("SELECT left(what, 12) FROM messaging.timeline(3) OFFSET 2"), "next attempt");
    EXPECT_EQ(db_.sql("SELECT what FROM messaging.timeline(4) OFFSET 1"), "now held");
    EXPECT_EQ(db_.sql("SELECT count(*) FROM messaging.timeline(99)"), "0");
}

TEST_F(PsqlViews, EverythingHasAComment) {
    EXPECT_EQ(db_.sql("SELECT relname FROM pg_class WHERE relnamespace = 'messaging'::regnamespace AND relkind = 'v'"
                      " AND obj_description(oid) IS NULL"),
              "");
    EXPECT_EQ(db_.sql("SELECT proname FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace AND left(proname, 1) <> '_'"
                      " AND obj_description(oid) IS NULL"),
              "");
    EXPECT_EQ(
        db_.sql("SELECT count(*) > 10 FROM pg_proc WHERE pronamespace = 'messaging'::regnamespace AND left(proname, 1) <> '_'"),
        "true");
}

}  // namespace
}  // namespace messaging::repository
