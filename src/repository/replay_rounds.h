// PgReplayRounds: rounds of messaging._replay_round() (migrations/functions/replays.sql); implements engine::ReplayRounds.
#pragma once

#include "core/completion.h"
#include "engine/replay_rounds.h"
#include "pg/connection.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it. A round may take as long as a trigger of the application, so it runs on the
// session of reconcile, whose rounds may take long as well.
class PgReplayRounds : public engine::ReplayRounds {
public:
    explicit PgReplayRounds(pg::Connection& session) : session_(session) {}
    void run_round(core::Completion<engine::ReplayRound> done) override;

private:
    pg::Connection& session_;
};

}  // namespace messaging::repository
