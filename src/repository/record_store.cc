// Records all outcomes of a request in one transaction.
#include "repository/record_store.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <string>

#include "core/completion.h"
#include "core/text.h"
#include "engine/record_store.h"
#include "pg/run_statement.h"
#include "repository/time_text.h"

namespace messaging::repository {
namespace {

using core::Outcome;
using core::OutcomeKind;

// The fence: an outcome counts only while its claim is in the ledger. A claim id is used once, so the outcome belongs to the
// claim with this id, whichever instance has it. The lock prevents a reclaim until the commit.
constexpr pg::Statement kLockClaims{"lock_claims", R"sql(
SELECT claim_id FROM messaging._claim WHERE claim_id = ANY ($1::bigint[]) ORDER BY claim_id FOR SHARE)sql"};

// RETURNING is_sent, because a trigger of the application may have left the row unchanged.
// No fence: the receiver has accepted the message, whichever instance has its claim now. The generation must match: another
// generation is another message with the same id, or a message that was sent again since.
const std::string kMarkSentSql = R"sql(
WITH marked AS (
    UPDATE public.messages m SET is_sent = true, sent_at = now(), attempts = m.attempts + 1, receiver_message_id = u.receiver_id
    FROM unnest($1::bigint[], $2::int[], $3::text[]) AS u(id, generation, receiver_id)
    WHERE m.id = u.id AND NOT m.is_sent AND m.generation = u.generation RETURNING m.id, m.is_sent),
batch AS (
    INSERT INTO messaging._sent_batch (sent_at, size, ids)
    SELECT now(), count(*), array_agg(id ORDER BY id) FROM marked WHERE is_sent HAVING count(*) > 0
    RETURNING batch_id, sent_at, ids),
backlog AS (
    INSERT INTO messaging._receipt_backlog (batch_id, instance_id) SELECT batch_id, $4::bigint FROM batch WHERE $4::bigint IS NOT NULL)
SELECT batch_id, )sql" + rfc3339("sent_at") +
                                 R"sql(, id
FROM batch CROSS JOIN LATERAL unnest(ids) AS id)sql";
const pg::Statement kMarkSent{"mark_sent", kMarkSentSql.c_str()};

// Removes sent messages from the places that another engine may have moved them to meanwhile. This is a statement of its own,
// because it needs a later snapshot: kMarkSent may have waited for the row lock of the transaction that moved the message.
constexpr pg::Statement kLeavePlaces{"leave_places", R"sql(
WITH sent AS MATERIALIZED (
    SELECT id FROM public.messages WHERE id = ANY ($1::bigint[]) AND is_sent),
dead AS (
    DELETE FROM messaging._dead WHERE id = ANY (ARRAY(SELECT id FROM sent))),
held AS (
    DELETE FROM messaging._hold WHERE id = ANY (ARRAY(SELECT id FROM sent)))
DELETE FROM messaging._schedule WHERE id = ANY (ARRAY(SELECT id FROM sent)))sql"};

// m.attempts < u.attempts: after a lost answer this statement is repeated. It then finds its own changes, or those of a later
// attempt, and does nothing. IS TRUE prevents the planner from making the sub-select the outer side of a join, so rows are locked
// in the order of their ids.
constexpr pg::Statement kMarkFailed{"mark_failed", R"sql(
WITH live AS MATERIALIZED (
    SELECT claim_id FROM messaging._claim WHERE claim_id = ANY ($9::bigint[])),
changed AS (
    UPDATE public.messages m SET attempts = u.attempts, last_error = u.error
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::text[])
         AS u(id, claim_id, generation, attempts, delay_ms, status, duration_ms, error)
    WHERE m.id = u.id AND NOT m.is_sent AND m.generation = u.generation AND m.attempts < u.attempts
      AND (u.claim_id IN (SELECT claim_id FROM live)) IS TRUE
    RETURNING m.id, m.attempts, u.attempts AS counted, u.delay_ms, u.status, u.duration_ms, u.error),
failed AS MATERIALIZED (
    SELECT * FROM changed WHERE attempts = counted),
attempted AS (
    INSERT INTO messaging._attempt (message_id, attempt, status, duration_ms, error)
    SELECT id, attempts, status, duration_ms, error FROM failed),
scheduled AS (
    INSERT INTO messaging._schedule (id, due_at)
    SELECT id, now() + delay_ms * interval '1 millisecond' FROM failed WHERE delay_ms IS NOT NULL
    ON CONFLICT (id) DO NOTHING),
dead AS (
    INSERT INTO messaging._dead (id, reason) SELECT id, error FROM failed WHERE delay_ms IS NULL ON CONFLICT (id) DO NOTHING)
