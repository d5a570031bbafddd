// InstanceStore: how an engine registers, stays registered, and watches the other instances. A port; repository implements it.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "core/completion.h"
#include "core/message.h"
#include "engine/failure_detector.h"
#include "engine/queue_position.h"

namespace messaging::engine {

inline constexpr int kReclaimClaims = 10;    // of one reclaim: the listen session gets no notification while it runs
inline constexpr int kMaxAbandonments = 10;  // after this many failed engines a message is dead-lettered

struct Reclaimed {
    std::size_t claims = 0;
    std::size_t messages = 0;  // scheduled or dead-lettered
};

// Loop thread only; on the listen session.
class InstanceStore {
public:
    virtual ~InstanceStore() = default;

    // Inserts a new instance row and takes its instance lock, which shows the other instances that it is alive.
    // `session_tag`: the end of the application_name of the engine's sessions, so that other engines can end them.
    virtual void register_instance(const std::string& name, const std::string& session_tag,
                                   core::Completion<core::InstanceId> done) = 0;
    // Moves the claims that no instance has reclaimed to the instance `to`, and returns their ids.
    virtual void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                             core::Completion<std::vector<core::ClaimId>> done) = 0;
    // False: somebody has deleted the instance's row.
    virtual void heartbeat(core::InstanceId instance_id, int in_flight, Xid floor, core::Completion<bool> done) = 0;
    // Reads messaging._state: true = running.
    virtual void read_state(core::Completion<bool> done) = 0;
    // One sample of every instance but `me`. Mute = no heartbeat for `silence`.
    virtual void check_instances(core::InstanceId me, std::chrono::milliseconds silence,
                                 core::Completion<std::vector<LivenessSample>> done) = 0;
    // Ends all sessions of these instances, also those that hold the instance locks. Returns the number of sessions.
    virtual void end_sessions(std::vector<core::InstanceId> unresponsive, core::Completion<std::size_t> done) = 0;
    // Ends at most kReclaimClaims claims: those of the instances in `failed` whose instance lock is still free, and those of
    // instances that have no row. Schedules each open message; the first time it is due at once. The n-th time (n > 1) it waits
    // for `delay` × 2^(n-1), five minutes at most, × 0.5 to 1.5. After kMaxAbandonments times it is dead-lettered. This uses no
    // attempt, because most of the messages only waited. Without `counted` no row of messages is written, for the case that one
    // of these rows refuses every change.
    virtual void reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay, bool counted,
                         core::Completion<Reclaimed> done) = 0;
    // At a clean end: deletes the instance's row. All of its claims must have been recorded.
    virtual void unregister_instance(core::InstanceId instance_id, core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
