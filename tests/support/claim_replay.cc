// Steps to statements, and rows to a state.
#include "support/claim_replay.h"

#include <algorithm>
#include <iterator>

#include "core/attempt.h"

namespace messaging::model {
namespace {

using core::OutcomeKind;

constexpr std::chrono::hours kLater{2};

constexpr pg::Statement kReadAll{"read_all", R"sql(
SELECT 0::bigint, (state = 'running')::int::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint FROM messaging._state
UNION ALL SELECT 1, 0, instance_id, 0, 0, 0, 0 FROM messaging._instance
UNION ALL SELECT 2, attempts, id, is_sent::int, (SELECT count(*) FROM messaging._queue q WHERE q.id = m.id),
    coalesce((SELECT CASE WHEN due_at <= now() THEN 2 ELSE 1 END FROM messaging._schedule s WHERE s.id = m.id), 0),
    (SELECT count(*) FROM messaging._dead d WHERE d.id = m.id) FROM messages m
UNION ALL SELECT 3, adopted::int, claim_id, coalesce(u.attempts, 0), instance_id, coalesce(u.id, 0), 0
    FROM messaging._claim c LEFT JOIN LATERAL unnest(c.ids, c.attempts) AS u(id, attempts) ON true
UNION ALL SELECT 4, 0, objid::bigint, 0, 0, 0, 0 FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 772 AND mode = 'ExclusiveLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))sql"};

constexpr pg::Statement kUnlock{"unlock", "SELECT pg_advisory_unlock_all()"};

core::MessageId id_of(std::size_t message) { return static_cast<core::MessageId>(message) + 1; }

std::string ids_of_mask(unsigned mask) {
    std::string ids;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (((mask >> m) & 1U) != 0) ids += (ids.empty() ? "" : ",") + std::to_string(id_of(m));
    }
    return "'{" + ids + "}'::bigint[]";
}

Phase phase_of(const core::Outcome& outcome) {
    switch (outcome.kind) {
        case OutcomeKind::kDelivered: return Phase::kDelivered;
        case OutcomeKind::kRetry: return outcome.delay.count() == 0 ? Phase::kRetryNow : Phase::kRetry;
        case OutcomeKind::kDead: return Phase::kDead;
        case OutcomeKind::kDeferred: return Phase::kDeferred;
        case OutcomeKind::kReturned: return Phase::kReturned;
    }
    return Phase::kWaiting;
}

// ClaimLedger says how many are open only by when it takes a claim for finished.
std::uint8_t open_in(const service::ClaimLedger& ledger, core::ClaimId claim) {
    std::vector<core::Outcome> outcomes;
    if (!ledger.holds(claim)) return 0;
    do {
        outcomes.emplace_back().claim_id = claim;
    } while (ledger.finished_by(outcomes).empty());
    return static_cast<std::uint8_t>(outcomes.size());
}

core::Outcome waiting(const core::Delivery& delivery) {
    core::Outcome outcome;
    outcome.id = delivery.id;
    outcome.claim_id = delivery.claim_id;
    outcome.attempts = delivery.attempts;
    return outcome;
}

}  // namespace

ClaimReplay::ClaimReplay()
    : queue_(db_.open_session(repository::claim_session_settings()), db_.open_session(repository::record_session_settings())),
      observer_(db_.open_session(repository::record_session_settings())) {
    policy_.backoff.base = kLater;
    policy_.backoff.max_attempts = kMaxAttempts;
    policy_.local_fault_delay = kLater;
}

void ClaimReplay::begin() {
    for (RealEngine& engine : engines_) {
        if (engine.bell) spare(std::move(engine.bell));
        engine = {};
    }
    db_.sql(
        "WITH a AS (DELETE FROM messages), b AS (DELETE FROM messaging._queue), c AS (DELETE FROM messaging._schedule), d AS (DELETE "
        "FROM "
        "messaging._claim), e AS (DELETE FROM messaging._dead), f AS (DELETE FROM messaging._sent_batch), g AS (DELETE FROM "
        "messaging._receipt_backlog), "
        "h AS (DELETE FROM messaging._attempt) DELETE FROM messaging._instance");
    db_.sql("UPDATE messaging._state SET state = 'running' WHERE state <> 'running'");
    expected_ = {};
    places_ = make_canonical(expected_);
}

void ClaimReplay::make(const Step& step) {
    RealEngine& engine = engines_[step.engine];
    switch (step.action) {
        case Action::kInsert:
            db_.sql("INSERT INTO messages (id, recipient, content) OVERRIDING SYSTEM VALUE VALUES (" +
                    std::to_string(id_of(step.which)) + ", '+90', 'x')");
            break;
        case Action::kStart: engine.instance = open_bell(engine); break;
        case Action::kClaim:
        case Action::kClaimDue:
            for (const core::Delivery& delivery : claim(engine, step.which, step.action == Action::kClaimDue)) {
                if (step.lost) break;
                engine.ledger.add(delivery.claim_id, 1);
                engine.items.push_back({waiting(delivery), true});
            }
            break;
        case Action::kAccept:
        case Action::kRefuse:
        case Action::kLocalFault: answer(engine.items[place_of(step)], step.action); break;
        case Action::kRecord:
            record(engine, step.which == kAll ? outcomes_of(engine) : std::vector{place_of(step)}, !step.lost);
            break;
        case Action::kLoseBell: close_bell(engine); break;
        case Action::kRegister: engine.next = open_bell(engine); break;
        case Action::kMove: move(engine, !step.lost); break;
        case Action::kAdopt: adopt(engine, step.which == kAll, !step.lost); break;
        case Action::kReturnOrphans:
            db_.value<std::size_t>(
                [&](auto done) { queue_.return_orphans(engine.instance, engine.ledger.claims(), std::move(done)); });
            break;
        case Action::kGiveBack:
            for (RealItem& item : engine.items) {
                if (item.waiting) item.outcome.kind = OutcomeKind::kReturned;
                item.waiting = false;
            }
            break;
        case Action::kShutDown:
            db_.value<core::Nothing>([&](auto done) { engine.presence->unregister_instance(engine.instance, std::move(done)); });
            close_bell(engine);
            engine = {};
            break;
        case Action::kDie:
            close_bell(engine);
            std::erase_if(engine.items, [](const RealItem& item) { return item.waiting; });
            break;
        case Action::kLateRecord:
            record(engine, outcomes_of(engine), false);
            engine = {};
            break;
        case Action::kLateClaim:
            claim(engine, step.which, false);
            engine = {};
            break;
        case Action::kVanish: engine = {}; break;
        case Action::kEndSession: end_session(engines_[step.which], engine); break;
        case Action::kDue:
            db_.sql("UPDATE messaging._schedule SET due_at = now() WHERE id = " + std::to_string(id_of(step.which)));
            break;
        case Action::kStop: db_.sql("UPDATE messaging._state SET state = 'stopped'"); break;
        case Action::kResume: db_.sql("UPDATE messaging._state SET state = 'running'"); break;
        case Action::kNotice:
        case Action::kFreeze:
        case Action::kThaw: break;  // nothing that PostgreSQL could see
    }
    expected_ = after(expected_, step);
}

std::unique_ptr<pg::Connection> ClaimReplay::new_session() {
    pg::ConnectionOptions options;
    options.url = db_.url();
    options.application_name = "replay";
    options.settings = repository::bell_session_settings();
    auto session = std::make_unique<pg::Connection>(db_.loop(), db_.random(), options, pg::Connection::Events{});
    session->start();
    EXPECT_TRUE(test::run_until(db_.loop(), [&] { return session->up(); }));
    return session;
}

void ClaimReplay::spare(std::unique_ptr<pg::Connection> session) {
    db_.value<std::vector<pg::Rows>>([&](auto done) { session->execute({{&kUnlock, {}}}, std::move(done)); });
    spare_.push_back(std::move(session));
}

core::InstanceId ClaimReplay::open_bell(RealEngine& engine) {
    engine.bell = spare_.empty() ? new_session() : std::move(spare_.back());
    if (!spare_.empty()) spare_.pop_back();
    engine.presence = std::make_unique<repository::PgPresenceStore>(*engine.bell);
    return db_.value<core::InstanceId>([&](auto done) { engine.presence->register_instance("replay", std::move(done)); });
}

void ClaimReplay::close_bell(RealEngine& engine) {
    if (!engine.bell) return;
    engine.presence.reset();
    engine.bell.reset();
    await_free_lock(engine.next != 0 ? engine.next : engine.instance);
    engine.next = 0;
}

void ClaimReplay::await_free_lock(core::InstanceId instance) {
    const std::string held =
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 772 AND database = (SELECT oid FROM pg_database "
        "WHERE datname = current_database()) AND objid = " +
        std::to_string(instance);
    EXPECT_TRUE(test::wait_until([&] { return db_.number(held) == 0; }));
}

// Of what is ready or due, only the messages meant: the others are held, as another engine's claim would.
std::vector<core::Delivery> ClaimReplay::claim(const RealEngine& engine, unsigned mask, bool due) {
    const auto others = std::any_of(expected_.messages.begin(), expected_.messages.end(), [&](const Message& message) {
        const auto m = static_cast<std::size_t>(&message - expected_.messages.data());
        return ((mask >> m) & 1U) == 0 && (message.queued > 0 || message.schedule != Schedule::kNone);
    });
    if (others) {
        db_.sql("BEGIN");
        db_.sql(std::string("SELECT id FROM ") + (due ? "messaging._schedule" : "messaging._queue") + " WHERE id <> ALL (" +
                ids_of_mask(mask) + ") FOR UPDATE");
    }
    const service::ClaimRequest request{engine.instance, {}, 100};
    auto batch = db_.value<service::ClaimBatch>([&](auto done) {
        if (due) {
            queue_.claim_due(request, std::move(done));
        } else {
            queue_.claim_ready(request, std::move(done));
        }
    });
    if (others) db_.sql("COMMIT");
    return std::move(batch.deliveries);
}

void ClaimReplay::answer(RealItem& item, Action action) {
    core::Delivery delivery;
    delivery.id = item.outcome.id;
    delivery.claim_id = item.outcome.claim_id;
    delivery.attempts = item.outcome.attempts;
    core::AttemptResult result;
    result.fault = action == Action::kLocalFault ? core::AttemptFault::kLocal : core::AttemptFault::kNone;
    result.status = action == Action::kAccept ? 200 : 503;
    result.detail = "a fault of ours";
    item = {core::classify_attempt(policy_, delivery, result, {}, db_.random()), false};
}

void ClaimReplay::record(RealEngine& engine, const std::vector<std::size_t>& chosen, bool answered) {
    std::vector<core::Outcome> outcomes;
    std::vector<RealItem> kept;
    for (const std::size_t i : chosen) outcomes.push_back(engine.items[i].outcome);
    for (std::size_t i = 0; i < engine.items.size(); ++i) {
        if (std::find(chosen.begin(), chosen.end(), i) == chosen.end()) kept.push_back(engine.items[i]);
    }
    db_.value<service::RecordResult>([&](auto done) {
        queue_.record({engine.instance, outcomes, engine.ledger.finished_by(outcomes), {}}, std::move(done));
    });
    if (!answered) return;
    engine.ledger.recorded(outcomes);
    engine.items = std::move(kept);
}

void ClaimReplay::move(RealEngine& engine, bool answered) {
    const auto moved = db_.value<std::vector<core::ClaimId>>(
        [&](auto done) { engine.presence->move_claims(engine.instance, engine.next, std::move(done)); });
    if (!answered) {
        close_bell(engine);
        return;
    }
    engine.instance = std::exchange(engine.next, 0);
    engine.ledger.keep_only(moved);
    std::erase_if(engine.items,
                  [&](const RealItem& item) { return item.waiting && !engine.ledger.holds(item.outcome.claim_id); });
}

void ClaimReplay::adopt(RealEngine& engine, bool dead_too, bool answered) {
    std::vector<core::InstanceId> dead;
    if (dead_too) {
        for (const service::InstanceSign& sign : db_.value<std::vector<service::InstanceSign>>(
                 [&](auto done) { engine.presence->look_at_others(engine.instance, service::kSilentAfter, std::move(done)); })) {
            if (sign.lock_free) dead.push_back(sign.id);
        }
    }
    const auto adopted = db_.value<std::vector<service::AdoptedDelivery>>(
        [&](auto done) { engine.presence->adopt_dead(engine.instance, engine.ledger.claims(), dead, std::move(done)); });
    if (!answered) {
        close_bell(engine);
        return;
    }
    for (const service::AdoptedDelivery& delivery : adopted) {
        engine.ledger.add(delivery.claim_id, 1);
        engine.items.push_back(
            {core::classify_abandoned(policy_, delivery.id, delivery.claim_id, delivery.attempts, db_.random()), false});
    }
}

void ClaimReplay::end_session(RealEngine& doer, RealEngine& frozen) {
    const auto ended =
        db_.value<std::size_t>([&](auto done) { doer.presence->end_sessions({frozen.instance}, std::move(done)); });
    EXPECT_EQ(ended, 1U);
    close_bell(frozen);
}

std::vector<std::size_t> ClaimReplay::outcomes_of(const RealEngine& engine) const {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < engine.items.size(); ++i) {
        if (!engine.items[i].waiting) chosen.push_back(i);
    }
    return chosen;
}

std::size_t ClaimReplay::place_of(const Step& step) const { return places_.items[step.engine][step.which]; }

State ClaimReplay::actual() {
    State state;
    std::vector<core::ClaimId> claims;
    add_tables(state, claims);
    add_engines(state, claims);
    places_ = make_canonical(state);
    return state;
}

Owner ClaimReplay::owner_of(core::InstanceId instance) const {
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (engines_[e].instance == instance) return instance_of(e);
        if (engines_[e].next == instance) return next_instance_of(e);
    }
    return std::find(rows_.begin(), rows_.end(), instance) == rows_.end() ? kNobody : kGrave;
}

