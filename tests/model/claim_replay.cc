// Steps to statements.
#include "model/claim_replay.h"

#include <algorithm>
#include <iterator>

#include "core/attempt.h"
#include "engine/claim_store.h"
#include "engine/instance_store.h"
#include "engine/record_store.h"

namespace messaging::model {
namespace {

using core::OutcomeKind;

constexpr std::chrono::hours kLater{2};
constexpr std::size_t kSpareSessions = 6;  // what a path needs, nearly always

// Whoever has changed claims passes here, which waits only while the overlap holds the gate.
constexpr const char* kGate = R"sql(
CREATE FUNCTION public.gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock_shared(1);
    RETURN NULL;
END $$)sql";

constexpr pg::Statement kUnlock{"unlock", "SELECT pg_advisory_unlock_all()"};

std::string ids_of_mask(unsigned mask) {
    std::string ids;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (((mask >> m) & 1U) != 0) ids += (ids.empty() ? "" : ",") + std::to_string(id_of(m));
    }
    return "'{" + ids + "}'::bigint[]";
}

Phase phase_of(OutcomeKind kind) {
    switch (kind) {
        case OutcomeKind::kDelivered: return Phase::kDelivered;
        case OutcomeKind::kRetry: return Phase::kRetry;
        case OutcomeKind::kDead: return Phase::kDead;
        case OutcomeKind::kDeferred: return Phase::kDeferred;
        case OutcomeKind::kHeld: return Phase::kHeld;
        default: return Phase::kReleased;
    }
}

core::Outcome unanswered(const core::Delivery& delivery) { return core::uncounted(delivery, OutcomeKind::kReleased); }

// A transaction that is held on purpose must not run into the timeout that the service's own have.
repository::SessionSettings patient(repository::SessionSettings settings) {
    return repository::with_settings(std::move(settings), {{"lock_timeout", "20s"}, {"statement_timeout", "20s"}});
}

}  // namespace

ClaimReplay::ClaimReplay(Mistakes mistakes)
    : mistakes_(mistakes),
      queue_(db_.open_session(repository::claim_session_settings()),
             db_.open_session(patient(repository::record_session_settings()))),
      second_queue_(db_.open_session(repository::claim_session_settings()),
                    db_.open_session(patient(repository::record_session_settings()))),
      observer_(db_.open_session(repository::record_session_settings())) {
    policy_.backoff.base = kLater;
    policy_.backoff.max_attempts = kMaxAttempts;
    policy_.local_fault_delay = kLater;
    prepare(queue_);
    prepare(second_queue_);
    db_.sql(kGate);
    db_.sql("CREATE TRIGGER gate AFTER UPDATE ON messaging._claim FOR EACH STATEMENT EXECUTE FUNCTION public.gate()");
}

void ClaimReplay::prepare(test::EngineStores& queue) {
    engine::RecordRequest request;
    for (const OutcomeKind kind : {OutcomeKind::kDelivered, OutcomeKind::kRetry, OutcomeKind::kReleased}) {
        request.outcomes.emplace_back().kind = kind;
    }
    request.finished = {0};
    request.suspects = {0};
    db_.value<engine::RecordResult>([&](auto done) { queue.record(request, std::move(done)); });
}

void ClaimReplay::begin(const Bounds& bounds) {
    for (RealEngine& engine : engines_) {
        if (engine.listen_session) spare(std::move(engine.listen_session));
        engine = {};
    }
    db_.sql(
        "WITH a AS (DELETE FROM public.messages), b AS (DELETE FROM messaging._queue), c AS (DELETE FROM messaging._schedule), "
        "d AS (DELETE FROM messaging._claim), e AS (DELETE FROM messaging._dead), f AS (DELETE FROM messaging._sent_batch), "
        "g AS (DELETE FROM messaging._receipt_backlog), h AS (DELETE FROM messaging._attempt), "
        "i AS (DELETE FROM messaging._hold), j AS (DELETE FROM messaging._suspect) DELETE FROM messaging._instance");
    db_.sql("UPDATE messaging._state SET state = 'running' WHERE state <> 'running'");
    expected_ = initial_state(bounds);
    set_endpoint(Endpoint::kActive);
    while (spare_.size() < kSpareSessions) spare_.push_back(new_session());
    durability_.clear();
    generations_ = {};
    places_ = make_canonical(expected_);
}

