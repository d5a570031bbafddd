// Claims, and the rescheduling of messages that the ledger names and the engine does not have in memory.
#include "repository/claim_store.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "core/completion.h"
#include "core/text.h"
#include "engine/claim_store.h"
#include "engine/queue_position.h"
#include "pg/run_statement.h"
#include "repository/claim_statements.h"

namespace messaging::repository {
namespace {

// Schedules the messages of claims that the engine does not know, because their answer was lost.
constexpr pg::Statement kRescheduleOrphans{"reschedule_orphans", R"sql(
WITH orphans AS (
    DELETE FROM messaging._claim WHERE instance_id = $1::bigint AND (claim_id IN (SELECT unnest($2::bigint[]))) IS NOT TRUE
    RETURNING ids, attempts, generations)
INSERT INTO messaging._schedule (id, due_at)
SELECT m.id, now() FROM orphans o CROSS JOIN LATERAL unnest(o.ids, o.attempts, o.generations) AS u(id, attempts, generation)
JOIN public.messages m ON m.id = u.id
WHERE messaging._is_open(m, u.attempts, u.generation) ON CONFLICT DO NOTHING)sql"};

// Schedules the messages of known claims ($1) that are not in the engine's memory ($2). A message whose outcome the engine has
// recorded is not in $2 either, but it is resolved in this snapshot.
constexpr pg::Statement kRescheduleNotInMemory{"reschedule_not_in_memory", R"sql(
WITH lost AS MATERIALIZED (
    SELECT c.claim_id, c.id FROM messaging._claimed c JOIN public.messages m ON m.id = c.id
    WHERE c.claim_id = ANY ($1::bigint[]) AND (c.id NOT IN (SELECT unnest($2::bigint[]))) IS TRUE
      AND messaging._is_open(m, c.attempts, c.generation)),
shrunk AS (
    UPDATE messaging._claim c SET (ids, attempts, generations) = (
        SELECT coalesce(array_agg(u.id ORDER BY u.id), '{}'), coalesce(array_agg(u.attempts ORDER BY u.id), '{}'),
               coalesce(array_agg(u.generation ORDER BY u.id), '{}')
        FROM unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation)
        WHERE ((c.claim_id, u.id) IN (SELECT claim_id, id FROM lost)) IS NOT TRUE)
    WHERE claim_id IN (SELECT claim_id FROM lost))
INSERT INTO messaging._schedule (id, due_at) SELECT id, now() FROM lost ON CONFLICT DO NOTHING)sql"};

// Reads PostgreSQL's text of a snapshot: xmin:xmax:xip,xip,… The running transactions (xip) are in order.
engine::Snapshot read_snapshot(std::string_view text) {
    engine::Snapshot snapshot;
    const auto take = [&text] {
        engine::Xid xid = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), xid);
        text.remove_prefix(std::min(static_cast<std::size_t>(end - text.data()) + 1, text.size()));
        return xid;
    };
    take();
    snapshot.xmax = take();
    while (!text.empty()) snapshot.running.push_back(take());
    return snapshot;
}

engine::ClaimBatch read_claim(const pg::Rows& rows, core::ClaimId claim_id) {
    engine::ClaimBatch batch;
    batch.taken = static_cast<std::size_t>(rows.bigint(0, 1));
    batch.running = rows.boolean(0, 2);
    batch.dead = static_cast<std::size_t>(rows.bigint(0, 3));
    for (int row = 0; row < rows.size(); ++row) {
        if (rows.is_null(row, 4)) continue;
        core::Delivery delivery;
        delivery.claim_id = claim_id;
        delivery.id = rows.bigint(row, 4);
        delivery.endpoint_id = rows.bigint(row, 5);
        delivery.attempts = rows.integer(row, 6);
        delivery.generation = rows.integer(row, 7);
        delivery.recipient = rows.text(row, 8);
        delivery.content = rows.text(row, 9);
        delivery.age_seconds = rows.number(row, 10);
        delivery.is_event = rows.boolean(row, 11);
        delivery.endpoint_version = rows.bigint(row, 12);
        batch.deliveries.push_back(std::move(delivery));
    }
    return batch;
}

pg::Params claim_params(const engine::ClaimRequest& request) {
    pg::Params params;
    params.bigint(request.instance_id).bigint(request.claim_id).integer(request.limit);
    if (request.only) {
        params.bigint(*request.only);
    } else {
        params.null();
    }
    return params;
}

