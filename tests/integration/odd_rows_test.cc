// Rows as strange as a role that may only INSERT can make them: each is refused, or harmless to the engines and to other
// messages.
#include "engine/instance_store.h"
#include "repository/instance_store.h"
#include "repository/message_store.h"
#include "service/message_store.h"
#include "support/one_engine.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using test::OneEngine;
using test::Stores;

constexpr const char* kCheckViolation = "23514";
constexpr const char* kOutOfRange = "22003";

struct OddValue {
    const char* column;
    const char* value;
    const char* sqlstate;  // "" = accepted
};

const OddValue kOddValues[] = {
    {"created_at", "'infinity'", kCheckViolation},
    {"created_at", "'-infinity'", kCheckViolation},
    {"created_at", "'0044-03-15 BC'", kCheckViolation},
    {"created_at", "'294276-12-31'", kCheckViolation},
    {"created_at", "'1969-12-31 23:59:59+00'", kCheckViolation},
    {"created_at", "'1970-01-01 00:00+00'", ""},
    {"created_at", "'2999-12-31 23:59:59+00'", ""},
    {"created_at", "NULL", "23502"},
    {"attempts", "2147483647", kCheckViolation},
    {"attempts", "-2147483648", kCheckViolation},
    {"attempts", "2147483648", kOutOfRange},
    {"attempts", "-1", kCheckViolation},
    {"attempts", "32001", kCheckViolation},
    {"attempts", "32000", ""},
    {"attempts", "31998", ""},
    {"abandoned", "-1", kCheckViolation},
    {"abandoned", "1001", kCheckViolation},
    {"abandoned", "32768", kOutOfRange},
    {"abandoned", "1000", ""},
    {"generation", "-1", kCheckViolation},
    {"generation", "-2147483648", kCheckViolation},
    {"generation", "2147483647", ""},
    {"generation", "127", ""},
    {"generation", "0", ""},
    {"endpoint_id", "-1", ""},
    {"endpoint_id", "0", ""},
    {"endpoint_id", "9223372036854775807", ""},
    {"id", "0", kCheckViolation},
    {"id", "-1", kCheckViolation},
    {"id", "-9223372036854775808", kCheckViolation},
    {"id", "9223372036854775807", ""},
    {"recipient", "''", kCheckViolation},
    {"recipient", "repeat('é', 128)", kCheckViolation},
    {"recipient", "E'\\x01\\n\\x7f ''\"{}[]'", ""},
    {"content", "repeat('x', 1000000)", kCheckViolation},
    {"content", "E'\\x01\\u2028\\n\\\\'", ""},
    {"last_error", "repeat('x', 1000000)", kCheckViolation},
    {"last_error", "repeat('x', 2048)", ""},
    {"receiver_message_id", "repeat('x', 1025)", kCheckViolation},
    {"receiver_message_id", "repeat('x', 1024)", ""},
    {"sent_at", "'infinity'", kCheckViolation},
    {"sent_at", "'-infinity'", kCheckViolation},
    {"sent_at", "'2999-01-01'", ""},
    {"is_sent", "true", ""},
    {"event_id", "1", kCheckViolation},
    {"ordering_key", "'k'", kCheckViolation},
    {"scheduled_at", "'infinity'", kCheckViolation},
    {"scheduled_at", "now()", kCheckViolation},
    {"expires_at", "now()", kCheckViolation},
    {"traceparent", "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'", kCheckViolation},
};

