// OneEngine: an engine's claims and records with the real statements, without its loop.
#pragma once

#include <utility>
#include <vector>

#include "engine/claim_store.h"
#include "engine/record_store.h"
#include "support/engine_stores.h"
#include "support/stores.h"

namespace messaging::test {

class OneEngine {
public:
    explicit OneEngine(Stores& db, core::InstanceId id = 11)
        : db_(db),
          id_(id),
          next_claim_(id * 1000),
          queue_(db.open_session(repository::claim_session_settings()), db.open_session(repository::record_session_settings())) {}

    EngineStores& queue() { return queue_; }
    std::vector<core::Delivery> claim(int limit = 1000) {
        return db_
            .value<engine::ClaimBatch>([&](auto done) {
                queue_.claim_ready({id_, next_claim_++, {}, limit, std::nullopt}, std::move(done));
            })
            .deliveries;
    }
    std::vector<core::Delivery> claim_due() {
        return db_
            .value<engine::ClaimBatch>([&](auto done) {
                queue_.claim_due({id_, next_claim_++, {}, 1000, std::nullopt}, std::move(done));
            })
            .deliveries;
    }
    // The claims of the deliveries are finished with it.
    engine::RecordResult record(const std::vector<core::Delivery>& deliveries, core::OutcomeKind kind) {
        engine::RecordRequest request;
        request.instance_id = id_;
        for (const core::Delivery& delivery : deliveries) {
            core::Outcome outcome;
            outcome.id = delivery.id;
            outcome.claim_id = delivery.claim_id;
            outcome.generation = delivery.generation;
            outcome.kind = kind;
            outcome.attempts = delivery.attempts + 1;
            if (kind != core::OutcomeKind::kDelivered) outcome.error = "HTTP 500";
            request.outcomes.push_back(outcome);
            request.finished.push_back(delivery.claim_id);
        }
        return db_.value<engine::RecordResult>([&](auto done) { queue_.record(std::move(request), std::move(done)); });
    }

private:
    Stores& db_;
    core::InstanceId id_;
    core::ClaimId next_claim_;
    EngineStores queue_;
};

}  // namespace messaging::test
