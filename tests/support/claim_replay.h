// ClaimReplay: the steps of the claim model taken with the real statements, on the real ledger and outcomes, and what then stands
// in PostgreSQL and in the engines' memory, as a state of the model.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/outcome.h"
#include "repository/presence_store.h"
#include "repository/queue_store.h"
#include "service/claim_ledger.h"
#include "support/claim_model.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::model {

// One thread. Each engine's bell is a session of its own, so that its lock lives and dies as in earnest; claims and records share
// one session each, because a request that PostgreSQL finds after its engine's death must still get there.
class ClaimReplay {
public:
    ClaimReplay();

    // The empty state, in the same database.
    void begin();
    // `step` is one of steps_from(expected()).
    void make(const Step& step);
    // What is really there. What PostgreSQL cannot know (what the receiver accepted, which fault has been noticed) is as
    // expected.
    State actual();
    const State& expected() const { return expected_; }
    // At the last look: those that are held are those of the engines whose bell is up.
    bool locks_are_right() const;

private:
    struct RealItem {
        core::Outcome outcome;
        bool waiting = false;  // not answered yet
    };
    struct RealEngine {
        std::unique_ptr<pg::Connection> bell;
        std::unique_ptr<repository::PgPresenceStore> presence;  // depends-on: bell
        core::InstanceId instance = 0;
        core::InstanceId next = 0;  // registered, claims not yet moved
        service::ClaimLedger ledger;
        std::vector<RealItem> items;
    };

    std::unique_ptr<pg::Connection> new_session();
    void spare(std::unique_ptr<pg::Connection> session);  // for the next path: a session costs more than a step
    core::InstanceId open_bell(RealEngine& engine);
    void close_bell(RealEngine& engine);
    void await_free_lock(core::InstanceId instance);
    std::vector<core::Delivery> claim(const RealEngine& engine, unsigned mask, bool due);
    void answer(RealItem& item, Action action);
    void record(RealEngine& engine, const std::vector<std::size_t>& chosen, bool answered);
    void move(RealEngine& engine, bool answered);
    void adopt(RealEngine& engine, bool dead_too, bool answered);
    void end_session(RealEngine& doer, RealEngine& frozen);
    std::vector<std::size_t> outcomes_of(const RealEngine& engine) const;
    std::size_t place_of(const Step& step) const;  // of the item meant, in the engine's own order

    void add_tables(State& state, std::vector<core::ClaimId>& claims);
    void add_engines(State& state, const std::vector<core::ClaimId>& claims) const;
    Owner owner_of(core::InstanceId instance) const;

    test::Stores db_{test::fresh_database()};
    repository::PgQueueStore queue_;
    pg::Connection& observer_;
    core::OutcomePolicy policy_;
    std::vector<std::unique_ptr<pg::Connection>> spare_;
    std::array<RealEngine, kMaxEngines> engines_;
    std::vector<core::InstanceId> rows_;  // of messaging._instance, as last read
    std::vector<core::InstanceId> held_;  // locks, likewise
    State expected_;
    Places places_;  // from the canonical order to ours
};

}  // namespace messaging::model
