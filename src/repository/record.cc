// The record statements of PgQueueStore: one transaction for everything that is known at the time.
#include <algorithm>

#include "core/text.h"
#include "repository/queue_store.h"
#include "repository/unit.h"

namespace messaging::repository {
namespace {

using core::Outcome;
using core::OutcomeKind;

constexpr std::size_t kMaxErrorBytes = 500;

// Fencing: only claims that are still this instance's may fail or be put off. Held against a rescue until the commit.
constexpr pg::Statement kLockClaims{"lock_claims", R"sql(
SELECT claim_id FROM message_claim WHERE claim_id = ANY ($1::bigint[]) AND instance_id = $2::bigint
ORDER BY claim_id FOR SHARE)sql"};

// A message whose attempts were counted by others after this one had begun waits or is dead somewhere: sent all the same, it
// leaves there. The first attempt at all finds nothing to look for.
constexpr pg::Statement kMarkSent{"mark_sent", R"sql(
WITH marked AS (
    UPDATE messages m SET is_sent = true, sent_at = now(), attempts = m.attempts + 1, receiver_message_id = u.receiver_id
    FROM unnest($1::bigint[], $2::text[]) AS u(id, receiver_id)
    WHERE m.id = u.id AND NOT m.is_sent RETURNING m.id, m.attempts),
dead AS (
    DELETE FROM message_dead WHERE id = ANY (ARRAY(SELECT id FROM marked WHERE attempts > 1))),
waiting AS (
    DELETE FROM message_schedule WHERE id = ANY (ARRAY(SELECT id FROM marked WHERE attempts > 1))),
batch AS (
    INSERT INTO message_sent_batch (sent_at, size, ids)
    SELECT now(), count(*), array_agg(id ORDER BY id) FROM marked HAVING count(*) > 0
    RETURNING batch_id, sent_at, ids),
backlog AS (
    INSERT INTO receipt_backlog (batch_id, instance_id) SELECT batch_id, $3::bigint FROM batch)
SELECT batch_id, to_char(sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), id
FROM batch CROSS JOIN LATERAL unnest(ids) AS id)sql"};

// attempts < : a repeat of this statement after a lost answer finds its own work, or a later attempt's, and does nothing. IS TRUE
// keeps the sub-select from becoming the outer side of a join: rows are locked in the order of their ids.
constexpr pg::Statement kMarkFailed{"mark_failed", R"sql(
WITH mine AS MATERIALIZED (
    SELECT claim_id FROM message_claim WHERE claim_id = ANY ($8::bigint[]) AND instance_id = $9::bigint),
failed AS (
    UPDATE messages m SET attempts = u.attempts, last_error = u.error
    FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::text[])
         AS u(id, claim_id, attempts, delay_ms, status, duration_ms, error)
    WHERE m.id = u.id AND NOT m.is_sent AND m.attempts < u.attempts AND (u.claim_id IN (SELECT claim_id FROM mine)) IS TRUE
    RETURNING m.id, u.attempts, u.delay_ms, u.status, u.duration_ms, u.error),
attempted AS (
    INSERT INTO delivery_attempt (message_id, attempt, status, duration_ms, error)
    SELECT id, attempts, status, duration_ms, error FROM failed),
scheduled AS (
    INSERT INTO message_schedule (id, due_at)
    SELECT id, now() + delay_ms * interval '1 millisecond' FROM failed WHERE delay_ms IS NOT NULL
    ON CONFLICT (id) DO NOTHING)
INSERT INTO message_dead (id, reason) SELECT id, error FROM failed WHERE delay_ms IS NULL ON CONFLICT (id) DO NOTHING)sql"};

// Put off or given back without an attempt: out of the ledger's arrays too, because messages.attempts does not tell. Only what
// the ledger still has is given: a repeat after a lost answer must not queue a message twice. IS TRUE keeps the sub-selects
// from becoming joins, which would compare every pair while hash joins are off; as they are, they are hashed.
constexpr pg::Statement kPutBack{"put_back", R"sql(
WITH mine AS MATERIALIZED (
    SELECT claim_id, ids FROM message_claim WHERE claim_id = ANY ($4::bigint[]) AND instance_id = $5::bigint),
given AS MATERIALIZED (
    SELECT u.id, u.claim_id, u.delay_ms FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS u(id, claim_id, delay_ms)
    WHERE ((u.claim_id, u.id) IN (SELECT claim_id, unnest(ids) FROM mine)) IS TRUE),
queued AS (
    INSERT INTO message_queue (id) SELECT id FROM given WHERE delay_ms IS NULL),
scheduled AS (
    INSERT INTO message_schedule (id, due_at)
    SELECT id, now() + delay_ms * interval '1 millisecond' FROM given WHERE delay_ms IS NOT NULL
    ON CONFLICT (id) DO NOTHING)
UPDATE message_claim c SET (ids, attempts) = (
    SELECT coalesce(array_agg(u.id ORDER BY u.id), '{}'), coalesce(array_agg(u.attempts ORDER BY u.id), '{}')
    FROM unnest(c.ids, c.attempts) AS u(id, attempts)
    WHERE ((c.claim_id, u.id) IN (SELECT claim_id, id FROM given)) IS NOT TRUE)
WHERE claim_id IN (SELECT claim_id FROM mine))sql"};

constexpr pg::Statement kFinishClaims{
    "finish_claims", "DELETE FROM message_claim WHERE claim_id = ANY ($1::bigint[]) AND instance_id = $2::bigint"};

constexpr pg::Statement kConfirmReceipts{"confirm_receipts", "DELETE FROM receipt_backlog WHERE batch_id = ANY ($1::bigint[])"};

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

pg::Params sent_params(const std::vector<const Outcome*>& sent, core::InstanceId instance_id) {
    std::vector<std::optional<std::string>> receiver_ids;
    receiver_ids.reserve(sent.size());
    for (const Outcome* outcome : sent) receiver_ids.push_back(outcome->receiver_message_id);
    pg::Params params;
    params.bigint_array(ids_of(sent)).text_array(receiver_ids).bigint(instance_id);
    return params;
}

pg::Params failed_params(const std::vector<const Outcome*>& failed, core::InstanceId instance_id) {
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
        errors.push_back(core::clean_text(outcome->error, kMaxErrorBytes));
    }
    pg::Params params;
    params.bigint_array(ids_of(failed)).bigint_array(claim_ids).integer_array(attempts).integer_array(delays);
    params.integer_array(statuses).integer_array(durations).text_array(errors);
    params.bigint_array(claims_of(failed)).bigint(instance_id);
    return params;
}