void ClaimReplay::make(const Step& step) {
    RealEngine& engine = engines_[step.engine];
    if (is_overlap(step)) {
        make_overlap(step);
    } else {
        make_alone(step, engine);
    }
    expected_ = after(expected_, step, mistakes_);
    const auto begin = expected_.claims.begin();
    if (std::all_of(begin, begin + expected_.claim_count, [](const Claim& claim) { return claim.durable; })) {
        for (auto& [id, durability] : durability_) durability.durable = true;
    }
}

void ClaimReplay::make_alone(const Step& step, RealEngine& engine) {
    const std::string id = std::to_string(id_of(step.which));
    switch (step.action) {
        case Action::kInsert:
            db_.sql("INSERT INTO public.messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (" + id +
                    ", '+90', 'x')");
            break;
        case Action::kStart: engine.instance = open_listen_session(engine); break;
        case Action::kClaim: claim(engine, step.which, Source::kQueue); break;
        case Action::kClaimDue: claim(engine, step.which, Source::kSchedule); break;
        case Action::kClaimHeld: claim(engine, step.which, Source::kHold); break;
        case Action::kArrive:
        case Action::kLoseClaim: arrive(engine, step.action == Action::kArrive); break;
        case Action::kAccept:
        case Action::kRefuse:
        case Action::kLocalFault:
        case Action::kHold:
        case Action::kAnswerGone: answer(engine.items[place_of(step.engine, step.which)], step.action); break;
        case Action::kRecord:
            record(engine, step.which == kAll ? outcomes_of(engine) : Items{place_of(step.engine, step.which)});
            break;
        case Action::kRecorded: recorded(engine); break;
        case Action::kLoseRecord: lose_record(engine); break;
        case Action::kLoseListenSession: close_listen_session(engine); break;
        case Action::kRegister: engine.next = open_listen_session(engine); break;
        case Action::kMove: move(engine); break;
        case Action::kMoved:
            engine.instance = std::exchange(engine.next, 0);
            engine.ledger.keep_only(engine.moved);
            break;
        case Action::kReclaim: reclaim(engine, step.which == kAll); break;
        case Action::kRescheduleOrphans: reschedule_orphans(engine); break;
        case Action::kRelease:
            for (RealItem& item : engine.items) {
                if (item.phase == Phase::kWaiting) item.phase = Phase::kReleased;
            }
            break;
        case Action::kShutDown:
            db_.value<core::Unit>([&](auto done) { engine.instances->unregister_instance(engine.instance, std::move(done)); });
            close_listen_session(engine);
            engine = {};
            break;
        case Action::kDie:
            close_listen_session(engine);
            std::erase_if(engine.items, [](const RealItem& item) { return item.phase <= Phase::kWaiting || item.recording; });
            break;
        case Action::kLateRecord:
            record(engine, outcomes_of(engine));
            engine = {};
            break;
        case Action::kLateClaim:
            claim(engine, step.which, Source::kQueue);
            engine = {};
            break;
        case Action::kVanish: engine = {}; break;
        case Action::kEndSession: end_session(engines_[step.which], engine); break;
        case Action::kDue: db_.sql("UPDATE messaging._schedule SET due_at = now() WHERE id = " + id); break;
        case Action::kStop: db_.sql("UPDATE messaging._state SET state = 'stopped'"); break;
        case Action::kResume: db_.sql("UPDATE messaging._state SET state = 'running'"); break;
        case Action::kCrash: crash(); break;
        case Action::kSendAgain: db_.sql("UPDATE public.messages SET is_sent = false WHERE id = " + id); break;
        case Action::kDelete: db_.sql("DELETE FROM public.messages WHERE id = " + id); break;
        case Action::kTruncate: db_.sql("TRUNCATE public.messages RESTART IDENTITY"); break;
        case Action::kSetEndpoint: set_endpoint(static_cast<Endpoint>(step.which)); break;
        case Action::kWriteFinding: write_finding(expected_.engines[step.engine].finding); break;
        case Action::kReleaseStrays: db_.sql("SELECT messaging._release_strays(100)"); break;
        case Action::kClaimBehindActive: claim_behind_active(engine, step.which); break;
        default: break;  // nothing that PostgreSQL could see
    }
}

