// The engine's ports, as a test plays them: calls are kept, and answered when the test says so.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/completion.h"
#include "engine/claim_store.h"
#include "engine/doorbell.h"
#include "engine/doorbell_store.h"
#include "engine/endpoint_figures.h"
#include "engine/endpoint_state_store.h"
#include "engine/endpoint_store.h"
#include "engine/engine_observer.h"
#include "engine/instance_store.h"
#include "engine/queue_position.h"
#include "engine/rate_limit_store.h"
#include "engine/receipt_backlog_store.h"
#include "engine/receipt_log.h"
#include "engine/reconcile_store.h"
#include "engine/reconciler.h"
#include "engine/record_store.h"
#include "engine/replay_rounds.h"
#include "engine/sender.h"

namespace messaging::test {

// A call that waits for its answer.
template <typename Request, typename Answer>
struct Call {
    Request request;
    core::Completion<Answer> answer;
};

template <typename T>
T take_first(std::deque<T>& calls) {
    T first = std::move(calls.at(0));
    calls.pop_front();
    return first;
}

inline core::Error unavailable() { return {core::ErrorKind::kUnavailable, "not there", ""}; }

class FakeEngineStores : public engine::ClaimStore,
                         public engine::RecordStore,
                         public engine::EndpointStore,
                         public engine::EndpointFiguresStore,
                         public engine::EndpointStateStore,
                         public engine::RateLimitStore {
public:
    void claim_ready(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override {
        ready.push_back({request, std::move(done)});
    }
    void claim_due(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override {
        due.push_back({request, std::move(done)});
    }
    void claim_held(const engine::ClaimRequest& request, core::Completion<engine::ClaimBatch> done) override {
        held_claims.push_back({request, std::move(done)});
    }
    void peek(engine::Source source, const engine::ClaimRequest& claim,
              core::Completion<std::optional<core::MessageId>> done) override {
        peeks.push_back({{source, claim.behind}, std::move(done)});
    }
    void dead_letter(engine::Source, core::MessageId id, const std::string& reason, core::Completion<core::Unit> done) override {
        dead_letters.push_back({{id, reason}, std::move(done)});
    }
    void reschedule_orphans(core::InstanceId, std::vector<core::ClaimId> known, std::vector<core::MessageId> in_memory,
                            core::Completion<engine::OrphanCount> done) override {
        orphans.push_back({{std::move(known), std::move(in_memory)}, std::move(done)});
    }
    void find_unlocked(std::vector<core::MessageId> ids, core::Completion<std::vector<core::MessageId>> done) override {
        unlocks.push_back({std::move(ids), std::move(done)});
    }
    void record(engine::RecordRequest request, core::Completion<engine::RecordResult> done) override {
        records.push_back({std::move(request), std::move(done)});
    }
    void load_endpoints(core::Completion<std::vector<core::Endpoint>> done) override {
        endpoints.push_back({0, std::move(done)});
    }
    void add_figures(std::vector<engine::EndpointFigures> of_endpoints, core::Completion<core::Unit> done) override {
        figures.push_back({std::move(of_endpoints), std::move(done)});
    }

    void reserve(std::vector<engine::RateRequest> requests, core::Completion<std::vector<engine::RateGrant>> done) override {
        reservations.push_back({std::move(requests), std::move(done)});
    }
    void write_findings(std::vector<engine::EndpointFinding> of_endpoints, bool, core::Completion<core::Unit> done) override {
        findings.push_back({std::move(of_endpoints), std::move(done)});
    }

    std::deque<Call<engine::ClaimRequest, engine::ClaimBatch>> ready;
    std::deque<Call<engine::ClaimRequest, engine::ClaimBatch>> due;
    std::deque<Call<engine::ClaimRequest, engine::ClaimBatch>> held_claims;
    struct Orphans {
        std::vector<core::ClaimId> known;
        std::vector<core::MessageId> in_memory;
    };
    std::deque<Call<Orphans, engine::OrphanCount>> orphans;
    std::deque<Call<std::pair<engine::Source, engine::QueuePosition>, std::optional<core::MessageId>>> peeks;
    std::deque<Call<std::pair<core::MessageId, std::string>, core::Unit>> dead_letters;
    std::deque<Call<std::vector<core::MessageId>, std::vector<core::MessageId>>> unlocks;
    std::deque<Call<engine::RecordRequest, engine::RecordResult>> records;
    std::deque<Call<int, std::vector<core::Endpoint>>> endpoints;
    std::deque<Call<std::vector<engine::EndpointFigures>, core::Unit>> figures;
    std::deque<Call<std::vector<engine::EndpointFinding>, core::Unit>> findings;
    std::deque<Call<std::vector<engine::RateRequest>, std::vector<engine::RateGrant>>> reservations;
};

class FakeInstanceStore : public engine::InstanceStore {
public:
    struct Move {
        core::InstanceId to = 0;
        std::vector<core::ClaimId> claims;
    };
    void register_instance(const std::string& name, const std::string&, core::Completion<core::InstanceId> done) override {
        registrations.push_back({name, std::move(done)});
    }
    void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                     core::Completion<std::vector<core::ClaimId>> done) override {
        moves.push_back({{to, std::move(claims)}, std::move(done)});
    }
    void heartbeat(core::InstanceId id, int, engine::Xid, core::Completion<bool> done) override {
        heartbeats.push_back({id, std::move(done)});
    }
    void read_state(core::Completion<bool> done) override { states.push_back({0, std::move(done)}); }
    void check_instances(core::InstanceId, std::chrono::milliseconds,
                         core::Completion<std::vector<engine::LivenessSample>> done) override {
        samples.push_back({0, std::move(done)});
    }
    void end_sessions(std::vector<core::InstanceId> unresponsive, core::Completion<std::size_t> done) override {
        endings.push_back({std::move(unresponsive), std::move(done)});
    }
    void reclaim(core::InstanceId, std::vector<core::InstanceId> failed, std::chrono::milliseconds, bool counted,
                 core::Completion<engine::Reclaimed> done) override {
        reclaims.push_back({std::move(failed), std::move(done)});
        last_reclaim_counted = counted;
    }
    void unregister_instance(core::InstanceId id, core::Completion<core::Unit> done) override {
        goodbyes.push_back({id, std::move(done)});
    }

    std::deque<Call<std::string, core::InstanceId>> registrations;
    std::deque<Call<Move, std::vector<core::ClaimId>>> moves;
    std::deque<Call<core::InstanceId, bool>> heartbeats;
    std::deque<Call<int, bool>> states;
    std::deque<Call<int, std::vector<engine::LivenessSample>>> samples;
    std::deque<Call<std::vector<core::InstanceId>, std::size_t>> endings;
    std::deque<Call<std::vector<core::InstanceId>, engine::Reclaimed>> reclaims;
    bool last_reclaim_counted = true;
    std::deque<Call<core::InstanceId, core::Unit>> goodbyes;
};

class FakeDoorbellStore : public engine::DoorbellStore {
public:
    void try_to_sleep(core::Completion<engine::SleepAnswer> done) override { sleeps.push_back({0, std::move(done)}); }
    void wake_up(core::Completion<core::Unit>) override { ++wakes; }
    void wake_peers(core::Completion<core::Unit>) override { ++wakes_of_peers; }

    std::deque<Call<int, engine::SleepAnswer>> sleeps;
    int wakes = 0;
    int wakes_of_peers = 0;
};

class FakeReconcileStore : public engine::ReconcileStore {
public:
    void reconcile(int max_rows, core::Completion<engine::ReconcileRound> done) override {
        rounds.push_back({max_rows, std::move(done)});
    }
    std::deque<Call<int, engine::ReconcileRound>> rounds;
};

class FakeReplayRounds : public engine::ReplayRounds {
public:
    void run_round(core::Completion<engine::ReplayRound> done) override { rounds.push_back({0, std::move(done)}); }
    std::deque<Call<int, engine::ReplayRound>> rounds;
};

class FakeBacklogStore : public engine::ReceiptBacklogStore {
public:
    struct Read {
        core::InstanceId me = 0;
        std::vector<std::int64_t> not_these;
        int limit = 0;
    };
    struct Move {
        core::InstanceId from = 0;
        core::InstanceId to = 0;
        std::vector<std::int64_t> batches;
    };
    void read_backlog(core::InstanceId me, std::vector<std::int64_t> not_these, int limit,
                      core::Completion<std::vector<engine::BacklogBatch>> done) override {
        reads.push_back({{me, std::move(not_these), limit}, std::move(done)});
    }
    void reclaim_backlog(core::InstanceId me, int, core::Completion<std::size_t> done) override {
        reclaims.push_back({me, std::move(done)});
    }
    void move_backlog(core::InstanceId from, core::InstanceId to, std::vector<std::int64_t> batches,
                      core::Completion<core::Unit> done) override {
        moves.push_back({{from, to, std::move(batches)}, std::move(done)});
    }
    std::deque<Call<Read, std::vector<engine::BacklogBatch>>> reads;
    std::deque<Call<core::InstanceId, std::size_t>> reclaims;
    std::deque<Call<Move, core::Unit>> moves;
};

class FakeReceiptLog : public engine::ReceiptLog {
public:
    bool up() const override { return is_up; }
    void write(const std::vector<core::Receipt>& receipts, core::Completion<core::Unit> done) override {
        writes.push_back({receipts, std::move(done)});
    }
    bool is_up = true;
    std::deque<Call<std::vector<core::Receipt>, core::Unit>> writes;
};

class FakeSender : public engine::Sender {
public:
    struct Attempt {
        core::Delivery delivery;
        core::Endpoint endpoint;
        std::function<void(core::AttemptResult)> done;
    };
    void start_attempt(const core::Delivery& delivery, const core::Endpoint& endpoint,
                       std::function<void(core::AttemptResult)> done) override {
        attempts.push_back({delivery, endpoint, std::move(done)});
    }
    // Answers the oldest attempt.
    void answer(int status) {
        core::AttemptResult result;
        result.status = status;
        answer(result);
    }
    void answer(const core::AttemptResult& result) { take_first(attempts).done(result); }
    std::deque<Attempt> attempts;
};

class FakeObserver : public engine::EngineObserver {
public:
    void on_claim(std::size_t, std::chrono::microseconds) override {}
    void on_outcome(const core::Outcome&) override {}
    void on_attempt(const core::AttemptResult& result) override { ++attempts[result.fault]; }
    void on_figures(const std::vector<engine::EndpointFigures>&) override {}
    void on_delivered(double seconds_since_insert) override { ages.push_back(seconds_since_insert); }
    void on_recorded(std::size_t, std::chrono::microseconds) override {}
    void on_in_flight(std::size_t in_flight_now, std::size_t waiting_now) override {
        in_flight = in_flight_now;
        waiting = waiting_now;
    }
    void on_receipts(std::size_t written) override { receipts += written; }
    void on_reclaimed(std::size_t messages) override { reclaimed += messages; }
    void on_dead_lettered(std::size_t messages) override { dead_lettered += messages; }
    void on_late_outcomes(std::size_t outcomes) override { late_outcomes += outcomes; }
    void on_kept(std::size_t messages) override { kept += messages; }
    void on_not_in_memory(std::size_t messages) override { not_in_memory += messages; }
    void on_locked(std::size_t outcomes) override { locked += outcomes; }
    void on_ended_sessions(std::size_t sessions) override { ended_sessions += sessions; }
    void on_missed_notifications(std::size_t messages) override { missed_notifications += messages; }
    void on_degraded(engine::Degradation what, const std::string& endpoint, const std::string&) override {
        degraded.push_back(name_of(what, endpoint));
    }
    void on_recovered(engine::Degradation what, const std::string& endpoint) override {
        std::erase(degraded, name_of(what, endpoint));
    }
    void on_error(const char* what, const core::Error&) override { ++errors[what]; }
    void on_success(const char* what) override { ++successes[what]; }

    std::vector<std::string> degraded;
    std::map<core::AttemptFault, int> attempts;
    std::vector<double> ages;
    std::size_t in_flight = 0;
    std::size_t waiting = 0;
    std::size_t receipts = 0;
    std::size_t reclaimed = 0;
    std::size_t dead_lettered = 0;
    std::size_t late_outcomes = 0;
    std::size_t kept = 0;
    std::size_t not_in_memory = 0;
    std::size_t locked = 0;
    std::size_t missed_notifications = 0;
    std::size_t ended_sessions = 0;
    std::map<std::string, int> errors;
    std::map<std::string, int> successes;
};

inline core::Delivery delivery(core::MessageId id, core::EndpointId endpoint = 1, core::ClaimId claim = 1, int attempts = 0) {
    core::Delivery one;
    one.id = id;
    one.endpoint_id = endpoint;
    one.claim_id = claim;
    one.attempts = attempts;
    return one;
}

inline core::Endpoint endpoint(core::EndpointId id, int max_in_flight) {
    core::Endpoint one;
    one.id = id;
    one.max_in_flight = max_in_flight;
    return one;
}

}  // namespace messaging::test
