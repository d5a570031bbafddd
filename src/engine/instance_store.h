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

inline constexpr int kReclaimClaims = 10;    // in one round: the listen session runs it, and receives no notification meanwhile
inline constexpr int kMaxAbandonments = 10;  // so many engines may fail while they have a message; then it is dead-lettered

struct Reclaimed {
    std::size_t claims = 0;
    std::size_t messages = 0;  // scheduled again, or dead-lettered
};

// Loop thread only; on the listen session.
class InstanceStore {
public:
    virtual ~InstanceStore() = default;

    // A new instance row, and the session lock that proves it alive.
    // `session_tag`: what the engine's sessions have in their application_name, so that they can be ended.
    virtual void register_instance(const std::string& name, const std::string& session_tag,
                                   core::Completion<core::InstanceId> done) = 0;
    // Moves those of `claims` that no instance has reclaimed to the instance `to`, and answers which these are.
    virtual void move_claims(core::InstanceId to, std::vector<core::ClaimId> claims,
                             core::Completion<std::vector<core::ClaimId>> done) = 0;
    // Answers false where the instance's row is gone: somebody has deleted it.
    virtual void heartbeat(core::InstanceId instance_id, int in_flight, Xid floor, core::Completion<bool> done) = 0;
    // Reads messaging._state: true = running.
    virtual void read_state(core::Completion<bool> done) = 0;
    // One sample of every instance but `me`. Silent = no heartbeat for `silence`.
    virtual void check_instances(core::InstanceId me, std::chrono::milliseconds silence,
                                 core::Completion<std::vector<LivenessSample>> done) = 0;
    // Ends all sessions of these instances, the holder of the lock included; answers how many sessions.
    virtual void end_sessions(std::vector<core::InstanceId> unresponsive, core::Completion<std::size_t> done) = 0;
    // Ends the claims of those of `failed` whose lock is still free, and of instances that have no row, at most kReclaimClaims
    // of them. Each message that was open is scheduled, due at once the first time. After n times, n > 1, it waits for
    // `delay` × 2^(n-1), five minutes at most, × 0.5 to 1.5; after kMaxAbandonments times it is dead-lettered. No attempt is used
    // up, because most of the messages only waited. Without `counted` no row of messages is written: for the case that one of
    // these rows refuses every change.
    virtual void reclaim(core::InstanceId me, std::vector<core::InstanceId> failed, std::chrono::milliseconds delay, bool counted,
                         core::Completion<Reclaimed> done) = 0;
    // At a clean end: deletes the instance's row. All of its claims must have been recorded.
    virtual void unregister_instance(core::InstanceId instance_id, core::Completion<core::Unit> done) = 0;
};

}  // namespace messaging::engine