std::unique_ptr<pg::Connection> ClaimReplay::new_session() {
    pg::ConnectionOptions options;
    options.url = db_.url();
    options.application_name = "replay";
    options.settings = patient(repository::listen_session_settings());
    auto session = std::make_unique<pg::Connection>(db_.loop(), db_.random(), options, pg::Connection::Events{});
    session->start();
    EXPECT_TRUE(test::run_until(db_.loop(), [&] { return session->up(); }));
    if (expected_.claim_count > 0) return session;
    repository::PgInstanceStore instances(*session);
    db_.value<engine::Reclaimed>([&](auto done) { instances.reclaim(0, {}, kReplayDelay, true, std::move(done)); });
    db_.value<std::vector<core::ClaimId>>([&](auto done) { instances.move_claims(0, {}, std::move(done)); });
    return session;
}

void ClaimReplay::spare(std::unique_ptr<pg::Connection> session) {
    db_.value<std::vector<pg::Rows>>([&](auto done) { session->execute({{&kUnlock, {}}}, std::move(done)); });
    spare_.push_back(std::move(session));
}

core::InstanceId ClaimReplay::open_listen_session(RealEngine& engine) {
    engine.listen_session = spare_.empty() ? new_session() : std::move(spare_.back());
    if (!spare_.empty()) spare_.pop_back();
    engine.instances = std::make_unique<repository::PgInstanceStore>(*engine.listen_session);
    return db_.value<core::InstanceId>([&](auto done) { engine.instances->register_instance("replay", "", std::move(done)); });
}

void ClaimReplay::close_listen_session(RealEngine& engine) {
    if (!engine.listen_session) return;
    engine.instances.reset();
    engine.listen_session.reset();
    await_free_lock(engine.next != 0 ? engine.next : engine.instance);
    engine.next = 0;
}

