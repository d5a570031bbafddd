// Lists, single messages, new ones and the status page against a real PostgreSQL.
#include "repository/message_store.h"

#include <map>
#include <set>
#include <sstream>

#include "repository/control_store.h"
#include "service/message_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::MessageStatus;
using core::MessageView;
using service::CreatedMessage;
using service::IdempotencyKey;
using service::ListPage;
using service::ListQuery;
using service::ListStatus;
using service::NewMessage;
using service::ResponseTemplate;
using service::StoredResponse;
using test::Stores;
using Created = std::vector<CreatedMessage>;
using Single = service::MessageDetail;

class MessageStore : public testing::Test {
protected:
    ListPage list(const ListQuery& query) {
        return db_.value<ListPage>([&](auto done) { store_.list(query, std::move(done)); });
    }
    // Every page, as ids; fails when a message comes twice or the pages do not end.
    std::string all_pages(ListQuery query, int* pages = nullptr) {
        std::string ids;
        std::set<core::MessageId> seen;
        for (int page = 0; page < 1000; ++page) {
            const ListPage found = list(query);
            for (const MessageView& message : found.messages) {
                EXPECT_TRUE(seen.insert(message.id).second) << message.id << " comes twice";
                ids += (ids.empty() ? "" : " ") + std::to_string(message.id);
            }
            if (pages != nullptr) *pages = page + 1;
            if (!found.next) return ids;
            query.after = found.next;
        }
        ADD_FAILURE() << "the pages do not end";
        return ids;
    }
    core::Result<Created> enqueue(std::vector<NewMessage> messages) {
        return db_.answer<Created>([&](auto done) { store_.enqueue(messages, std::move(done)); });
    }
    core::Result<StoredResponse> enqueue_once(std::vector<NewMessage> messages, const IdempotencyKey& key,
                                              const ResponseTemplate& response) {
        return db_.answer<StoredResponse>([&](auto done) { store_.enqueue_once(messages, key, response, std::move(done)); });
    }
    // As a trigger of the application's may do.
    void drop_what_says(const std::string& content) {
        db_.sql("CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
        db_.sql("CREATE TRIGGER drop_some BEFORE INSERT ON messages FOR EACH ROW WHEN (NEW.content = '" + content +
                "') EXECUTE FUNCTION drop_row()");
    }
    core::Result<Single> get(core::MessageId id) {
        return db_.answer<Single>([&](auto done) { store_.get({id}, std::move(done)); });
    }
    core::Result<Single> retry(core::MessageId id) {
        return db_.answer<Single>([&](auto done) { store_.retry({id}, std::move(done)); });
    }
    core::Result<Single> cancel(const service::MessageRef& message, const std::optional<std::string>& reason = {}) {
        return db_.answer<Single>([&](auto done) { store_.cancel(message, reason, std::move(done)); });
    }
    core::ErrorKind retry_error(core::MessageId id) {
        const auto result = retry(id);
        EXPECT_FALSE(result.ok());
        return result ? core::ErrorKind::kInternal : result.error().kind;
    }
    void insert(int count, const std::string& recipient = "'+90'") {
        db_.sql("INSERT INTO messages (recipient, content) SELECT " + recipient + ", 'x' FROM generate_series(1, " +
                std::to_string(count) + ") g");
    }
    // Marks ids sent as one recorded batch at that time.
    void send(const std::string& ids, const std::string& at) {
        db_.as_engine("UPDATE messages SET is_sent = true, sent_at = '" + at + "' WHERE id IN (" + ids + ")");
        db_.sql("INSERT INTO messaging._sent_batch (sent_at, size, ids) SELECT '" + at +
                "', count(*), array_agg(id ORDER BY id) FROM messages WHERE id IN (" + ids + ")");
    }

    const IdempotencyKey kKey{"POST /x", "k", "body"};
    const ResponseTemplate kResponse{201, {"id ", " at ", ""}};  // of one message
    Stores db_{test::fresh_database()};
    pg::Connection& session_{db_.open_session(api_session_settings())};
    PgMessageStore store_{session_};
};

TEST_F(MessageStore, EnqueuedMessagesComeBackInTheirOrderAndAreQueued) {
    const auto result = enqueue({{"+1", "first"}, {"+2", "second"}, {"+3", "third 🎈"}});
    ASSERT_TRUE(result.ok());
    ASSERT_EQ(result->size(), 3U);
    for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(result.value()[i].id, static_cast<core::MessageId>(i + 1));
    EXPECT_EQ(db_.sql("SELECT id, recipient, content FROM messages ORDER BY id"), "1|+1|first 2|+2|second 3|+3|third 🎈");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 3);
}

TEST_F(MessageStore, ContentsThatTheTableRefusesAreInvalidAndNothingIsEnqueued) {
    const auto result = enqueue({{"+1", "fits"}, {"+2", std::string(4097, 'x')}});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().kind, core::ErrorKind::kInvalid);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 0);
}