SELECT count(*) FROM failed)sql"};

// Outcomes without an attempt: released, deferred, held, given up. The statement removes them from the ledger's arrays, because
// messages.attempts does not show that they are resolved. It moves only messages that the ledger still has: a repeat after a lost
// answer must not queue a message twice. It moves only open messages: a message that was sent late or sent again, or another
// message with the same id, has a place already. IS TRUE keeps the sub-selects hashed: as joins they would compare every pair,
// because hash joins are off.
constexpr pg::Statement kRecordUncounted{"record_uncounted", R"sql(
WITH live AS MATERIALIZED (
    SELECT claim_id, ids FROM messaging._claim WHERE claim_id = ANY ($8::bigint[])),
uncounted AS MATERIALIZED (
    SELECT u.id, u.claim_id, u.generation, u.attempts, u.place, u.delay_ms, u.reason
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::text[], $6::int[], $7::text[])
         AS u(id, claim_id, generation, attempts, place, delay_ms, reason)
    WHERE ((u.claim_id, u.id) IN (SELECT claim_id, unnest(ids) FROM live)) IS TRUE),
open AS MATERIALIZED (
    SELECT r.id, m.endpoint_id, r.place, r.delay_ms, r.reason FROM uncounted r JOIN public.messages m ON m.id = r.id
    WHERE messaging._is_open(m, r.attempts, r.generation)),
queued AS (
    INSERT INTO messaging._queue (id) SELECT id FROM open WHERE place = 'queue'),
dead AS (
    INSERT INTO messaging._dead (id, reason) SELECT id, reason FROM open WHERE place = 'dead' ON CONFLICT (id) DO NOTHING),
held AS (
    INSERT INTO messaging._hold (id, endpoint_id) SELECT id, endpoint_id FROM open WHERE place = 'hold' ON CONFLICT (id) DO NOTHING),
full_endpoints AS (
    UPDATE messaging._endpoint_state SET state = 'backlogged', reason = 'messages for it come faster than it takes them'
    WHERE endpoint_id IN (
        SELECT endpoint_id FROM messaging._endpoint_state
        WHERE state = 'active' AND endpoint_id IN (SELECT endpoint_id FROM open WHERE place = 'hold')
        FOR UPDATE SKIP LOCKED)),
scheduled AS (
    INSERT INTO messaging._schedule (id, due_at)
    SELECT id, now() + delay_ms * interval '1 millisecond' FROM open WHERE place = 'schedule'
    ON CONFLICT (id) DO NOTHING)
UPDATE messaging._claim c SET (ids, attempts, generations) = (
    SELECT coalesce(array_agg(u.id ORDER BY u.id), '{}'), coalesce(array_agg(u.attempts ORDER BY u.id), '{}'),
           coalesce(array_agg(u.generation ORDER BY u.id), '{}')
    FROM unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation)
    WHERE ((c.claim_id, u.id) IN (SELECT claim_id, id FROM uncounted)) IS NOT TRUE)
WHERE claim_id IN (SELECT claim_id FROM live))sql"};

// Deletes the claims that the engine considers finished, except those with an open message: that message would be in no place.
// reschedule_orphans finds the claims that stay in the ledger.
constexpr pg::Statement kFinishClaims{"finish_claims", R"sql(
WITH open AS MATERIALIZED (
    SELECT c.claim_id, c.id FROM messaging._claimed c JOIN public.messages m ON m.id = c.id
    WHERE c.claim_id = ANY ($1::bigint[]) AND messaging._is_open(m, c.attempts, c.generation)),
finished AS (
    DELETE FROM messaging._claim WHERE claim_id = ANY ($1::bigint[]) AND (claim_id IN (SELECT claim_id FROM open)) IS NOT TRUE)
SELECT claim_id, id FROM open)sql"};

constexpr pg::Statement kConfirmReceipts{"confirm_receipts",
                                         "DELETE FROM messaging._receipt_backlog WHERE batch_id = ANY ($1::bigint[])"};

constexpr pg::Statement kNoteSuspects{"note_suspects", "INSERT INTO messaging._suspect (id) SELECT unnest($1::bigint[])"};