void ClaimReplay::add_tables(State& state, std::vector<core::ClaimId>& claims) {
    const auto rows = db_.value<std::vector<pg::Rows>>([&](auto done) { observer_.execute({{&kReadAll, {}}}, std::move(done)); });
    rows_.clear();
    held_.clear();
    for (int row = 0; !rows.empty() && row < rows[0].size(); ++row) {
        const auto number = [&](int column) { return rows[0].bigint(row, column); };
        const auto kind = number(0), a = number(1), b = number(2), c = number(3), d = number(4), e = number(5), f = number(6);
        if (kind == 0) {
            state.running = a == 1;
        } else if (kind == 1) {
            rows_.push_back(b);
        } else if (kind == 4) {
            held_.push_back(b);
        } else if (kind == 2) {
            Message& message = state.messages[static_cast<std::size_t>(b - 1)];
            message = {true,
                       c == 1,
                       f > 0,
                       static_cast<std::uint8_t>(a),
                       static_cast<std::uint8_t>(d),
                       0,
                       Schedule{static_cast<std::uint8_t>(e)}};
        } else {
            if (std::find(claims.begin(), claims.end(), b) == claims.end()) claims.push_back(b);
            const auto slot = static_cast<std::size_t>(std::find(claims.begin(), claims.end(), b) - claims.begin());
            state.claims[slot].owner = owner_of(d);
            state.claims[slot].adopted = a == 1;
            if (e > 0) state.claims[slot].attempts[static_cast<std::size_t>(e - 1)] = static_cast<std::int8_t>(c);
        }
    }
    state.claim_count = static_cast<std::uint8_t>(claims.size());
    state.faults = expected_.faults;
    for (std::size_t m = 0; m < kMaxMessages; ++m) state.messages[m].accepted = expected_.messages[m].accepted;
}

