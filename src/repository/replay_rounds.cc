// Calls messaging._replay_round().
#include "repository/replay_rounds.h"

#include <utility>

#include "pg/run_statement.h"

namespace messaging::repository {
namespace {

constexpr pg::Statement kRound{"replay_round", "SELECT replayed, running, wait_ms FROM messaging._replay_round()"};

}  // namespace

void PgReplayRounds::run_round(core::Completion<engine::ReplayRound> done) {
    pg::run_statement<engine::ReplayRound>(session_, kRound, {}, std::move(done), [](const pg::Rows& rows) {
        engine::ReplayRound round;
        round.replayed = static_cast<std::size_t>(rows.bigint(0, 0));
        round.running = static_cast<std::size_t>(rows.bigint(0, 1));
        round.wait = std::chrono::milliseconds(rows.bigint(0, 2));
        return round;
    });
}

}  // namespace messaging::repository