void ClaimReplay::await_free_lock(core::InstanceId instance) {
    const std::string locks =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 772 AND database = (SELECT oid FROM pg_database "
        "WHERE datname = current_database()) AND objid = " +
        std::to_string(instance);
    EXPECT_TRUE(test::wait_until([&] { return db_.number(locks) == 0; }));
}

// Of what is ready, due or held, only the messages meant: the others are locked, as another engine's claim would.
void ClaimReplay::claim(RealEngine& engine, unsigned mask, Source source) {
    const auto others = std::any_of(expected_.messages.begin(), expected_.messages.end(), [&](const Message& message) {
        const auto m = static_cast<std::size_t>(&message - expected_.messages.data());
        return ((mask >> m) & 1U) == 0 && (message.queued || message.held || message.schedule != Schedule::kNone);
    });
    if (others) {
        db_.sql("BEGIN");
        static constexpr std::array<const char*, 3> kTables{"_queue", "_schedule", "_hold"};
        db_.sql(std::string("SELECT id FROM messaging.") + kTables[static_cast<std::size_t>(source)] + " WHERE id <> ALL (" +
                ids_of_mask(mask) + ") FOR UPDATE");
    }
    engine::ClaimRequest request;
    request.instance_id = engine.instance;
    request.claim_id = next_claim_++;
    request.limit = 100;
    request.other_capacity = 100;
    durability_[request.claim_id] = {expected_.crashes ? source : Source::kQueue, !expected_.crashes};
    auto batch = db_.value<engine::ClaimBatch>([&](auto done) {
        switch (source) {
            case Source::kQueue: queue_.claim_ready(request, std::move(done)); break;
            case Source::kSchedule: queue_.claim_due(request, std::move(done)); break;
            case Source::kHold: queue_.claim_held(request, std::move(done)); break;
        }
    });
    if (others) db_.sql("COMMIT");
    for (const core::Delivery& delivery : batch.deliveries) engine.items.push_back({unanswered(delivery), Phase::kArriving});
}

void ClaimReplay::arrive(RealEngine& engine, bool here) {
    for (RealItem& item : engine.items) {
        if (!here || item.phase != Phase::kArriving) continue;
        item.phase = Phase::kWaiting;
        engine.ledger.add(item.outcome.claim_id, 1);
    }
    std::erase_if(engine.items, [](const RealItem& item) { return item.phase == Phase::kArriving; });
}

void ClaimReplay::answer(RealItem& item, Action action) {
    if (action == Action::kHold) {
        item.outcome.kind = OutcomeKind::kHeld;
        item.phase = Phase::kHeld;
        return;
    }
    core::Delivery delivery;
    delivery.id = item.outcome.id;
    delivery.claim_id = item.outcome.claim_id;
    delivery.attempts = item.outcome.attempts;
    delivery.generation = item.outcome.generation;
    core::AttemptResult result;
    result.fault = action == Action::kLocalFault ? core::AttemptFault::kLocal : core::AttemptFault::kNone;
    result.status = action == Action::kAccept ? 200 : action == Action::kAnswerGone ? 410 : 503;
    result.detail = "a fault of ours";
    item.outcome = core::classify_attempt(policy_, delivery, result, {}, db_.random());
    item.phase = phase_of(item.outcome.kind);
}

engine::RecordRequest ClaimReplay::request_for(RealEngine& engine, const Items& chosen) {
    engine::RecordRequest request;
    request.instance_id = engine.instance;
    for (const std::size_t i : chosen) {
        engine.items[i].recording = true;
        request.outcomes.push_back(engine.items[i].outcome);
    }
    request.finished = engine.ledger.finished_by(request.outcomes);
    return request;
}

void ClaimReplay::record(RealEngine& engine, const Items& chosen) {
    const engine::RecordRequest request = request_for(engine, chosen);
    db_.value<engine::RecordResult>([&](auto done) { queue_.record(request, std::move(done)); });
}

void ClaimReplay::recorded(RealEngine& engine) {
    std::vector<core::Outcome> outcomes;
    for (const RealItem& item : engine.items) {
        if (item.recording) outcomes.push_back(item.outcome);
    }
    engine.ledger.recorded(outcomes);
    std::erase_if(engine.items, [](const RealItem& item) { return item.recording; });
}

void ClaimReplay::lose_record(RealEngine& engine) {
    for (RealItem& item : engine.items) item.recording = false;
}

void ClaimReplay::move(RealEngine& engine) {
    on_moved(engine, db_.value<std::vector<core::ClaimId>>([&](auto done) {
        engine.instances->move_claims(engine.next, engine.ledger.claims(), std::move(done));
    }));
}

// The engine drops what waits for other claims with the answer, and starts nothing before it.
void ClaimReplay::on_moved(RealEngine& engine, std::vector<core::ClaimId> moved) {
    engine.moved = std::move(moved);
    std::erase_if(engine.items, [&](const RealItem& item) {
        const bool was_moved = std::find(engine.moved.begin(), engine.moved.end(), item.outcome.claim_id) != engine.moved.end();
        return item.phase == Phase::kWaiting && !was_moved;
    });
}

std::vector<core::InstanceId> ClaimReplay::failed_instances(RealEngine& engine) {
    std::vector<core::InstanceId> failed;
    for (const engine::LivenessSample& sign : db_.value<std::vector<engine::LivenessSample>>(
             [&](auto done) { engine.instances->check_instances(engine.instance, engine::kMuteAfter, std::move(done)); })) {
        if (sign.lock_free) failed.push_back(sign.id);
    }
    return failed;
}

void ClaimReplay::reclaim(RealEngine& engine, bool failed_too) {
    const std::vector<core::InstanceId> failed = failed_too ? failed_instances(engine) : std::vector<core::InstanceId>{};
    db_.value<engine::Reclaimed>(
        [&](auto done) { engine.instances->reclaim(engine.instance, failed, kReplayDelay, true, std::move(done)); });
    lift_abandoned();
}

// The model's limit is 2 abandonments, so the second one is the service's last.
void ClaimReplay::lift_abandoned() {
    db_.as_engine("UPDATE public.messages SET abandoned = " + std::to_string(engine::kMaxAbandonments - kMaxAbandoned + 1) +
                  " WHERE abandoned = 1");
}

void ClaimReplay::reschedule_orphans(RealEngine& engine) {
    std::vector<core::MessageId> in_memory;
    for (const RealItem& item : engine.items) in_memory.push_back(item.outcome.id);
    db_.value<engine::OrphanCount>(
        [&](auto done) { queue_.reschedule_orphans(engine.instance, engine.ledger.claims(), in_memory, std::move(done)); });
}

void ClaimReplay::end_session(RealEngine& doer, RealEngine& frozen) {
    const core::InstanceId instance = frozen.next != 0 ? frozen.next : frozen.instance;
    const auto ended = db_.value<std::size_t>([&](auto done) { doer.instances->end_sessions({instance}, std::move(done)); });
    EXPECT_EQ(ended, 1U);
    close_listen_session(frozen);
}

// As if what is not durable had never been committed.
void ClaimReplay::crash() {
    for (const auto& [claim, durability] : durability_) {
        if (durability.durable) continue;
        const std::string from = " FROM messaging._claim WHERE claim_id = " + std::to_string(claim);
        switch (durability.from) {
            case Source::kQueue: db_.sql("INSERT INTO messaging._queue (id) SELECT unnest(ids)" + from); break;
            case Source::kSchedule:
                db_.sql("INSERT INTO messaging._schedule (id, due_at) SELECT unnest(ids), now()" + from);
                break;
            case Source::kHold: db_.sql("INSERT INTO messaging._hold (id, endpoint_id) SELECT unnest(ids), 1" + from); break;
        }
        db_.sql("DELETE" + from);
    }
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (expected_.engines[e].life == Life::kDying) {
            engines_[e] = {};
        } else {
            arrive(engines_[e], false);
            lose_record(engines_[e]);
            close_listen_session(engines_[e]);
        }
    }
}