class OddRows : public testing::Test {
protected:
    OddRows() {
        db_.sql("DO $$ BEGIN IF to_regrole('only_insert') IS NULL THEN CREATE ROLE only_insert; END IF; END $$");
        db_.sql("GRANT INSERT ON messages TO only_insert");
        EXPECT_TRUE(application_.execute_script("SET ROLE only_insert"));
    }
    core::Result<core::Unit> insert(const OddValue& odd) {
        std::string columns = odd.column;
        std::string values = odd.value;
        for (const char* other : {"recipient", "content"}) {
            if (std::string(other) == odd.column) continue;
            columns += std::string(", ") + other;
            values += ", 'a'";
        }
        return application_.execute_script("INSERT INTO messages (" + columns + ") OVERRIDING SYSTEM VALUE VALUES (" + values +
                                           ")");
    }
    // Everything that engines and people may do with the row. Every statement of it must succeed.
    void live_through(OneEngine& engine) {
        engine.record(engine.claim(), OutcomeKind::kRetry);
        expect_no_misplaced();
        engine.record(engine.claim_due(), OutcomeKind::kDead);
        expect_no_misplaced();
        db_.sql("UPDATE messages SET is_sent = false");
        engine.claim();
        EXPECT_EQ(db_.sql("SELECT id FROM messaging.misplaced()"), "");
        PgInstanceStore instances(db_.open_session(listen_session_settings()));
        db_.value<engine::Reclaimed>(
            [&](auto done) { instances.reclaim(99, {}, std::chrono::seconds(2), true, std::move(done)); });
        expect_no_misplaced();
        engine.record(engine.claim_due(), OutcomeKind::kDelivered);
        expect_no_misplaced();
        PgMessageStore lists(db_.open_session(api_session_settings()));
        for (const auto status : service::kListStatuses) {
            db_.value<service::ListPage>([&](auto done) {
                lists.list({status, std::nullopt, 50, std::nullopt}, std::move(done));
            });
        }
    }
    void expect_no_misplaced() { EXPECT_EQ(db_.sql("SELECT id, places FROM messaging.misplaced()"), ""); }

    Stores db_{test::fresh_database()};
    pg::Session application_ = test::connect_or_abort(db_.url());
};

TEST_F(OddRows, AreRefusedByACheckOrAccepted) {
    for (const OddValue& odd : kOddValues) {
        const auto inserted = insert(odd);
        EXPECT_EQ(inserted ? "" : inserted.error().sqlstate, odd.sqlstate)
            << odd.column << " = " << odd.value << ": " << (inserted ? "" : inserted.error().message);
    }
    const auto identity = application_.execute_script("INSERT INTO messages (id, recipient, content) VALUES (7, 'a', 'b')");
    ASSERT_FALSE(identity.ok());
    EXPECT_EQ(identity.error().sqlstate, "428C9") << "an id of one's own takes OVERRIDING SYSTEM VALUE";
}

TEST_F(OddRows, DoNotKeepTheNextMessageFromBeingSent) {
    OneEngine engine(db_);
    for (const OddValue& odd : kOddValues) {
        SCOPED_TRACE(std::string(odd.column) + " = " + odd.value);
        db_.sql("TRUNCATE messages");
        if (!insert(odd)) continue;
        db_.sql("INSERT INTO messages (recipient, content) VALUES ('good', 'good')");
        const auto claimed = engine.claim();
        ASSERT_FALSE(claimed.empty());
        engine.record(claimed, OutcomeKind::kDelivered);
        EXPECT_EQ(db_.sql("SELECT is_sent FROM messages WHERE recipient = 'good'"), "true");
        EXPECT_EQ(db_.number("SELECT count(*) FROM messages WHERE NOT is_sent AND id NOT IN (SELECT id FROM messaging._dead)"), 0)
            << "sent, or dead-lettered with a reason";
        expect_no_misplaced();
    }
}

TEST_F(OddRows, LiveThroughFailuresDeathsAndNewSendings) {
    OneEngine engine(db_);
    for (const OddValue& odd : kOddValues) {
        SCOPED_TRACE(std::string(odd.column) + " = " + odd.value);
        db_.sql("TRUNCATE messages");
        if (insert(odd)) live_through(engine);
    }
}

TEST_F(OddRows, TheSameMessageOverAndOverIsSentOncePerClaim) {
    db_.sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
    for (int i = 0; i < 3; ++i) db_.sql("UPDATE messages SET is_sent = NOT is_sent");
    db_.sql("UPDATE messages SET is_sent = false");
    EXPECT_GT(db_.number("SELECT count(*) FROM messaging._queue"), 1);
    EXPECT_EQ(OneEngine(db_).claim().size(), 1U);
    EXPECT_EQ(db_.number("SELECT count(*) FROM messaging._queue"), 0);
    expect_no_misplaced();
}

}  // namespace
}  // namespace messaging::repository
