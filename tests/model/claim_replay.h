// ClaimReplay: the steps of the claim model taken with the real statements, on the real ledger and outcomes, and what then stands
// in PostgreSQL and in the engines' memory, as a state of the model.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/outcome.h"
#include "engine/open_claims.h"
#include "engine/record_store.h"
#include "model/claim_model.h"
#include "repository/endpoint_state_store.h"
#include "repository/instance_store.h"
#include "support/engine_stores.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::model {

// One thread. Each engine's listen session is one of its own, so that its lock lives and dies as in earnest; claims and records
// share one session each, because a request that PostgreSQL finds after its engine's end must still get there.
class ClaimReplay {
public:
    explicit ClaimReplay(Mistakes mistakes = {});

    // The initial state, in the same database.
    void begin(const Bounds& bounds);
    // `step` is one of steps_from(expected()).
    void make(const Step& step);
    // What is really there. What PostgreSQL cannot know (what the receiver accepted, which fault has been noticed, what a crash
    // would undo) is as expected.
    State actual();
    const State& expected() const { return expected_; }
    // At the last look: those that are held are those of the engines whose listen session is up.
    bool locks_are_right() const;

private:
    struct RealItem {
        core::Outcome outcome;
        Phase phase = Phase::kWaiting;
        bool recording = false;
    };
    struct RealEngine {
        std::unique_ptr<pg::Connection> listen_session;
        std::unique_ptr<repository::PgInstanceStore> instances;  // depends-on: listen_session
        core::InstanceId instance = 0;
        core::InstanceId next = 0;  // registered, claims not known to be moved
        std::vector<core::ClaimId> moved;
        engine::OpenClaims ledger;
        std::vector<RealItem> items;
    };
    struct Durability {
        Source from = Source::kQueue;
        bool durable = true;
    };
    using Items = std::vector<std::size_t>;
    template <typename T>
    using Pending = std::shared_ptr<std::optional<core::Result<T>>>;

    void make_alone(const Step& step, RealEngine& engine);
    // A statement is parsed before any of its transaction runs, and then waits where it should not yet: each is prepared here.
    void prepare(test::EngineStores& queue);
    std::unique_ptr<pg::Connection> new_session();
    void spare(std::unique_ptr<pg::Connection> session);  // for the next path: a session costs more than a step
    core::InstanceId open_listen_session(RealEngine& engine);
    void close_listen_session(RealEngine& engine);
    void await_free_lock(core::InstanceId instance);
    void claim(RealEngine& engine, unsigned mask, Source source);
    void answer(RealItem& item, Action action);
    void arrive(RealEngine& engine, bool here);
    void record(RealEngine& engine, const Items& chosen);
    engine::RecordRequest request_for(RealEngine& engine, const Items& chosen);
    void recorded(RealEngine& engine);
    void lose_record(RealEngine& engine);
    void move(RealEngine& engine);
    void on_moved(RealEngine& engine, std::vector<core::ClaimId> moved);
    std::vector<core::InstanceId> failed_instances(RealEngine& engine);
    void reclaim(RealEngine& engine, bool failed_too);
    void lift_abandoned();
    void reschedule_orphans(RealEngine& engine);
    void end_session(RealEngine& doer, RealEngine& frozen);
    void crash();
    void set_endpoint(Endpoint endpoint);
    void write_finding(Finding finding);
    Items outcomes_of(const RealEngine& engine) const;
    std::size_t place_of(std::size_t engine, std::size_t item) const;  // of the item meant, in the engine's own order

    // claim_replay_overlap.cc: one transaction is held in its middle, until the second one waits for it.
    void make_overlap(const Step& step);
    void claim_behind_active(RealEngine& engine, unsigned mask);
    void hold(const std::string& sql);
    void let_go() { hold_.reset(); }
    void await_waiting(int sessions);
    template <typename T>
    Pending<T> begin_call(const std::function<void(std::function<void(core::Result<T>)>)>& start);
    template <typename T>
    T finish_call(const Pending<T>& pending);

    // claim_replay_state.cc
    void add_tables(State& state);
    void add_message(State& state, const std::array<std::int64_t, 10>& row);
    void add_claim(State& state, const std::array<std::int64_t, 10>& row);
    void add_engines(State& state) const;
    Owner owner_of(core::InstanceId instance) const;
    std::uint8_t generation_of(std::size_t message, std::int64_t real) const;

    Mistakes mistakes_;
    test::Stores db_{test::fresh_database()};
    test::EngineStores queue_;
    test::EngineStores second_queue_;  // for a record that another one waits for
    pg::Connection& observer_;
    repository::PgEndpointStateStore states_{observer_, std::chrono::hours(1)};
    core::OutcomePolicy policy_;
    std::vector<std::unique_ptr<pg::Connection>> spare_;
    std::array<RealEngine, kMaxEngines> engines_;
    std::unique_ptr<pg::Session> hold_;
    core::ClaimId next_claim_ = 1;
    std::map<core::ClaimId, Durability> durability_;
    std::array<std::map<std::int64_t, std::uint8_t>, kMaxMessages> generations_;  // real to model
    std::vector<core::ClaimId> claims_;                                           // as last read
    std::vector<core::InstanceId> rows_;                                          // of messaging._instance, likewise
    std::vector<core::InstanceId> held_;                                          // locks, likewise
    State expected_;
    Places places_;  // from the canonical order to ours
};

inline constexpr std::chrono::milliseconds kReplayDelay{0};  // after a reclaim: only the second one would wait

inline core::MessageId id_of(std::size_t message) { return static_cast<core::MessageId>(message) + 1; }

}  // namespace messaging::model