// An application's BEFORE INSERT trigger that drops rows would shift the results of the others.
TEST_F(MessageStore, FewerMessagesThanWereGivenAreAnErrorAndNothingIsEnqueued) {
    drop_what_says("dropped");
    for (const char* other : {"x", "dropped"}) {
        const auto result = enqueue({{"+1", "dropped"}, {"+2", other}});
        ASSERT_FALSE(result.ok()) << other;
        EXPECT_EQ(result.error().kind, core::ErrorKind::kInternal);
        EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 0) << other;
    }
}

TEST_F(MessageStore, AKeyStoresTheStatusAndTheBodyWithIdsAndTimesInTheirPlaces) {
    insert(4);
    const auto first = enqueue_once({{"+1", "a"}, {"+2", "b"}}, kKey, {207, {"<", "|", ">👋<", "|", ">"}});
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_FALSE(first->replayed);
    EXPECT_EQ(first->status, 207);
    EXPECT_EQ(first->body, db_.sql("SELECT string_agg('<' || id || '|' || to_char(created_at AT TIME ZONE 'UTC',"
                                   " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') || '>', '👋' ORDER BY id) FROM messages WHERE id > 4"));
    EXPECT_TRUE(first->body.starts_with("<5|2")) << first->body;
    EXPECT_NE(first->body.find(">👋<6|2"), std::string::npos) << first->body;
    EXPECT_EQ(db_.sql("SELECT scope, key, fingerprint, status, body FROM messaging._idempotency_key"),
              "POST /x|k|body|207|" + first->body);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 6);
}

// Regression: after the limits had changed a repeat ended the process.
TEST_F(MessageStore, ARepeatGetsTheStoredResponseWhateverHasChanged) {
    const auto first = enqueue_once({{"+1", "a"}}, kKey, {201, {"first ", " ", ""}});
    ASSERT_TRUE(first.ok());
    for (const char* change : {"SELECT", "UPDATE messages SET created_at = '2020-01-01'", "DELETE FROM messages"}) {
        db_.sql(change);
        const std::int64_t messages = db_.number("SELECT count(*) FROM messages");
        const auto again = enqueue_once({{"+1", "a"}, {"+2", "accepted by now"}}, kKey, {207, {"", "", "", "", "another"}});
        ASSERT_TRUE(again.ok()) << again.error().message;
        EXPECT_TRUE(again->replayed);
        EXPECT_EQ(again->status, 201);
        EXPECT_EQ(again->body, first->body);
        EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), messages);
    }
}

TEST_F(MessageStore, AResponseWithoutMessagesIsStoredToo) {
    const auto first = enqueue_once({}, kKey, {422, {"all refused"}});
    ASSERT_TRUE(first.ok()) << first.error().message;
    EXPECT_FALSE(first->replayed);
    const auto again = enqueue_once({{"+1", "accepted by now"}}, kKey, {201, {"", "", ""}});
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->replayed);
    EXPECT_EQ(again->status, 422);
    EXPECT_EQ(again->body, "all refused");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 0);
}

TEST_F(MessageStore, TheSameKeyWithAnotherBodyIsAConflict) {
    ASSERT_TRUE(enqueue_once({{"+1", "a"}}, kKey, kResponse).ok());
    const auto other = enqueue_once({{"+1", "b"}}, {kKey.scope, kKey.key, "another"}, kResponse);
    ASSERT_FALSE(other.ok());
    EXPECT_EQ(other.error().kind, core::ErrorKind::kConflict);
    EXPECT_EQ(other.error().sqlstate, "");
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 1);
}

TEST_F(MessageStore, TheSameKeyInAnotherScopeIsAnotherKey) {
    const auto first = enqueue_once({{"+1", "a"}}, {"POST /messages", "k", "body"}, kResponse);
    const auto second = enqueue_once({{"+1", "a"}}, {"POST /events", "k", "another"}, kResponse);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_FALSE(second->replayed);
    EXPECT_NE(second->body, first->body);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 2);
}

TEST_F(MessageStore, NothingIsStoredWhereTheMessagesAreRefused) {
    const auto refused = enqueue_once({{"+1", std::string(4097, 'x')}}, kKey, kResponse);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kInvalid);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._idempotency_key"), 0);
    drop_what_says("dropped");
    const auto dropped = enqueue_once({{"+1", "x"}, {"+1", "dropped"}}, kKey, {201, {"", "", "", "", ""}});
    ASSERT_FALSE(dropped.ok());
    EXPECT_EQ(dropped.error().kind, core::ErrorKind::kInternal);
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM messaging._idempotency_key)"), 0);
}

