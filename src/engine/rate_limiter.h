// RateLimiter: when requests to endpoints with a rate limit may begin. It reserves moments in PostgreSQL, which all engines
// share.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "core/message.h"
#include "core/result.h"
#include "engine/engine_observer.h"
#include "engine/rate_limit_store.h"
#include "loop/timer.h"

namespace messaging::engine {

// A moment is a time at which one request may begin. A reservation has the moments of this long at most, and one moment at
// least. A moment that was not used this long after it began is lost. So in any 10 s there are at most 2.5 % more requests
// than the limit allows; what libcurl repeats by itself is paid for later, and comes on top.
inline constexpr std::chrono::milliseconds kReservedAhead{250};
// The wait after a reservation that has failed.
inline constexpr std::chrono::milliseconds kReserveRetry{1000};
// The wait before the next reservation for an endpoint whose row another session had locked.
inline constexpr std::chrono::milliseconds kLockedRateRetry{50};
inline constexpr std::size_t kMaxReservations = 500;  // endpoints in one reservation

// Loop thread only.
class RateLimiter {
public:
    // `on_moments`: requests to these endpoints may begin now.
    RateLimiter(RateLimitStore& store, loop::TimerFactory& timers, const core::Clock& clock, EngineObserver& observer,
                std::function<void(const std::vector<core::EndpointId>&)> on_moments);

    // nullopt: no limit. A changed limit counts from the next reservation on.
    void set_rate(core::EndpointId endpoint, std::optional<int> rate);
    bool limits(core::EndpointId endpoint) const { return limited_.contains(endpoint); }

    // Requests that may begin now. Precondition for this and the next four: limits(endpoint).
    std::size_t allowed(core::EndpointId endpoint);
    void begin(core::EndpointId endpoint);
    // So many requests were sent without a moment: as many moments are not used. At most those of a second are owed.
    void charge(core::EndpointId endpoint, int requests);
    // `waiting` deliveries wait for the endpoint. If it has no unused moments, the next reserve_wanted() reserves moments for
    // them.
    void want(core::EndpointId endpoint, std::size_t waiting);
    void reserve_wanted();

private:
    struct Limited {
        int rate = 1;
        core::MonoTime next{};   // the first moment that is not used
        int left = 0;            // moments that are not used
        std::size_t wanted = 0;  // deliveries that waited at the last want()
        int owed = 0;            // moments that are to remain unused
        bool reserving = false;
        int reserved_rate = 0;  // of the last reservation
        std::chrono::microseconds spacing() const { return std::chrono::microseconds(1'000'000 / rate); }
    };
    void drop_missed(Limited& one) const;
    static void pay(Limited& one);
    void await(core::EndpointId endpoint, const Limited& one);
    void start_timer();
    void on_reserved(const std::vector<RateRequest>& requests, const core::Result<std::vector<RateGrant>>& grants);
    void apply(const std::vector<RateGrant>& grants);
    void ask_again(const std::vector<core::EndpointId>& endpoints);
    void on_timer();

    RateLimitStore& store_;
    const core::Clock& clock_;
    EngineObserver& observer_;
    std::function<void(const std::vector<core::EndpointId>&)> on_moments_;
    std::unique_ptr<loop::Timer> moment_timer_;
    std::unique_ptr<loop::Timer> retry_timer_;
    std::unique_ptr<loop::Timer> locked_timer_;
    std::unordered_map<core::EndpointId, Limited> limited_;
    std::set<std::pair<core::MonoTime, core::EndpointId>> moments_;  // the next one of each endpoint that waits for it
    std::set<core::EndpointId> wanting_;                             // the next reservation is for these endpoints
    std::vector<core::EndpointId> locked_;                           // nothing could be reserved for them
    bool reserving_ = false;                                         // one statement is under way at a time
};

}  // namespace messaging::engine