void ClaimReplay::set_endpoint(Endpoint endpoint) {
    if (endpoint == Endpoint::kMissing) {
        db_.sql("DELETE FROM messaging._endpoint_state WHERE endpoint_id = 1");
        return;
    }
    static constexpr std::array<const char*, 4> kStates{"active", "backlogged", "failing", "disabled"};
    db_.sql("INSERT INTO messaging._endpoint_state (endpoint_id, state) VALUES (1, '" +
            std::string(kStates[static_cast<std::size_t>(endpoint)]) +
            "') ON CONFLICT (endpoint_id) DO UPDATE SET state = excluded.state");
}

void ClaimReplay::write_finding(Finding finding) {
    static constexpr std::array<engine::Finding, 4> kFindings{engine::Finding::kFailing, engine::Finding::kFailing,
                                                              engine::Finding::kRecovered, engine::Finding::kGone};
    const std::int64_t version =
        db_.number("SELECT coalesce(max(version), 0) FROM messaging._endpoint_state WHERE endpoint_id = 1");
    const engine::EndpointFinding one{1, kFindings[static_cast<std::size_t>(finding)], "HTTP 503", version};
    db_.value<core::Unit>([&](auto done) { states_.write_findings({one}, true, std::move(done)); });
}

ClaimReplay::Items ClaimReplay::outcomes_of(const RealEngine& engine) const {
    Items chosen;
    for (std::size_t i = 0; i < engine.items.size(); ++i) {
        if (engine.items[i].phase > Phase::kWaiting) chosen.push_back(i);
    }
    return chosen;
}

std::size_t ClaimReplay::place_of(std::size_t engine, std::size_t item) const { return places_.items[engine][item]; }

}  // namespace messaging::model