TEST_F(MessageStore, RequestsWithOneKeyAtTheSameTimeEnqueueOnce) {
    PgMessageStore other(db_.open_session(api_session_settings()));
    std::set<std::string> bodies;
    int answers = 0;
    int replays = 0;
    for (int i = 0; i < 10; ++i) {
        (i % 2 == 0 ? store_ : other)
            .enqueue_once({{"+1", "a"}}, kKey, kResponse, [&](const core::Result<StoredResponse>& result) {
                ++answers;
                ASSERT_TRUE(result.ok());
                replays += result->replayed ? 1 : 0;
                bodies.insert(result->body);
            });
    }
    ASSERT_TRUE(test::run_until(db_.loop(), [&] { return answers == 10; }));
    EXPECT_EQ(replays, 9);
    EXPECT_EQ(bodies.size(), 1U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messages"), 1);
}

TEST_F(MessageStore, AKeyWhoseRequestIsStillOpenIsAConflictOfItsOwnKind) {
    pg::Session open = test::connect_or_abort(db_.url());
    const std::string take = "BEGIN; INSERT INTO messaging._idempotency_key (scope, key, fingerprint, status) VALUES ('" +
                             kKey.scope + "', '" + kKey.key + "', 'body', 201)";
    ASSERT_TRUE(open.execute_script(take));
    const auto waited = enqueue_once({{"+1", "a"}}, kKey, kResponse);
    ASSERT_FALSE(waited.ok());
    EXPECT_EQ(waited.error().kind, core::ErrorKind::kConflict);
    EXPECT_EQ(waited.error().sqlstate, "55P03");
    ASSERT_TRUE(open.execute_script("ROLLBACK"));
    const auto again = enqueue_once({{"+1", "a"}}, kKey, kResponse);
    ASSERT_TRUE(again.ok());
    EXPECT_FALSE(again->replayed);
}

TEST_F(MessageStore, AKeyIsForgottenAfterADay) {
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(enqueue_once({}, {"s", std::to_string(i), "body"}, {200, {"old"}}).ok());
    db_.sql("UPDATE messaging._idempotency_key SET created_at = now() - interval '23 h 59 min' WHERE key = '0'");
    db_.sql("UPDATE messaging._idempotency_key SET created_at = now() - interval '24 h 1 min' WHERE key <> '0'");
    const auto young = enqueue_once({}, {"s", "0", "body"}, {200, {"new"}});
    ASSERT_TRUE(young.ok());
    EXPECT_TRUE(young->replayed);
    EXPECT_EQ(db_.sql("SELECT key FROM messaging._idempotency_key"), "0") << "each keyed request deletes some that are old";
    db_.sql("UPDATE messaging._idempotency_key SET created_at = now() - interval '25 h'");
    const auto again = enqueue_once({{"+1", "a"}}, {"s", "0", "another body"}, {207, {"new", "", ""}});
    ASSERT_TRUE(again.ok());
    EXPECT_FALSE(again->replayed);
    EXPECT_EQ(again->status, 207);
    EXPECT_TRUE(again->body.starts_with("new1"));
}

TEST_F(MessageStore, AMessageShowsEachFieldUnderItsOwnName) {
    insert(1, "'+905551111111'");
    db_.as_engine(
        "UPDATE messages SET content = 'text', created_at = '2026-01-02 03:04:05.678+00', attempts = 3, last_error = 'HTTP 500', "
        "receiver_message_id = 'theirs'");
    send("1", "2026-02-03 04:05:06+00");
    const MessageView message = list({}).messages.at(0);
    EXPECT_EQ(message.recipient, "+905551111111");
    EXPECT_EQ(message.content, "text");
    EXPECT_EQ(message.status, MessageStatus::kSent);
    EXPECT_EQ(message.attempts, 3);
    EXPECT_EQ(message.created_at, "2026-01-02T03:04:05.678000Z");
    EXPECT_EQ(message.sent_at, "2026-02-03T04:05:06.000000Z");
    EXPECT_EQ(message.receiver_message_id, "theirs");
    EXPECT_EQ(message.last_error, "HTTP 500");
    EXPECT_EQ(message.endpoint_id, 1);
    EXPECT_EQ(message.endpoint, "default");
    EXPECT_EQ(message.webhook_id, db_.sql("SELECT messaging.webhook_id(1)"));
    EXPECT_EQ(message.content_bytes, 4);
    EXPECT_FALSE(message.next_attempt_at || message.dead_at);
}

TEST_F(MessageStore, SentOnesComeNewestFirstOverPagesAndBatches) {
    insert(7);
    send("2, 3, 5", "2026-01-01");
    send("1, 4, 6", "2026-01-02");
    for (const int limit : {1, 2, 3, 6, 50}) {
        ListQuery query;
        query.limit = limit;
        EXPECT_EQ(all_pages(query), "6 4 1 5 3 2") << limit;
    }
}

TEST_F(MessageStore, ASentOneThatWasSentAgainIsListedOnceAtItsNewPlace) {
    insert(3);
    send("1, 2, 3", "2026-01-01");
    send("2", "2026-01-02");
    EXPECT_EQ(all_pages({}), "2 3 1");
}

TEST_F(MessageStore, PagesStayStableWhileOthersAreSent) {
    insert(6);
    send("1, 2, 3, 4", "2026-01-01");
    ListQuery query;
    query.limit = 2;
    const ListPage first = list(query);
    send("5, 6", "2026-01-02");
    query.after = first.next;
    EXPECT_EQ(list(query).messages.at(0).id, 2);
}

TEST_F(MessageStore, ListsPendingScheduledDeadAndAll) {
    insert(6);
    db_.sql("DELETE FROM messaging._queue WHERE id IN (2, 3, 4, 5)");
    db_.sql("INSERT INTO messaging._schedule VALUES (2, '2030-01-02'), (3, '2030-01-01')");
    db_.sql("INSERT INTO messaging._dead VALUES (4, '2026-01-01', 'x'), (5, '2026-01-02', 'x')");
    std::map<ListStatus, std::string> expected{
        {ListStatus::kPending, "6 1"}, {ListStatus::kScheduled, "3 2"},   {ListStatus::kDead, "5 4"}, {ListStatus::kHeld, ""},
        {ListStatus::kSending, ""},    {ListStatus::kAll, "6 5 4 3 2 1"}, {ListStatus::kSent, ""}};
    for (const auto& [status, ids] : expected) {
        for (const int limit : {1, 2, 50}) {
            EXPECT_EQ(all_pages({status, std::nullopt, limit, std::nullopt}), ids) << static_cast<int>(status) << " by " << limit;
        }
    }
    const auto messages = list({ListStatus::kAll, std::nullopt, 50, std::nullopt}).messages;
    EXPECT_EQ(messages.at(0).status, MessageStatus::kPending);
    EXPECT_EQ(messages.at(1).status, MessageStatus::kDead);
    EXPECT_EQ(messages.at(1).dead_at, "2026-01-02T00:00:00.000000Z");
    EXPECT_EQ(messages.at(3).status, MessageStatus::kScheduled);
    EXPECT_EQ(messages.at(3).next_attempt_at, "2030-01-01T00:00:00.000000Z");
}

// A page whose entries belonged to deleted messages once ended the list.
TEST_F(MessageStore, EntriesOfDeletedMessagesDoNotEndAList) {
    const std::map<ListStatus, std::string> places{
        {ListStatus::kPending, ""},
        {ListStatus::kDead, "INSERT INTO messaging._dead (id, reason) SELECT id, 'x' FROM messages"},
        {ListStatus::kHeld, "INSERT INTO messaging._hold (id, endpoint_id) SELECT id, 1 FROM messages"},
        {ListStatus::kScheduled,
         "INSERT INTO messaging._schedule SELECT id, '2030-01-01'::timestamptz - id * interval '1 s' FROM messages"}};
    for (const auto& [status, sql] : places) {
        db_.sql("TRUNCATE messages RESTART IDENTITY");
        insert(5000);
        if (!sql.empty()) db_.sql(sql);
        // As a deletion past the trigger leaves them behind.
        db_.sql("ALTER TABLE messages DISABLE TRIGGER messaging_delete");
        db_.sql("DELETE FROM messages WHERE id NOT IN (1, 2)");
        db_.sql("ALTER TABLE messages ENABLE TRIGGER messaging_delete");
        int pages = 0;
        EXPECT_EQ(all_pages({status}, &pages), "2 1") << word_of(status);
        EXPECT_LE(pages, 4);
    }
}

TEST_F(MessageStore, ListsOneRecipientByStatus) {
    insert(8, "CASE WHEN g % 2 = 0 THEN '+2' ELSE '+1' END");
    db_.sql("DELETE FROM messaging._queue WHERE id IN (2, 4, 6)");
    send("2, 3", "2026-01-01");
    db_.sql("INSERT INTO messaging._schedule VALUES (4, now())");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (6, 'x')");
    std::map<ListStatus, std::string> expected{{ListStatus::kPending, "8"},
                                               {ListStatus::kScheduled, "4"},
                                               {ListStatus::kDead, "6"},
                                               {ListStatus::kAll, "8 6 4 2"},
                                               {ListStatus::kSent, "2"}};
    for (const auto& [status, ids] : expected) {
        EXPECT_EQ(all_pages({status, "+2", 1, std::nullopt}), ids) << static_cast<int>(status);
    }
    EXPECT_EQ(all_pages({ListStatus::kAll, "+3", 50, std::nullopt}), "");
}

TEST_F(MessageStore, ARareEndpointIsFoundOverBoundedPages) {
    insert(45000);
    db_.as_engine("UPDATE messages SET endpoint_id = 2 WHERE id = 7");
    ListQuery query{ListStatus::kAll};
    query.endpoint_id = 2;
    int pages = 0;
    EXPECT_EQ(all_pages(query, &pages), "7");
    EXPECT_EQ(pages, 3);
    query.limit = 250;
    query.status = ListStatus::kPending;
    EXPECT_EQ(all_pages(query), "7");
    db_.sql("DELETE FROM messaging._queue");
    db_.sql("INSERT INTO messaging._hold (id, endpoint_id) SELECT id, endpoint_id FROM messages");
    query.status = ListStatus::kHeld;
    EXPECT_EQ(all_pages(query, &pages), "7");
    EXPECT_EQ(pages, 1) << "what is held is found by its endpoint";
    query.endpoint_id = 1;
    const std::string held = all_pages(query, &pages);
    EXPECT_TRUE(held.starts_with("45000 44999 ")) << held.substr(0, 50);
    EXPECT_TRUE(held.ends_with(" 8 6 5 4 3 2 1")) << held.substr(held.size() - 50);
    EXPECT_EQ(pages, 180);
}

TEST_F(MessageStore, ARareStatusOfABusyRecipientIsFoundOverBoundedPages) {
    insert(11000);
    send("7", "2026-01-01");
    int pages = 0;
    EXPECT_EQ(all_pages({ListStatus::kSent, "+90", 50, std::nullopt}, &pages), "7");
    EXPECT_EQ(pages, 3);
}

TEST_F(MessageStore, APageCostsTheSameHoweverFarDownTheListItIs) {
    insert(40000);
    // Times around the thousand-millionth second, where the deep cursors below point.
    db_.sql("INSERT INTO messaging._schedule SELECT id, to_timestamp(1000000000 + id - 38000) FROM messages");
    db_.sql("INSERT INTO messaging._dead SELECT id, to_timestamp(1000000000 + id - 2000), 'x' FROM messages");
    db_.as_engine("UPDATE messages SET is_sent = true, sent_at = '2026-01-01'::timestamptz + (id / 20) * interval '1 s'");
    db_.sql(
        "INSERT INTO messaging._sent_batch (sent_at, size, ids) SELECT sent_at, count(*), array_agg(id ORDER BY id) FROM "
        "messages "
        "GROUP BY sent_at ORDER BY sent_at");
    db_.sql("VACUUM ANALYZE");
    static constexpr pg::Statement kText{"text_of", "SELECT statement FROM pg_prepared_statements WHERE name = $1::text"};
    pg::Session session = test::connect_or_abort(db_.url());
    for (const auto& [name, value] : api_session_settings())
        ASSERT_TRUE(session.execute_script("SET " + name + " = '" + value + "'"));
    struct Case {
        std::string name;
        ListStatus status;
        std::string deep;  // arguments for a page near the end
        std::string rest;
    };
    const std::string no_filter = ", false, NULL, NULL, NULL";
    const std::vector<Case> cases{{"list_sent", ListStatus::kSent, "51, 100, 1000", ", false"},
                                  {"list_all", ListStatus::kAll, "51, 0, 1000", no_filter},
                                  {"list_scheduled", ListStatus::kScheduled, "51, 1000000000000000, 1", no_filter + ", NULL"},
                                  {"list_dead", ListStatus::kDead, "51, 0, 1000", no_filter}};
    for (const auto& [name, status, deep, rest] : cases) {
        list({status, std::nullopt, 50, std::nullopt});
        pg::Params params;
        params.text(name);
        const auto text = db_.answer<std::vector<pg::Rows>>([&](auto done) {
            session_.execute({{&kText, params}}, std::move(done));
        });
        ASSERT_TRUE(text.ok());
        ASSERT_TRUE(session.execute_script("PREPARE " + name + " AS " + std::string(text->front().text(0, 0))));
        const auto pages_read = [&](const std::string& arguments) {
            const std::string explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE " + name + "(" + arguments + rest + ")";
            const auto plan = session.execute(explain.c_str());
            EXPECT_TRUE(plan.ok());
            constexpr std::string_view kHits = "\"Shared Hit Blocks\": ";
            const std::string json(plan->text(0, 0));
            return std::stoll(json.substr(json.find(kHits) + kHits.size()));
        };
        const auto first = pages_read("51, NULL, NULL");
        EXPECT_LT(first, 9000) << name << ": one page must not read hundreds of batches";
        EXPECT_LE(pages_read(deep), first + first / 4 + 20) << name << ", whose first page takes " << first;
    }
}

// Review N3, C2: "pending" covered what was being sent, and its filter left it out; rows marked as sent by hand were in no list
// of sent ones.
class OneMessageInEachState : public MessageStore {
protected:
    // 1, 2 sent by the service, 3 inserted as sent, 4 marked as sent by hand, 5, 6 dead, 7, 8 held, 9, 10 scheduled, 11, 12 being
    // sent, 13 claimed and recorded as failed since, 14, 15 pending.
    OneMessageInEachState() {
        insert(2);
        db_.sql("INSERT INTO messages (recipient, content, is_sent) VALUES ('+90', 'x', true)");
        insert(12);
        db_.sql("DELETE FROM messaging._queue WHERE id BETWEEN 5 AND 13");
        send("1, 2", "2026-01-01");
        db_.sql("UPDATE messages SET is_sent = true WHERE id = 4");
        db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (5, 'x'), (6, 'x')");
        db_.sql("INSERT INTO messaging._hold (id, endpoint_id) VALUES (7, 1), (8, 1)");
        db_.sql("INSERT INTO messaging._schedule VALUES (9, '2030-01-01'), (10, '2030-01-02'), (13, '2030-01-03')");
        db_.sql(
            "INSERT INTO messaging._claim SELECT 1, 1, array_agg(id ORDER BY id), array_agg(attempts ORDER BY id),"
            " array_agg(generation ORDER BY id) FROM messages WHERE id IN (1, 11, 12, 13)");
        db_.as_engine("UPDATE messages SET attempts = 1 WHERE id = 13");
    }
    std::map<ListStatus, std::string> by_status() {
        std::map<ListStatus, std::string> ids;
        for (core::MessageId id = 15; id > 0; --id) {
            const auto found = get(id);
            EXPECT_TRUE(found.ok());
            for (const ListStatus status : service::kListStatuses) {
                if (status != ListStatus::kAll && word_of(status) != core::word_of(found->first.status)) continue;
                ids[status] += (ids[status].empty() ? "" : " ") + std::to_string(id);
            }
        }
        return ids;
    }
};

TEST_F(OneMessageInEachState, EachFilterHasExactlyThoseWithItsStatus) {
    const auto expected = by_status();
    EXPECT_EQ(expected.at(ListStatus::kSent), "4 3 2 1");
    EXPECT_EQ(expected.at(ListStatus::kDead), "6 5");
    EXPECT_EQ(expected.at(ListStatus::kHeld), "8 7");
    EXPECT_EQ(expected.at(ListStatus::kScheduled), "13 10 9");
    EXPECT_EQ(expected.at(ListStatus::kSending), "12 11");
    EXPECT_EQ(expected.at(ListStatus::kPending), "15 14");
    const core::Microseconds long_ago(std::chrono::seconds(0));
    for (const auto& [status, newest_first] : expected) {
        std::string ids = newest_first;
        if (status == ListStatus::kScheduled) ids = "9 10 13";
        for (const auto& recipient : {std::optional<std::string>(), std::optional<std::string>("+90")}) {
            for (const auto& since : {std::optional<core::Microseconds>(), std::optional(long_ago)}) {
                SCOPED_TRACE(std::string(word_of(status)) + (recipient ? " recipient" : "") + (since ? " since" : ""));
                const bool by_log = status == ListStatus::kSent && !recipient && !since;
                EXPECT_EQ(all_pages({status, recipient, 50, std::nullopt, since}), by_log ? "4 2 1 3" : ids);
                EXPECT_EQ(all_pages({status, recipient, 1, std::nullopt, since}), by_log ? "4 2 1 3" : ids);
            }
        }
        for (const MessageView& message : list({status}).messages) {
            EXPECT_TRUE(status == ListStatus::kAll || core::word_of(message.status) == word_of(status)) << message.id;
        }
    }
}

TEST_F(OneMessageInEachState, EachFilterTakesAnEndpointToo) {
    auto expected = by_status();
    expected[ListStatus::kScheduled] = "9 10 13";
    db_.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('shop', 'http://a/')");
    const auto of_endpoint = [](const std::string& ids, core::EndpointId endpoint) {
        std::istringstream all(ids);
        std::string kept;
        for (core::MessageId id = 0; all >> id;) {
            if (id % 2 + 1 == endpoint) kept += (kept.empty() ? "" : " ") + std::to_string(id);
        }
        return kept;
    };
    db_.as_engine("UPDATE messages SET endpoint_id = id % 2 + 1");
    db_.sql("UPDATE messaging._hold SET endpoint_id = id % 2 + 1");
    for (const auto& [status, ids] : expected) {
        for (const auto& recipient : {std::optional<std::string>(), std::optional<std::string>("+90")}) {
            for (const core::EndpointId endpoint : {1, 2}) {
                SCOPED_TRACE(std::string(word_of(status)) + (recipient ? " recipient " : " ") + std::to_string(endpoint));
                ListQuery query{status, recipient, 1};
                query.endpoint_id = endpoint;
                EXPECT_EQ(all_pages(query), of_endpoint(ids, endpoint));
                query.until = core::Microseconds(std::chrono::seconds(0));
                EXPECT_EQ(all_pages(query), "");
            }
        }
    }
    ListQuery query{ListStatus::kAll};
    query.endpoint_id = 3;
    EXPECT_EQ(all_pages(query), "");
}

// Newest id first, also those that are scheduled.
TEST_F(OneMessageInEachState, EachFilterTakesAnEventToo) {
    const auto expected = by_status();
    db_.as_engine("UPDATE messages SET event_id = id % 2 + 1, recipient = NULL, content = NULL WHERE id < 15");
    for (const auto& [status, ids] : expected) {
        for (const core::EventId event : {1, 2}) {
            SCOPED_TRACE(std::string(word_of(status)) + " " + std::to_string(event));
            std::istringstream all(ids);
            std::string of_event;
            for (core::MessageId id = 0; all >> id;) {
                if (id < 15 && id % 2 + 1 == event) of_event += (of_event.empty() ? "" : " ") + std::to_string(id);
            }
            ListQuery query{status, std::nullopt, 1};
            query.event_id = event;
            EXPECT_EQ(all_pages(query), of_event);
            query.since = core::Microseconds(std::chrono::seconds(0));
            EXPECT_EQ(all_pages(query), of_event);
            query.endpoint_id = 77;
            EXPECT_EQ(all_pages(query), "");
        }
    }
    ListQuery query{ListStatus::kAll};
    query.event_id = 3;
    EXPECT_EQ(all_pages(query), "");
}

TEST_F(OneMessageInEachState, WhatWaitsCanBeCancelledAndNothingElse) {
    for (core::MessageId id = 1; id <= 15; ++id) {
        const MessageStatus before = get(id)->first.status;
        const bool waits =
            before == MessageStatus::kPending || before == MessageStatus::kScheduled || before == MessageStatus::kHeld;
        const auto cancelled = cancel({id});
        EXPECT_EQ(cancelled.ok(), waits) << id;
        if (waits) {
            EXPECT_EQ(cancelled->first.status, MessageStatus::kDead) << id;
            EXPECT_EQ(cancelled->first.last_error, "cancelled") << id;
            EXPECT_EQ(db_.sql("SELECT reason FROM messaging._dead WHERE id = " + std::to_string(id)), "cancelled");
        } else {
            EXPECT_EQ(cancelled.error().kind, core::ErrorKind::kConflict) << id;
            EXPECT_EQ(get(id)->first.status, before) << "it stays as it was";
        }
    }
    EXPECT_EQ(cancel({99}).error().kind, core::ErrorKind::kNotFound);
    EXPECT_EQ(cancel({11}).error().message, "the message is being sent; nothing was changed");
    EXPECT_EQ(retry(14)->first.status, MessageStatus::kPending);
    EXPECT_EQ(cancel({14, "msg_other_14_000000"}, "x").error().kind, core::ErrorKind::kNotFound);
    const auto again = cancel({14, get(14)->first.webhook_id}, "the customer has left");
    EXPECT_EQ(again->first.last_error, "the customer has left");
}

TEST_F(OneMessageInEachState, ALongQueueIsListedByTheArchive) {
    insert(6000);
    db_.sql("UPDATE messages SET is_sent = true WHERE id > 6010");
    int pages = 0;
    ListQuery query{ListStatus::kPending};
    query.limit = 250;
    const std::string ids = all_pages(query, &pages);
    EXPECT_TRUE(ids.starts_with("6010 6009 6008 ")) << ids.substr(0, 50);
    EXPECT_TRUE(ids.ends_with(" 16 15 14")) << ids.substr(ids.size() - 50);
    EXPECT_EQ(pages, 24);
}

// A million old messages that were sent again, behind millions of newer ones.
TEST_F(MessageStore, ALongQueueOfOldMessagesIsReachedWithoutAWalkToIt) {
    insert(6000);
    insert(90000);
    db_.sql("DELETE FROM messaging._queue WHERE id > 6000");
    db_.as_engine("UPDATE messages SET is_sent = true, sent_at = now() WHERE id > 6000 OR id < 100");
    int pages = 0;
    ListQuery query{ListStatus::kPending};
    query.limit = 250;
    const std::string ids = all_pages(query, &pages);
    EXPECT_TRUE(ids.starts_with("6000 5999 ")) << ids.substr(0, 50);
    EXPECT_TRUE(ids.ends_with(" 101 100")) << ids.substr(ids.size() - 50);
    EXPECT_LE(pages, 1 + 24 + 1);
}

TEST_F(MessageStore, WhatIsMarkedAsSentByHandIsListedOnceAndInItsOrder) {
    insert(3);
    send("3", "2026-01-01");
    pg::Session application = test::connect_or_abort(db_.url());
    ASSERT_TRUE(application.execute_script(
        "BEGIN; UPDATE messages SET is_sent = true WHERE id = 1; UPDATE messages SET is_sent = false WHERE id = 1;"
        " UPDATE messages SET is_sent = true WHERE id = 1; COMMIT"));
    EXPECT_EQ(all_pages({}), "1 3");
    db_.sql("UPDATE messages SET sent_at = '2020-01-01', content = 'edited'");
    EXPECT_EQ(all_pages({}), "1 3") << "sent_at is the service's";
    db_.sql("UPDATE messages SET is_sent = false WHERE id = 1");
    EXPECT_EQ(all_pages({}), "3");
}

TEST_F(MessageStore, ListsWhatWasCreatedSinceAndUntil) {
    db_.sql(
        "INSERT INTO messages (recipient, content, created_at) SELECT '+90', 'x', '2026-01-01'::timestamptz + g * interval '1 h'"
        " FROM generate_series(1, 500) g");
    db_.sql("DELETE FROM messages WHERE id % 7 = 0");
    const auto at = [](int hour) {
        return core::Microseconds(std::chrono::sys_days(std::chrono::year(2026) / 1 / 1)) + std::chrono::hours(hour);
    };
    const auto expected = [&](int first, int last) {
        std::string ids;
        for (int id = last; id >= first; --id) {
            if (id % 7 != 0) ids += (ids.empty() ? "" : " ") + std::to_string(id);
        }
        return ids;
    };
    for (const ListStatus status : {ListStatus::kAll, ListStatus::kPending}) {
        EXPECT_EQ(all_pages({status, std::nullopt, 50, std::nullopt, at(490), std::nullopt}), expected(490, 500));
        EXPECT_EQ(all_pages({status, std::nullopt, 50, std::nullopt, std::nullopt, at(10)}), expected(1, 9));
        EXPECT_EQ(all_pages({status, "+90", 2, std::nullopt, at(100), at(110)}), expected(100, 109));
        EXPECT_EQ(all_pages({status, std::nullopt, 3, std::nullopt, at(100), at(110)}), expected(100, 109));
        EXPECT_EQ(all_pages({status, std::nullopt, 50, std::nullopt, at(501), std::nullopt}), "");
        EXPECT_EQ(all_pages({status, std::nullopt, 50, std::nullopt, std::nullopt, at(1)}), "");
    }
    EXPECT_EQ(
        db_.number("SELECT count(*) FROM generate_series(1, 500) g WHERE messaging._last_id_before('2026-01-01'::timestamptz"
                   " + g * interval '1 h') NOT BETWEEN g - 2 AND g"),
        0);
    db_.sql("INSERT INTO messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (9223372036854775807, '+90', 'x')");
    EXPECT_EQ(db_.number("SELECT messaging._last_id_before('infinity')"), 9223372036854775807) << "a huge id is no problem";
    EXPECT_EQ(db_.number("SELECT messaging._last_id_before('-infinity')"), 0);
}

TEST_F(MessageStore, AListCutsLongContentsUnlessItIsAskedForThem) {
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('+90', repeat('é', 512)), ('+90', 'x' || repeat('é', 600))");
    ListQuery query{ListStatus::kAll};
    auto messages = list(query).messages;
    EXPECT_EQ(messages.at(1).content->size(), 1024U);
    EXPECT_EQ(messages.at(1).content_bytes, 1024);
    EXPECT_EQ(messages.at(0).content->size(), 1023U) << "cut at a character";
    EXPECT_EQ(messages.at(0).content_bytes, 1201);
    query.with_content = true;
    messages = list(query).messages;
    EXPECT_EQ(messages.at(0).content->size(), 1201U);
    EXPECT_EQ(get(2)->first.content->size(), 1201U);
}

TEST_F(MessageStore, AMessageOfADeletedEndpointStillHasItsId) {
    db_.sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('+90', 'x', 77)");
    const auto found = get(1);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->first.endpoint_id, 77);
    EXPECT_FALSE(found->first.endpoint);
}