// Tries to lock the rows and releases them at once. Returns the ids whose rows are free or no longer exist.
constexpr pg::Statement kFindUnlocked{"find_unlocked", R"sql(
WITH free AS MATERIALIZED (
    SELECT id FROM public.messages WHERE id = ANY ($1::bigint[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)
SELECT u.id FROM unnest($1::bigint[]) AS u(id)
WHERE (u.id IN (SELECT id FROM free)) IS TRUE OR NOT EXISTS (SELECT FROM public.messages m WHERE m.id = u.id))sql"};

std::int32_t clamp_to_int(std::chrono::milliseconds duration) {
    return static_cast<std::int32_t>(std::clamp<std::int64_t>(duration.count(), 0, 2'000'000'000));
}

std::vector<core::ClaimId> claims_of(const std::vector<const Outcome*>& outcomes) {
    std::vector<core::ClaimId> claims;
    claims.reserve(outcomes.size());
    for (const Outcome* outcome : outcomes) claims.push_back(outcome->claim_id);
    std::sort(claims.begin(), claims.end());
    claims.erase(std::unique(claims.begin(), claims.end()), claims.end());
    return claims;
}

std::vector<std::int64_t> ids_of(const std::vector<const Outcome*>& outcomes) {
    std::vector<std::int64_t> ids;
    ids.reserve(outcomes.size());
    for (const Outcome* outcome : outcomes) ids.push_back(outcome->id);
    return ids;
}

std::vector<std::int32_t> generations_of(const std::vector<const Outcome*>& outcomes) {
    std::vector<std::int32_t> generations;
    generations.reserve(outcomes.size());
    for (const Outcome* outcome : outcomes) generations.push_back(outcome->generation);
    return generations;
}

// Without `instance_id` no row of the receipt backlog is written.
pg::Params sent_params(const std::vector<const Outcome*>& sent, std::optional<core::InstanceId> instance_id) {
    std::vector<std::optional<std::string>> receiver_ids;
    receiver_ids.reserve(sent.size());
    for (const Outcome* outcome : sent) receiver_ids.push_back(outcome->receiver_message_id);
    pg::Params params;
    params.bigint_array(ids_of(sent)).integer_array(generations_of(sent)).text_array(receiver_ids);
    if (instance_id) {
        params.bigint(*instance_id);
    } else {
        params.null();
    }
    return params;
}

pg::Params failed_params(const std::vector<const Outcome*>& failed) {
    std::vector<std::int64_t> claim_ids;
    std::vector<std::int32_t> attempts;
    std::vector<std::optional<std::int32_t>> delays;
    std::vector<std::optional<std::int32_t>> statuses;
    std::vector<std::int32_t> durations;
    std::vector<std::string> errors;
    for (const Outcome* outcome : failed) {
        claim_ids.push_back(outcome->claim_id);
        attempts.push_back(outcome->attempts);
        delays.push_back(outcome->kind == OutcomeKind::kDead ? std::nullopt : std::optional(clamp_to_int(outcome->delay)));
        statuses.push_back(outcome->status);
        durations.push_back(clamp_to_int(outcome->duration));
        errors.push_back(core::clean_text(outcome->error, core::kMaxErrorBytes));
    }
    pg::Params params;
    params.bigint_array(ids_of(failed)).bigint_array(claim_ids).integer_array(generations_of(failed)).integer_array(attempts);
    params.integer_array(delays).integer_array(statuses).integer_array(durations).text_array(errors);
    params.bigint_array(claims_of(failed));
    return params;
}

// The place of a message after an outcome without an attempt: the parameter `place` of kRecordUncounted.
const char* place_of(OutcomeKind kind) {
    switch (kind) {
        case OutcomeKind::kDeferred: return "schedule";
        case OutcomeKind::kHeld: return "hold";
        case OutcomeKind::kGivenUp: return "dead";
        default: return "queue";
    }
}

pg::Params uncounted_params(const std::vector<const Outcome*>& uncounted) {
    std::vector<std::int64_t> claim_ids;
    std::vector<std::int32_t> attempts;
    std::vector<std::string> places;
    std::vector<std::int32_t> delays;
    std::vector<std::string> reasons;
    for (const Outcome* outcome : uncounted) {
        claim_ids.push_back(outcome->claim_id);
        attempts.push_back(outcome->attempts);
        places.emplace_back(place_of(outcome->kind));
        delays.push_back(clamp_to_int(outcome->delay));
        reasons.push_back(core::clean_text(outcome->error, core::kMaxErrorBytes));
    }
    pg::Params params;
    params.bigint_array(ids_of(uncounted)).bigint_array(claim_ids).integer_array(generations_of(uncounted));
    params.integer_array(attempts).text_array(places).integer_array(delays).text_array(reasons).bigint_array(
        claims_of(uncounted));
    return params;
}

std::vector<std::int64_t> read_ids(const pg::Rows& rows) {
    std::vector<std::int64_t> ids;
    ids.reserve(static_cast<std::size_t>(rows.size()));
    for (int row = 0; row < rows.size(); ++row) ids.push_back(rows.bigint(row, 0));
    return ids;
}

// The elements of `all` that are not in `found`. Both are sorted.
std::vector<core::ClaimId> missing_from(const std::vector<core::ClaimId>& found, const std::vector<core::ClaimId>& all) {
    std::vector<core::ClaimId> missing;
    std::set_difference(all.begin(), all.end(), found.begin(), found.end(), std::back_inserter(missing));
    return missing;
}

void read_sent(const pg::Rows& sent, engine::RecordResult& result) {
    for (int row = 0; row < sent.size(); ++row) {
        result.sent_batch = sent.bigint(row, 0);
        result.sent_at = sent.text(row, 1);
        result.sent.push_back(sent.bigint(row, 2));
    }
}

// Every batch locks rows in id order, so two batches cannot deadlock.
std::vector<const Outcome*> sorted_by_id(const std::vector<Outcome>& outcomes) {
    std::vector<const Outcome*> sorted;
    sorted.reserve(outcomes.size());
    for (const Outcome& outcome : outcomes) sorted.push_back(&outcome);
    std::sort(sorted.begin(), sorted.end(), [](const Outcome* a, const Outcome* b) { return a->id < b->id; });
    return sorted;
}

}  // namespace

void PgRecordStore::record(engine::RecordRequest request, core::Completion<engine::RecordResult> done) {
    std::vector<const Outcome*> sent;
    std::vector<const Outcome*> failed;
    std::vector<const Outcome*> uncounted;
    std::vector<const Outcome*> fenced;
    for (const Outcome* outcome : sorted_by_id(request.outcomes)) {
        const bool delivered = outcome->kind == OutcomeKind::kDelivered;
        const bool counted = outcome->kind == OutcomeKind::kRetry || outcome->kind == OutcomeKind::kDead;
        (delivered ? sent : counted ? failed : uncounted).push_back(outcome);
        if (!delivered) fenced.push_back(outcome);
    }
    pg::Steps steps;
    // Reads the rows of each step into the result, in the order of the steps.
    std::vector<std::function<void(const pg::Rows&, engine::RecordResult&)>> readers;
    const auto add = [&](const pg::Statement& statement, pg::Params params,
                         std::function<void(const pg::Rows&, engine::RecordResult&)> read) {
        steps.push_back({&statement, std::move(params)});
        readers.push_back(std::move(read));
    };
    const auto unread = [](const pg::Rows&, engine::RecordResult&) {};
    if (!fenced.empty()) {
        std::vector<core::ClaimId> claims = claims_of(fenced);
        pg::Params params;
        params.bigint_array(claims);
        add(kLockClaims, std::move(params), [claims = std::move(claims)](const pg::Rows& rows, engine::RecordResult& result) {
            result.missing = missing_from(read_ids(rows), claims);
        });
    }
    if (!sent.empty()) {
        add(kMarkSent, sent_params(sent, receipts_ ? std::optional(request.instance_id) : std::nullopt),
            [receipts = receipts_](const pg::Rows& rows, engine::RecordResult& result) {
                read_sent(rows, result);
                if (!receipts) result.sent_batch.reset();
            });
        add(kLeavePlaces, std::move(pg::Params().bigint_array(ids_of(sent))), unread);
    }
    if (!failed.empty()) {
        add(kMarkFailed, failed_params(failed), [](const pg::Rows& rows, engine::RecordResult& result) {
            result.failed = static_cast<std::size_t>(rows.bigint(0, 0));
        });
    }
    if (!uncounted.empty()) add(kRecordUncounted, uncounted_params(uncounted), unread);
    if (!request.finished.empty()) {
        add(kFinishClaims, std::move(pg::Params().bigint_array(request.finished)),
            [](const pg::Rows& rows, engine::RecordResult& result) {
                for (int row = 0; row < rows.size(); ++row) result.kept.push_back({rows.bigint(row, 0), rows.bigint(row, 1)});
            });
    }
    if (!request.confirmed_batches.empty()) {
        add(kConfirmReceipts, std::move(pg::Params().bigint_array(request.confirmed_batches)), unread);
    }
    if (!request.suspects.empty()) add(kNoteSuspects, std::move(pg::Params().bigint_array(request.suspects)), unread);
    pg::run_steps<engine::RecordResult>(session_, steps, std::move(done),
                                        [readers = std::move(readers)](const std::vector<pg::Rows>& rows) {
                                            engine::RecordResult result;
                                            for (std::size_t i = 0; i < readers.size(); ++i) readers[i](rows[i], result);
                                            return result;
                                        });
}

void PgRecordStore::find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) {
    pg::run_statement<std::vector<core::MessageId>>(session_, kFindUnlocked, std::move(pg::Params().bigint_array(ids)),
                                                    std::move(done), read_ids);
}

}  // namespace messaging::repository