// The parameters of the range that the claim reads.
void add_range(engine::Source source, const engine::ClaimRequest& request, pg::Params& params) {
    if (source == engine::Source::kReady) {
        params.text(std::to_string(request.behind.xid)).bigint(request.behind.id).text(std::to_string(request.until));
    } else if (source == engine::Source::kDue) {
        params.bigint(request.due_from.count());
    } else {
        std::vector<std::int64_t> endpoints;
        std::vector<std::int32_t> capacities;
        std::vector<std::int32_t> newest_first;
        for (const core::EndpointCapacity& capacity : request.capacities) {
            endpoints.push_back(capacity.endpoint);
            capacities.push_back(capacity.capacity);
            newest_first.push_back(capacity.newest_first ? 1 : 0);
        }
        params.bigint_array(endpoints)
            .integer_array(capacities)
            .integer_array(newest_first)
            .integer(request.other_capacity)
            .bigint(request.after);
    }
}

}  // namespace

// `read_more` reads the columns that only the claims of this source have.
void PgClaimStore::claim(engine::Source source, const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done,
                         void (*read_more)(const pg::Rows& rows, engine::ClaimBatch& batch)) {
    pg::Params params = claim_params(request);
    add_range(source, request, params);
    pg::run_statement<engine::ClaimBatch>(session_, claim_statement(source), std::move(params), std::move(done),
                                          [claim_id = request.claim_id, read_more](const pg::Rows& rows) {
                                              engine::ClaimBatch batch = read_claim(rows, claim_id);
                                              read_more(rows, batch);
                                              return batch;
                                          });
}

void PgClaimStore::claim_ready(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) {
    claim(engine::Source::kReady, request, std::move(done), [](const pg::Rows& rows, engine::ClaimBatch& batch) {
        batch.snapshot = read_snapshot(rows.text(0, 0));
        if (batch.taken > 0) batch.last = {static_cast<engine::Xid>(rows.bigint(0, 13)), rows.bigint(0, 14)};
        batch.holding = rows.boolean(0, 15);
    });
}

void PgClaimStore::claim_due(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) {
    claim(engine::Source::kDue, request, std::move(done), [](const pg::Rows& rows, engine::ClaimBatch& batch) {
        if (!rows.is_null(0, 13)) batch.next_due = std::chrono::milliseconds(rows.bigint(0, 13));
        batch.now = engine::DueTime(rows.bigint(0, 14));
        if (!rows.is_null(0, 15)) batch.last_due = engine::DueTime(rows.bigint(0, 15));
        batch.holding = rows.boolean(0, 16);
    });
}

void PgClaimStore::claim_held(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) {
    claim(engine::Source::kHeld, request, std::move(done), [](const pg::Rows&, engine::ClaimBatch& batch) {
        for (core::Delivery& delivery : batch.deliveries) delivery.was_held = true;
    });
}

void PgClaimStore::peek(engine::Source source, const engine::ClaimRequest& claim,
                        core::Completion<std::optional<core::MessageId>> done) {
    pg::Params params;
    add_range(source, claim, params);
    pg::run_statement<std::optional<core::MessageId>>(
        session_, peek_statement(source), std::move(params), std::move(done), [](const pg::Rows& rows) {
            return rows.size() == 0 ? std::optional<core::MessageId>() : std::optional<core::MessageId>(rows.bigint(0, 0));
        });
}

void PgClaimStore::dead_letter(engine::Source source, core::MessageId id, const std::string& reason,
                               core::Completion<core::Unit> done) {
    pg::Params params;
    params.bigint(id).text(core::clean_text(reason, core::kMaxErrorBytes));
    pg::run_statement<core::Unit>(session_, dead_letter_statement(source), std::move(params), std::move(done), pg::nothing);
}

void PgClaimStore::reschedule_orphans(core::InstanceId instance_id, std::vector<core::ClaimId> known,
                                      std::vector<core::MessageId> in_memory, core::Completion<engine::OrphanCount> done) {
    pg::Params orphans;
    orphans.bigint(instance_id).bigint_array(known);
    pg::Params not_in_memory;
    not_in_memory.bigint_array(known).bigint_array(in_memory);
    pg::run_steps<engine::OrphanCount>(
        session_, {{&kRescheduleOrphans, std::move(orphans)}, {&kRescheduleNotInMemory, std::move(not_in_memory)}},
        std::move(done), [](const std::vector<pg::Rows>& rows) {
            return engine::OrphanCount{static_cast<std::size_t>(rows[0].affected()),
                                       static_cast<std::size_t>(rows[1].affected())};
        });
}

}  // namespace messaging::repository