TEST_F(MessageStore, AMessageIsFoundByItsWebhookIdAndByNoOther) {
    insert(2);
    const std::string id = get(2)->first.webhook_id;
    const auto by = [&](const service::MessageRef& ref) {
        return db_.answer<Single>([&](auto done) { store_.get(ref, std::move(done)); });
    };
    EXPECT_TRUE(by({2, id}).ok());
    for (const std::string& other : {get(1)->first.webhook_id, "msg_other_2" + id.substr(id.rfind('_')), id + "0"}) {
        EXPECT_EQ(by({2, other}).error().kind, core::ErrorKind::kNotFound) << other;
        const auto retried = db_.answer<Single>([&](auto done) { store_.retry({2, other}, std::move(done)); });
        EXPECT_EQ(retried.error().kind, core::ErrorKind::kNotFound) << other;
    }
}

TEST_F(MessageStore, GetsOneMessageWithItsFailedAttempts) {
    insert(2);
    db_.sql(
        "INSERT INTO messaging._attempt VALUES (1, 1, '2026-01-01', 503, 12, 'HTTP 503'), (1, 2, '2026-01-02', NULL, 3000, "
        "'timed "
        "out'), (2, 1, now(), 500, 1, 'x')");
    const auto found = get(1);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->first.id, 1);
    ASSERT_EQ(found->second.size(), 2U);
    EXPECT_EQ(found->second[0].http_status, 503);
    EXPECT_EQ(found->second[0].duration_ms, 12);
    EXPECT_EQ(found->second[1].attempt, 2);
    EXPECT_FALSE(found->second[1].http_status);
    EXPECT_EQ(found->second[1].attempted_at, "2026-01-02T00:00:00.000000Z");
    EXPECT_EQ(found->second[1].error, "timed out");
    const auto missing = get(99);
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().kind, core::ErrorKind::kNotFound);
}

