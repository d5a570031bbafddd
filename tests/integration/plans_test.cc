// The plans of the statements that run all the time: an index for every hot table, whatever the statistics say.
#include <array>

#include "repository/queue_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using core::OutcomeKind;
using test::Stores;

// Statements that a session has prepared, as PostgreSQL knows them.
constexpr pg::Statement kPrepared{
    "list_prepared", "SELECT name, statement, cardinality(parameter_types) FROM pg_prepared_statements WHERE NOT from_sql"};

core::Outcome outcome(core::MessageId id, core::ClaimId claim, OutcomeKind kind) {
    core::Outcome one;
    one.id = id;
    one.claim_id = claim;
    one.kind = kind;
    one.attempts = 2;
    return one;
}

std::string explain(pg::Session& session, const std::string& name, const std::string& statement, int parameters) {
    EXPECT_TRUE(session.execute_script("PREPARE " + name + " AS " + statement));
    std::string arguments;
    for (int i = 0; i < parameters; ++i) arguments += i == 0 ? "NULL" : ", NULL";
    const std::string text = "EXPLAIN (COSTS OFF) EXECUTE " + name + (parameters == 0 ? "" : "(" + arguments + ")");
    const auto rows = session.execute(text.c_str());
    EXPECT_TRUE(rows.ok()) << rows.error().message;
    std::string plan;
    for (int row = 0; rows && row < rows->size(); ++row) plan += std::string(rows->text(row, 0)) + "\n";
    return plan;
}

// Statistics of an empty database are what misleads the planner most.
TEST(Plans, NoHotStatementScansATableOrHashesAJoin) {
    Stores db(test::fresh_database());
    pg::Connection& claim_session = db.open_session(claim_session_settings());
    pg::Connection& record_session = db.open_session(record_session_settings());
    PgQueueStore store(claim_session, record_session);
    db.sql("INSERT INTO messages (recipient, content) SELECT '+90', 'x' FROM generate_series(1, 5)");
    db.value<service::ClaimBatch>([&](auto done) { store.claim_due({1, {}, 9}, std::move(done)); });
    const auto batch = db.value<service::ClaimBatch>([&](auto done) { store.claim_ready({1, {}, 9}, std::move(done)); });
    ASSERT_EQ(batch.deliveries.size(), 5U);
    const core::ClaimId claim = batch.deliveries[0].claim_id;
    std::vector<core::Outcome> outcomes;
    const std::array kinds{OutcomeKind::kDelivered, OutcomeKind::kRetry, OutcomeKind::kDead, OutcomeKind::kDeferred,
                           OutcomeKind::kReturned};
    for (std::size_t i = 0; i < kinds.size(); ++i)
        outcomes.push_back(outcome(static_cast<core::MessageId>(i) + 1, claim, kinds[i]));
    db.value<service::RecordResult>([&](auto done) { store.record({1, outcomes, {claim}, {1}}, std::move(done)); });

    pg::Session session = test::connect_or_abort(db.url());
    for (const auto& [name, value] : planner_settings()) {
        ASSERT_TRUE(session.execute_script("SET " + name + " = '" + value + "'"));
    }
    int explained = 0;
    for (pg::Connection* connection : {&claim_session, &record_session}) {
        const auto prepared = db.answer<std::vector<pg::Rows>>([&](auto done) {
            connection->execute({{&kPrepared, {}}}, [done](core::Result<std::vector<pg::Rows>> rows) { done(std::move(rows)); });
        });
        ASSERT_TRUE(prepared.ok());
        const pg::Rows& rows = prepared->front();
        for (int row = 0; row < rows.size(); ++row) {
            const std::string name(rows.text(row, 0));
            if (name == kPrepared.name) continue;
            const std::string plan = explain(session, name, std::string(rows.text(row, 1)), rows.integer(row, 2));
            for (const char* table :
                 {"messages", "message_queue", "message_claim", "message_schedule", "message_dead", "receipt_backlog"}) {
                EXPECT_EQ(plan.find(std::string("Seq Scan on ") + table), std::string::npos) << name << "\n" << plan;
            }
            EXPECT_EQ(plan.find("Hash Join"), std::string::npos) << name << "\n" << plan;
            EXPECT_EQ(plan.find("Hash Semi Join"), std::string::npos) << name << "\n" << plan;
            EXPECT_EQ(plan.find("Merge "), std::string::npos) << name << "\n" << plan;
            ++explained;
        }
    }
    EXPECT_EQ(explained, 8);  // two claims; lock, sent, failed, put back, finished, confirmed
}

}  // namespace
}  // namespace messaging::repository
