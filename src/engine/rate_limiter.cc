// Reserves moments, waits for them, and drops those that were missed.
#include "engine/rate_limiter.h"

#include <algorithm>
#include <cassert>
#include <unordered_set>

namespace messaging::engine {

RateLimiter::RateLimiter(RateLimitStore& store, loop::TimerFactory& timers, const core::Clock& clock, EngineObserver& observer,
                         std::function<void(const std::vector<core::EndpointId>&)> on_moments)
    : store_(store),
      clock_(clock),
      observer_(observer),
      on_moments_(std::move(on_moments)),
      moment_timer_(timers.make_timer([this] { on_timer(); })),
      retry_timer_(timers.make_timer([this] { reserve_wanted(); })),
      locked_timer_(timers.make_timer([this] { ask_again(std::exchange(locked_, {})); })) {}

void RateLimiter::set_rate(core::EndpointId endpoint, std::optional<int> rate) {
    if (rate) {
        Limited& one = limited_[endpoint];
        if (one.rate != *rate) one.left = 0;  // the reserved moments have the spacing of the former rate
        one.rate = std::max(1, *rate);
    } else {
        limited_.erase(endpoint);
    }
}

void RateLimiter::drop_missed(Limited& one) const {
    const auto late = clock_.mono() - kReservedAhead - one.next;
    if (one.left == 0 || late < core::MonoTime::duration(0)) return;
    const auto missed = std::min<std::int64_t>(one.left, 1 + late / one.spacing());
    one.left -= static_cast<int>(missed);
    one.next += missed * one.spacing();
}

std::size_t RateLimiter::allowed(core::EndpointId endpoint) {
    Limited& one = limited_[endpoint];
    drop_missed(one);
    const core::MonoTime now = clock_.mono();
    if (one.left == 0 || now < one.next) return 0;
    return static_cast<std::size_t>(std::min<std::int64_t>(one.left, 1 + (now - one.next) / one.spacing()));
}

void RateLimiter::begin(core::EndpointId endpoint) {
    Limited& one = limited_[endpoint];
    assert(one.left > 0);
    --one.left;
    one.next += one.spacing();
}

void RateLimiter::charge(core::EndpointId endpoint, int requests) {
    Limited& one = limited_[endpoint];
    one.owed = std::min(one.rate, one.owed + requests);
    pay(one);
}

void RateLimiter::pay(Limited& one) {
    const int paid = std::min(one.owed, one.left);
    one.owed -= paid;
    one.left -= paid;
    one.next += paid * one.spacing();
}

void RateLimiter::want(core::EndpointId endpoint, std::size_t waiting) {
    Limited& one = limited_[endpoint];
    one.wanted = waiting;
    drop_missed(one);
    if (waiting == 0) return;
    if (one.left > 0) {
        await(endpoint, one);
    } else if (!one.reserving) {
        one.reserving = true;
        wanting_.insert(endpoint);
    }
}

void RateLimiter::await(core::EndpointId endpoint, const Limited& one) {
    moments_.emplace(one.next, endpoint);
    if (moments_.begin()->second != endpoint && moment_timer_->armed()) return;  // an earlier one is awaited
    start_timer();
}

void RateLimiter::start_timer() {
    const auto wait = std::max(core::MonoTime::duration(0), moments_.begin()->first - clock_.mono());
    moment_timer_->start(std::chrono::ceil<std::chrono::milliseconds>(wait));
}

void RateLimiter::on_timer() {
    std::vector<core::EndpointId> reached;
    while (!moments_.empty() && moments_.begin()->first <= clock_.mono()) {
        reached.push_back(moments_.begin()->second);
        moments_.erase(moments_.begin());
    }
    std::erase_if(reached, [this](core::EndpointId endpoint) { return !limits(endpoint); });
    if (!moments_.empty()) start_timer();
    if (!reached.empty()) on_moments_(reached);
}

void RateLimiter::reserve_wanted() {
    if (wanting_.empty() || reserving_ || retry_timer_->armed()) return;
    std::vector<RateRequest> requests;
    while (!wanting_.empty() && requests.size() < kMaxReservations) {
        const core::EndpointId endpoint = wanting_.extract(wanting_.begin()).value();
        const auto one = limited_.find(endpoint);
        if (one == limited_.end()) continue;  // its limit was removed
        const auto ahead =
            static_cast<std::size_t>(std::max<std::int64_t>(1, one->second.rate * kReservedAhead / std::chrono::seconds(1)));
        one->second.reserved_rate = one->second.rate;
        const std::size_t wanted = one->second.wanted + static_cast<std::size_t>(one->second.owed);
        requests.push_back({endpoint, one->second.rate, static_cast<int>(std::min(ahead, wanted))});
    }
    if (requests.empty()) return;
    auto answered = [this, requests](const core::Result<std::vector<RateGrant>>& grants) { on_reserved(requests, grants); };
    reserving_ = true;
    store_.reserve(std::move(requests), std::move(answered));
}

void RateLimiter::on_reserved(const std::vector<RateRequest>& requests, const core::Result<std::vector<RateGrant>>& grants) {
    reserving_ = false;
    report(observer_, kRateLimitOperation, grants);
    std::unordered_set<core::EndpointId> granted;
    if (grants) {
        for (const RateGrant& grant : grants.value()) granted.insert(grant.endpoint);
    }
    std::vector<core::EndpointId> answered;
    for (const RateRequest& request : requests) {
        const bool is_locked = grants && !granted.contains(request.endpoint);
        (is_locked ? locked_ : answered).push_back(request.endpoint);
    }
    if (!locked_.empty() && !locked_timer_->armed()) locked_timer_->start(kLockedRateRetry);
    if (grants) {
        apply(grants.value());
    } else {
        retry_timer_->start(kReserveRetry);
    }
    ask_again(answered);
}

void RateLimiter::apply(const std::vector<RateGrant>& grants) {
    for (const RateGrant& grant : grants) {
        const auto one = limited_.find(grant.endpoint);
        if (one == limited_.end() || one->second.rate != one->second.reserved_rate) continue;
        one->second.next = clock_.mono() + grant.begins_in;
        one->second.left = grant.count;
        pay(one->second);
    }
}

void RateLimiter::ask_again(const std::vector<core::EndpointId>& endpoints) {
    std::vector<core::EndpointId> still_limited;
    for (const core::EndpointId endpoint : endpoints) {
        const auto one = limited_.find(endpoint);
        if (one == limited_.end()) continue;
        one->second.reserving = false;
        still_limited.push_back(endpoint);
    }
    on_moments_(still_limited);
    reserve_wanted();
}

}  // namespace messaging::engine