TEST_F(MessageStore, RetrySendsAgainWhatIsSentDeadOrScheduled) {
    insert(4);
    db_.sql("TRUNCATE messaging._queue");
    send("1", "2026-01-01");
    db_.sql("UPDATE messages SET attempts = 16");
    db_.sql("INSERT INTO messaging._dead (id, reason) VALUES (2, 'x')");
    db_.sql("INSERT INTO messaging._schedule VALUES (3, now() + interval '1 h')");
    for (const core::MessageId id : {1, 2, 3}) {
        const auto queued = retry(id);
        ASSERT_TRUE(queued.ok());
        EXPECT_EQ(queued->first.id, id);
        EXPECT_EQ(queued->first.status, MessageStatus::kPending) << "the answer shows the message as it is now";
        EXPECT_EQ(queued->first.attempts, 0);
        EXPECT_EQ(retry_error(id), core::ErrorKind::kConflict) << "it is queued now";
    }
    EXPECT_EQ(db_.sql("SELECT id FROM messaging._queue ORDER BY id"), "1 2 3");
    EXPECT_EQ(db_.sql("SELECT DISTINCT attempts, is_sent FROM messages WHERE id < 4"), "0|false");
    EXPECT_EQ(db_.number("SELECT (SELECT count(*) FROM messaging._dead) + (SELECT count(*) FROM messaging._schedule)"), 0);
    EXPECT_EQ(retry_error(4), core::ErrorKind::kConflict) << "in flight";
    EXPECT_EQ(retry_error(99), core::ErrorKind::kNotFound);
}

}  // namespace
}  // namespace messaging::repository
