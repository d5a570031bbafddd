// Rows, ledgers and outcomes to a state of the model.
#include <algorithm>

#include "engine/instance_store.h"
#include "model/claim_replay.h"

namespace messaging::model {
namespace {

constexpr std::uint8_t kUnknown = 99;  // no state of the model has it

// Messages are read by the ids of all three, because an entry can outlive its row.
constexpr pg::Statement kReadAll{"read_all", R"sql(
SELECT 0::bigint, (state = 'running')::int::bigint,
       coalesce((SELECT array_position('{active,backlogged,failing,disabled}'::text[], state) - 1
                 FROM messaging._endpoint_state WHERE endpoint_id = 1), 4)::bigint,
       0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint, 0::bigint FROM messaging._state
UNION ALL SELECT 1, instance_id, 0, 0, 0, 0, 0, 0, 0, 0 FROM messaging._instance
UNION ALL SELECT 2, i.id, CASE WHEN m.id IS NULL THEN 0 ELSE 1 + m.is_sent::int END,
    coalesce(m.attempts, 0), coalesce(m.abandoned, 0), coalesce(m.generation, 0),
    (SELECT count(*) FROM messaging._queue q WHERE q.id = i.id),
    coalesce((SELECT CASE WHEN due_at <= now() THEN 2 ELSE 1 END FROM messaging._schedule s WHERE s.id = i.id), 0),
    (SELECT count(*) FROM messaging._dead d WHERE d.id = i.id), (SELECT count(*) FROM messaging._hold h WHERE h.id = i.id)
    FROM pg_catalog.generate_series(1::bigint, 3) AS i(id) LEFT JOIN public.messages m ON m.id = i.id
UNION ALL SELECT 3, claim_id, instance_id, coalesce(u.id, 0), coalesce(u.attempts, 0), coalesce(u.generation, 0), 0, 0, 0, 0
    FROM messaging._claim c LEFT JOIN LATERAL unnest(c.ids, c.attempts, c.generations) AS u(id, attempts, generation) ON true
UNION ALL SELECT 4, objid::bigint, 0, 0, 0, 0, 0, 0, 0, 0 FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 772 AND mode = 'ExclusiveLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1)sql"};

// OpenClaims says how many are open only by when it takes a claim for finished.
std::uint8_t open_in(const engine::OpenClaims& ledger, core::ClaimId claim) {
    std::vector<core::Outcome> outcomes;
    if (!ledger.holds(claim)) return 0;
    do {
        outcomes.emplace_back().claim_id = claim;
    } while (ledger.finished_by(outcomes).empty());
    return static_cast<std::uint8_t>(outcomes.size());
}

}  // namespace

State ClaimReplay::actual() {
    State state;
    add_tables(state);
    add_engines(state);
    places_ = make_canonical(state);
    return state;
}

Owner ClaimReplay::owner_of(core::InstanceId instance) const {
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (engines_[e].instance == instance) return instance_of(e);
        if (engines_[e].next == instance) return next_instance_of(e);
    }
    return std::find(rows_.begin(), rows_.end(), instance) == rows_.end() ? kNobody : kFailed;
}

std::uint8_t ClaimReplay::generation_of(std::size_t message, std::int64_t real) const {
    const auto found = generations_[message].find(real);
    return found == generations_[message].end() ? kUnknown : found->second;
}

void ClaimReplay::add_tables(State& state) {
    const auto rows = db_.value<std::vector<pg::Rows>>([&](auto done) { observer_.execute({{&kReadAll, {}}}, std::move(done)); });
    rows_.clear();
    held_.clear();
    claims_.clear();
    for (int row = 0; !rows.empty() && row < rows[0].size(); ++row) {
        std::array<std::int64_t, 10> read{};
        for (int column = 0; column < 10; ++column) read[static_cast<std::size_t>(column)] = rows[0].bigint(row, column);
        if (read[0] == 0) {
            state.running = read[1] == 1;
            state.endpoint = static_cast<Endpoint>(read[2]);
        } else if (read[0] == 1) {
            rows_.push_back(read[1]);
        } else if (read[0] == 2) {
            add_message(state, read);
        } else if (read[0] == 3) {
            add_claim(state, read);
        } else {
            held_.push_back(read[1]);
        }
    }
    state.claim_count = static_cast<std::uint8_t>(claims_.size());
    state.crashes = expected_.crashes;
    state.faults = expected_.faults;
    state.wishes = expected_.wishes;
}

// A generation that has not been seen before is the expected one, if that is new too.
void ClaimReplay::add_message(State& state, const std::array<std::int64_t, 10>& row) {
    const auto m = static_cast<std::size_t>(row[1] - 1);
    const Message& expected = expected_.messages[m];
    Message& message = state.messages[m];
    message = expected;
    message.inserted = row[2] > 0;
    message.sent = row[2] > 1;
    message.attempts = static_cast<std::uint8_t>(row[3]);
    message.abandoned = static_cast<std::uint8_t>(row[4] == 0 ? 0 : row[4] - engine::kMaxAbandonments + kMaxAbandoned);
    message.queued = row[6] > 0;
    message.schedule = static_cast<Schedule>(row[7]);
    message.dead = row[8] > 0;
    message.held = row[9] > 0;
    if (!message.inserted) return;
    auto& known = generations_[m];
    const auto is_expected = [&](const auto& one) { return one.second == expected.generation; };
    if (std::none_of(known.begin(), known.end(), is_expected)) known.emplace(row[5], expected.generation);
    message.generation = generation_of(m, row[5]);
}

void ClaimReplay::add_claim(State& state, const std::array<std::int64_t, 10>& row) {
    if (std::find(claims_.begin(), claims_.end(), row[1]) == claims_.end()) claims_.push_back(row[1]);
    Claim& claim = state.claims[static_cast<std::size_t>(std::find(claims_.begin(), claims_.end(), row[1]) - claims_.begin())];
    const Durability& durability = durability_[row[1]];
    claim.owner = owner_of(row[2]);
    claim.from = durability.from;
    claim.durable = durability.durable;
    if (row[3] == 0) return;
    const auto m = static_cast<std::size_t>(row[3] - 1);
    claim.attempts[m] = static_cast<std::int8_t>(row[4]);
    claim.generations[m] = generation_of(m, row[5]);
}

void ClaimReplay::add_engines(State& state) const {
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        const RealEngine& real = engines_[e];
        Engine& engine = state.engines[e];
        engine.life = expected_.engines[e].life;
        engine.listen_session = expected_.engines[e].listen_session;
        engine.breaker_open = expected_.engines[e].breaker_open;
        engine.read_failing = expected_.engines[e].read_failing;
        engine.finding = expected_.engines[e].finding;
        engine.reading = expected_.engines[e].reading;
        engine.row = std::find(rows_.begin(), rows_.end(), real.instance) != rows_.end();
        for (const RealItem& item : real.items) {
            const auto found = std::find(claims_.begin(), claims_.end(), item.outcome.claim_id);
            const auto m = static_cast<std::size_t>(item.outcome.id - 1);
            const auto place = static_cast<std::uint8_t>(found == claims_.end() ? kGone : found - claims_.begin());
            engine.items[engine.item_count++] = {static_cast<std::uint8_t>(m),
                                                 place,
                                                 item.phase,
                                                 item.recording,
                                                 static_cast<std::uint8_t>(item.outcome.attempts),
                                                 generation_of(m, item.outcome.generation)};
        }
        for (std::size_t c = 0; c < claims_.size(); ++c) engine.open[c] = open_in(real.ledger, claims_[c]);
    }
}

bool ClaimReplay::locks_are_right() const {
    std::vector<core::InstanceId> awake;
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        const ListenSession listen_session = expected_.engines[e].listen_session;
        if (listen_session == ListenSession::kUp) awake.push_back(engines_[e].instance);
        if (listen_session == ListenSession::kNew || listen_session == ListenSession::kMoving) awake.push_back(engines_[e].next);
    }
    return std::is_permutation(awake.begin(), awake.end(), held_.begin(), held_.end());
}

}  // namespace messaging::model