void ClaimReplay::add_engines(State& state, const std::vector<core::ClaimId>& claims) const {
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        const RealEngine& real = engines_[e];
        Engine& engine = state.engines[e];
        engine.life = expected_.engines[e].life;
        engine.bell = expected_.engines[e].bell;
        engine.row = std::find(rows_.begin(), rows_.end(), real.instance) != rows_.end();
        for (const RealItem& item : real.items) {
            const auto found = std::find(claims.begin(), claims.end(), item.outcome.claim_id);
            const auto slot = static_cast<std::uint8_t>(found == claims.end() ? kGone : found - claims.begin());
            engine.items[engine.item_count++] = {static_cast<std::uint8_t>(item.outcome.id - 1), slot,
                                                 item.waiting ? Phase::kWaiting : phase_of(item.outcome),
                                                 static_cast<std::uint8_t>(item.outcome.attempts)};
        }
        for (std::size_t c = 0; c < claims.size(); ++c) engine.open[c] = open_in(real.ledger, claims[c]);
    }
}

bool ClaimReplay::locks_are_right() const {
    std::vector<core::InstanceId> awake;
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        const Bell bell = expected_.engines[e].bell;
        if (bell == Bell::kUp) awake.push_back(engines_[e].instance);
        if (bell == Bell::kNew) awake.push_back(engines_[e].next);
    }
    return std::is_permutation(awake.begin(), awake.end(), held_.begin(), held_.end());
}

}  // namespace messaging::model
