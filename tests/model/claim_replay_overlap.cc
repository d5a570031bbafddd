// Two real transactions that overlap. A third one holds something that the first needs late, until the second waits for the
// first.
#include <optional>

#include "engine/instance_store.h"
#include "engine/record_store.h"
#include "model/claim_replay.h"

namespace messaging::model {
namespace {

// What a record needs after it has locked the claims.
constexpr const char* kAfterTheFence =
    "LOCK TABLE public.messages, messaging._queue, messaging._schedule, messaging._dead IN SHARE MODE";
// What a move needs after it has moved the claims: the gate of ClaimReplay's constructor.
constexpr const char* kAfterTheMove = "SELECT pg_advisory_xact_lock(1)";
// What a record with a suspect needs after everything else.
constexpr const char* kAfterTheRecord = "LOCK TABLE messaging._suspect IN SHARE MODE";

// Whoever schedules or dead-letters the message waits here, with its row locked.
std::string after_the_row(core::MessageId id) {
    const std::string number = std::to_string(id);
    return "WITH a AS (INSERT INTO messaging._schedule (id, due_at) VALUES (" + number +
           ", now())) INSERT INTO messaging._dead (id, reason) VALUES (" + number + ", 'held')";
}

}  // namespace

template <typename T>
ClaimReplay::Pending<T> ClaimReplay::begin_call(const std::function<void(std::function<void(core::Result<T>)>)>& start) {
    auto pending = std::make_shared<std::optional<core::Result<T>>>();
    start([pending](core::Result<T> answered) { pending->emplace(std::move(answered)); });
    return pending;
}

template <typename T>
T ClaimReplay::finish_call(const Pending<T>& pending) {
    EXPECT_TRUE(test::run_until(db_.loop(), [&] { return pending->has_value(); }));
    if (pending->has_value() && (*pending)->ok()) return std::move((*pending)->value());
    ADD_FAILURE() << (pending->has_value() ? (*pending)->error().message : "no answer");
    return T{};
}

void ClaimReplay::hold(const std::string& sql) {
    hold_ = std::make_unique<pg::Session>(test::connect_or_abort(db_.url()));
    EXPECT_TRUE(hold_->execute("BEGIN").ok());
    EXPECT_TRUE(hold_->execute(sql.c_str()).ok()) << sql;
}

void ClaimReplay::await_waiting(int sessions) {
    EXPECT_TRUE(test::run_until(db_.loop(),
                                [&] {
                                    return db_.number(
                                               "SELECT count(*) FROM pg_stat_activity "
                                               "WHERE datname = current_database() AND wait_event_type = 'Lock'") == sessions;
                                }))
        << sessions << " sessions should wait";
}

// The claim waits where it puts what it has found into the hold, and the endpoint becomes active meanwhile.
void ClaimReplay::claim_behind_active(RealEngine& engine, unsigned mask) {
    std::size_t first = 0;
    while (((mask >> first) & 1U) == 0) ++first;
    hold("INSERT INTO messaging._hold (id, endpoint_id) VALUES (" + std::to_string(id_of(first)) + ", 1)");
    engine::ClaimRequest request;
    request.instance_id = engine.instance;
    request.claim_id = next_claim_++;
    request.limit = 100;
    const auto claim = begin_call<engine::ClaimBatch>([&](auto done) { queue_.claim_ready(request, std::move(done)); });
    await_waiting(1);
    db_.sql("UPDATE messaging._endpoint_state SET state = 'active' WHERE endpoint_id = 1");
    let_go();
    EXPECT_TRUE(finish_call(claim).deliveries.empty()) << mask;
}

void ClaimReplay::make_overlap(const Step& step) {
    RealEngine& first = engines_[step.engine];
    RealEngine& second = engines_[step.which];
    const auto start_record = [&](test::EngineStores& store, RealEngine& engine, const Items& chosen, bool suspect) {
        engine::RecordRequest request = request_for(engine, chosen);
        if (suspect) request.suspects.push_back(request.outcomes.front().id);
        return begin_call<engine::RecordResult>([&](auto done) { store.record(std::move(request), std::move(done)); });
    };
    const auto start_reclaim = [&](const std::vector<core::InstanceId>& failed) {
        return begin_call<engine::Reclaimed>(
            [&](auto done) { first.instances->reclaim(first.instance, failed, kReplayDelay, true, std::move(done)); });
    };
    const bool reclaims = step.action != Action::kSentBehindFailure;
    const std::vector<core::InstanceId> failed = reclaims ? failed_instances(first) : std::vector<core::InstanceId>{};
    const bool about_item = step.action > Action::kReclaimBehindMove;
    const Items item = about_item ? Items{place_of(step.which, step.other)} : Items{};
    const core::MessageId id = about_item ? second.items[item.front()].outcome.id : 0;
    switch (step.action) {
        case Action::kReclaimBehindRecord: {
            hold(kAfterTheFence);
            const auto record = start_record(queue_, second, outcomes_of(second), false);
            await_waiting(1);
            const auto reclaim = start_reclaim(failed);
            await_waiting(2);
            let_go();
            finish_call(record);
            finish_call(reclaim);
            if (expected_.engines[step.which].life == Life::kDying) second = {};
            break;
        }
        case Action::kReclaimBehindMove: {
            hold(kAfterTheMove);
            const auto move = begin_call<std::vector<core::ClaimId>>(
                [&](auto done) { second.instances->move_claims(second.next, second.ledger.claims(), std::move(done)); });
            await_waiting(1);
            const auto reclaim = start_reclaim(failed);
            await_waiting(2);
            let_go();
            on_moved(second, finish_call(move));
            finish_call(reclaim);
            break;
        }
        case Action::kReclaimBehindSent: {
            hold(kAfterTheRecord);
            const auto record = start_record(queue_, second, item, true);
            await_waiting(1);
            finish_call(start_reclaim(failed));
            let_go();
            finish_call(record);
            break;
        }
        case Action::kSentBehindReclaim: {
            hold(after_the_row(id));
            const auto reclaim = start_reclaim(failed);
            await_waiting(1);
            const auto record = start_record(queue_, second, item, false);
            await_waiting(2);
            let_go();
            finish_call(reclaim);
            finish_call(record);
            break;
        }
        default: {
            hold(after_the_row(id));
            const auto failure = start_record(second_queue_, first, outcomes_of(first), false);
            await_waiting(1);
            const auto record = start_record(queue_, second, item, false);
            await_waiting(2);
            let_go();
            finish_call(failure);
            finish_call(record);
            break;
        }
    }
    lift_abandoned();
}

}  // namespace messaging::model