pg::Params put_back_params(const std::vector<const Outcome*>& given, core::InstanceId instance_id) {
    std::vector<std::int64_t> claim_ids;
    std::vector<std::optional<std::int32_t>> delays;
    for (const Outcome* outcome : given) {
        claim_ids.push_back(outcome->claim_id);
        delays.push_back(outcome->kind == OutcomeKind::kReturned ? std::nullopt : std::optional(clamp_to_int(outcome->delay)));
    }
    pg::Params params;
    params.bigint_array(ids_of(given)).bigint_array(claim_ids).integer_array(delays);
    params.bigint_array(claims_of(given)).bigint(instance_id);
    return params;
}

service::RecordResult read_record(const pg::Rows& sent) {
    service::RecordResult result;
    for (int row = 0; row < sent.size(); ++row) {
        result.sent_batch = sent.bigint(row, 0);
        result.sent_at = sent.text(row, 1);
        result.sent.push_back(sent.bigint(row, 2));
    }
    return result;
}

// Deadlocks between batches need two orders: there is one, by id.
std::vector<const Outcome*> sorted_by_id(const std::vector<Outcome>& outcomes) {
    std::vector<const Outcome*> sorted;
    sorted.reserve(outcomes.size());
    for (const Outcome& outcome : outcomes) sorted.push_back(&outcome);
    std::sort(sorted.begin(), sorted.end(), [](const Outcome* a, const Outcome* b) { return a->id < b->id; });
    return sorted;
}

}  // namespace

void PgQueueStore::record(service::RecordRequest request, service::Completion<service::RecordResult> done) {
    std::vector<const Outcome*> sent;
    std::vector<const Outcome*> failed;
    std::vector<const Outcome*> given;
    std::vector<const Outcome*> fenced;
    for (const Outcome* outcome : sorted_by_id(request.outcomes)) {
        const bool delivered = outcome->kind == OutcomeKind::kDelivered;
        const bool counted = outcome->kind == OutcomeKind::kRetry || outcome->kind == OutcomeKind::kDead;
        (delivered ? sent : counted ? failed : given).push_back(outcome);
        if (!delivered) fenced.push_back(outcome);
    }
    pg::Steps steps;
    const core::InstanceId me = request.instance_id;
    if (!fenced.empty()) {
        pg::Params params;
        params.bigint_array(claims_of(fenced)).bigint(me);
        steps.push_back({&kLockClaims, std::move(params)});
    }
    const std::size_t sent_step = steps.size();
    if (!sent.empty()) steps.push_back({&kMarkSent, sent_params(sent, me)});
    if (!failed.empty()) steps.push_back({&kMarkFailed, failed_params(failed, me)});
    if (!given.empty()) steps.push_back({&kPutBack, put_back_params(given, me)});
    if (!request.finished.empty()) {
        steps.push_back({&kFinishClaims, std::move(pg::Params().bigint_array(request.finished).bigint(me))});
    }
    if (!request.confirmed_batches.empty()) {
        steps.push_back({&kConfirmReceipts, std::move(pg::Params().bigint_array(request.confirmed_batches))});
    }
    run_unit<service::RecordResult>(record_, steps, std::move(done),
                                    [sent_step, has_sent = !sent.empty()](const std::vector<pg::Rows>& rows) {
                                        return has_sent ? read_record(rows[sent_step]) : service::RecordResult{};
                                    });
}

}  // namespace messaging::repository
