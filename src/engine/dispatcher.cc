// Starting requests, classifying their answers, and deferring what cannot start.
#include "engine/dispatcher.h"

#include <algorithm>
#include <utility>

#include "core/jitter.h"

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kMeasurePeriod{100};
// Starting requests counts as recovered after this long without a failure.
constexpr std::chrono::milliseconds kFaultMemory{1000};
constexpr std::chrono::milliseconds kOpeningPeriod{100};  // between two checks of all gates
constexpr std::chrono::milliseconds kUnknownEndpointWait{5000};
constexpr std::chrono::hours kAnswerMemory{1};

Ended ended(const core::AttemptResult& result) {
    switch (result.fault) {
        case core::AttemptFault::kNone: return core::is_overload(result) ? Ended::kOverloaded : Ended::kAnswered;
        case core::AttemptFault::kLocal: return Ended::kUntried;
        default: return Ended::kUnanswered;
    }
}

}  // namespace

Dispatcher::Dispatcher(Sender& sender, RateLimitStore& rates, loop::TimerFactory& timers, const core::Clock& clock,
                       core::Random& random, EngineObserver& observer, DispatcherOptions options, Mediator mediator)
    : sender_(sender),
      clock_(clock),
      random_(random),
      observer_(observer),
      options_(options),
      mediator_(std::move(mediator)),
      queues_(options_.max_in_flight),
      gates_(options_.breaker),
      degradations_(observer, options_.breaker.longest_pause),
      limiter_(rates, timers, clock, observer, [this](const auto& endpoints) { on_moments(endpoints); }),
      measure_timer_(timers.make_timer([this] { measure(); })),
      fault_timer_(timers.make_timer([this] { degradations_.starting_is_possible(); })),
      gate_timer_(timers.make_timer([this] { open_gates(); })) {}

void Dispatcher::set_endpoints(const std::vector<core::Endpoint>& endpoints) {
    const auto former = std::exchange(endpoints_, {});
    unusable_.clear();
    for (const core::Endpoint& read : endpoints) {
        const auto before = former.find(read.id);
        core::Endpoint endpoint = read;
        // What was read before stays in force, as long as it can be used.
        if (!read.unusable.empty() && before != former.end()) {
            endpoint = before->second;
            endpoint.state = read.state;
            if (endpoint.url == read.url) endpoint.version = read.version;  // what is found of it concerns the endpoint as it is
        }
        if (!endpoint.unusable.empty()) unusable_.push_back(endpoint.id);
        const bool held = core::is_sent_from_hold(endpoint.state);
        queues_.set_max_in_flight(endpoint.id, static_cast<std::size_t>(std::max(1, endpoint.max_in_flight)));
        set_rate(endpoint.id, endpoint.rate_limit);
        const bool was_held = before != former.end() && core::is_sent_from_hold(before->second.state);
        if (held != was_held) queues_.set_held(endpoint.id, held);  // hold() may be ahead of what was read
        if (held && before == former.end()) queues_.expect_silence(endpoint.id);
        follow_state(read, before == former.end() ? nullptr : &before->second);
        degradations_.endpoint_was_read(endpoint, read.unusable);
        endpoints_.emplace(endpoint.id, std::move(endpoint));
    }
    for (const auto& [id, endpoint] : former) {
        const auto now = endpoints_.find(id);
        if (now == endpoints_.end() || now->second.name != endpoint.name) degradations_.endpoint_is_gone(endpoint.name);
        if (now == endpoints_.end()) {
            set_rate(id, std::nullopt);
            gates_.forget(id);
            update_gate(id);
            queues_.forget_if_idle(id);
        }
    }
    hold_for_kept_back();
    pump();
}

// The state as it was read may be older than what this engine has found since, or its finding may be lost. A finding that is
// reported again changes nothing.
void Dispatcher::follow_state(const core::Endpoint& read, const core::Endpoint* before) {
    const bool failing = read.state == core::EndpointState::kFailing;
    const bool was_failing = before != nullptr && before->state == core::EndpointState::kFailing;
    const bool disabled = read.state == core::EndpointState::kDisabled;
    const bool moved = before != nullptr && before->url != read.url;
    if (moved && !failing) gates_.forget(read.id);  // what failed was the former URL
    auto found = gates_.failing(read.id, clock_.mono());
    if (disabled) {
        gates_.forget(read.id);  // enabled, it is tried as any other
    } else if (failing && !was_failing) {
        gates_.open_breaker(read.id, clock_.mono());
    } else if (!failing && was_failing) {
        gates_.recover_elsewhere(read.id, clock_.mono());
    } else if (failing && !gates_.is_open(read.id)) {
        mediator_.on_finding({read.id, Finding::kRecovered, "", read.version});
    } else if (!failing && found) {
        found->version = read.version;
        mediator_.on_finding(std::move(*found));
    }
    update_gate(read.id);
}

bool Dispatcher::is_kept_back(core::EndpointId id) const {
    const auto endpoint = endpoints_.find(id);
    return endpoint != endpoints_.end() &&
           (endpoint->second.state == core::EndpointState::kDisabled || !endpoint->second.unusable.empty());
}

// Moves to the hold the deliveries that were claimed before their endpoint was disabled or became unusable, and that were not
// started.
void Dispatcher::hold_for_kept_back() {
    const auto kept = queues_.take_waiting([this](const core::Delivery& delivery) { return is_kept_back(delivery.endpoint_id); });
    for (const core::Delivery& delivery : kept) hold(delivery);
}

void Dispatcher::add(std::vector<core::Delivery> deliveries) {
    for (core::Delivery& delivery : deliveries) {
        const core::EndpointId endpoint = delivery.endpoint_id;
        if (!knows(endpoint)) {
            defer(delivery, "the endpoint is not known yet");
        } else if (is_kept_back(endpoint) || (may_hold() && !queues_.takes(endpoint, max_for_one()))) {
            hold(delivery);
        } else {
            delivery.claimed = clock_.mono();
            queues_.push(std::move(delivery));
            update_budget(endpoint);
        }
    }
    pump();
    start_measuring();
}

std::size_t Dispatcher::capacity() const {
    if (is_full()) return 0;
    const std::size_t waiting = may_hold() ? queues_.waiting_counted() : queues_.waiting();
    // No capacity while more than half is used: so claims stay large, and enough waits until the next claim is answered.
    return waiting > options_.prefetch_limit / 2 ? 0 : options_.prefetch_limit - waiting;
}

// Deliveries of one endpoint that may wait in memory. A burst for one fast endpoint leaves the rest to the others.
std::size_t Dispatcher::max_for_one() const { return options_.prefetch_limit / 4; }

std::size_t Dispatcher::max_held() const {
    return std::max<std::size_t>(kFirstLimit, options_.prefetch_limit / (2 * std::max<std::size_t>(2, queues_.active())));
}

std::vector<core::EndpointCapacity> Dispatcher::held_capacities() const {
    if (is_full()) return {};
    std::vector<core::EndpointCapacity> capacities;
    for (const core::EndpointId id : unusable_)
        capacities.push_back({id, 0});  // if an endpoint is listed twice, the smaller capacity counts
    for (core::EndpointCapacity capacity : queues_.capacities(max_held())) {
        capacity.newest_first = gates_.tries_newest(capacity.endpoint);
        capacities.push_back(capacity);
    }
    return capacities;
}

int Dispatcher::other_held_capacity() const { return is_full() ? 0 : static_cast<int>(kFirstLimit); }

std::vector<EndpointFigures> Dispatcher::take_figures() {
    auto figures = figures_.take();
    for (EndpointFigures& one : figures) {
        if (const auto endpoint = endpoints_.find(one.endpoint); endpoint != endpoints_.end()) one.name = endpoint->second.name;
    }
    return figures;
}

// Not at once when an outage has ended: the endpoints have not been tried again yet.
bool Dispatcher::receivers_answer() const {
    return last_answer_ && clock_.mono() - *last_answer_ < kAnswerMemory && *last_answer_ - answering_since_ >= kAnswerMemory;
}

void Dispatcher::note_answer() {
    const core::MonoTime now = clock_.mono();
    if (!last_answer_ || now - *last_answer_ >= kAnswerMemory) answering_since_ = now;
    last_answer_ = now;
}

void Dispatcher::set_paused(bool paused) {
    paused_ = paused;
    pump();
}

std::vector<core::MessageId> Dispatcher::messages_in_memory() const {
    std::vector<core::MessageId> ids = queues_.waiting_messages();
    ids.reserve(ids.size() + flights_.size());
    for (const auto& [flight_id, flight] : flights_) ids.push_back(flight.id);
    return ids;
}

void Dispatcher::release_waiting() { release(queues_.take_waiting()); }

void Dispatcher::release_in_flight() {
    std::vector<core::Delivery> deliveries;
    for (auto& [flight_id, flight] : std::exchange(flights_, {})) {
        queues_.finished(flight.endpoint_id, Ended::kUntried, {}, size_of(flight));
        deliveries.push_back(std::move(flight));
    }
    release(deliveries);
}

void Dispatcher::release(const std::vector<core::Delivery>& deliveries) {
    for (const core::Delivery& delivery : deliveries) {
        leave(core::uncounted(delivery, core::OutcomeKind::kReleased));
    }
    observer_.on_in_flight(queues_.in_flight(), queues_.waiting());
}

void Dispatcher::drop_waiting_unless(const std::function<bool(core::ClaimId)>& still_ours) {
    queues_.take_waiting([&](const core::Delivery& delivery) { return !still_ours(delivery.claim_id); });
}

void Dispatcher::defer(const core::Delivery& delivery, const char* why) {
    core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kDeferred);
    outcome.delay = core::jittered(kUnknownEndpointWait, 0.5, 1.5, random_);
    outcome.error = why;
    leave(std::move(outcome));
}

void Dispatcher::hold(const core::Delivery& delivery) {
    queues_.set_held(delivery.endpoint_id, true);
    leave(core::uncounted(delivery, core::OutcomeKind::kHeld));
}

// Silent endpoints have a budget of their own, where what waits for them can be held.
bool Dispatcher::is_full() const { return queues_.bytes() - (may_hold() ? queues_.silent_bytes() : 0) >= kMaxBytesInMemory; }

void Dispatcher::leave(core::Outcome outcome) {
    observer_.on_outcome(outcome);
    mediator_.on_outcome(std::move(outcome));
}

void Dispatcher::pump() {
    if (pumping_) return;  // a sender that refuses at once must not grow the stack
    pumping_ = true;
    update_budgets();
    while (!paused_) {
        auto delivery = queues_.next_startable();
        if (!delivery) break;
        const auto endpoint = endpoints_.find(delivery->endpoint_id);
        if (endpoint == endpoints_.end()) {  // removed while it waited
            queues_.finished(delivery->endpoint_id, Ended::kUntried, {}, size_of(*delivery));
            defer(*delivery, "the endpoint was removed");
            continue;
        }
        if (limiter_.limits(endpoint->first)) {
            limiter_.begin(endpoint->first);
            update_budget(endpoint->first);
        }
        delivery->endpoint_version = endpoint->second.version;
        const std::uint64_t flight_id = next_flight_++;
        const auto flight = flights_.emplace(flight_id, std::move(*delivery)).first;
        sender_.start_attempt(flight->second, endpoint->second,
                              [this, flight_id](const core::AttemptResult& result) { on_answer(flight_id, result); });
    }
    pumping_ = false;
    limiter_.reserve_wanted();
    observer_.on_in_flight(queues_.in_flight(), queues_.waiting());
}

core::OutcomePolicy Dispatcher::policy_for(core::EndpointId id) const {
    core::OutcomePolicy policy = options_.outcomes;
    const auto endpoint = endpoints_.find(id);
    if (endpoint != endpoints_.end()) {
        policy.backoff.max_attempts = endpoint->second.max_attempts.value_or(policy.backoff.max_attempts);
    }
    return policy;
}

void Dispatcher::on_answer(std::uint64_t flight_id, const core::AttemptResult& result) {
    const auto flight = flights_.extract(flight_id);
    if (flight.empty()) return;  // released at the end of a shutdown
    const core::Delivery& delivery = flight.mapped();
    queues_.finished(delivery.endpoint_id, ended(result), result.duration, size_of(delivery));
    observer_.on_attempt(result);
    if (result.fault == core::AttemptFault::kLocal) on_local_fault(result.detail);
    if (result.fault == core::AttemptFault::kNone) note_answer();
    if (result.repeats > 0 && limiter_.limits(delivery.endpoint_id)) limiter_.charge(delivery.endpoint_id, result.repeats);
    judge(delivery, result);
    update_budget(delivery.endpoint_id);
    core::Outcome outcome = core::classify_attempt(policy_for(delivery.endpoint_id), delivery, result, clock_.wall(), random_);
    if (core::is_counted(outcome.kind)) figures_.count(delivery.endpoint_id, outcome);
    if (outcome.kind == core::OutcomeKind::kDelivered) {
        const std::chrono::duration<double> here = clock_.mono() - delivery.claimed;
        observer_.on_delivered(delivery.age_seconds + here.count());
    }
    leave(std::move(outcome));
    pump();
    mediator_.on_capacity();
    if (delivery.was_held && queues_.capacity(delivery.endpoint_id, max_held()) > 0) mediator_.on_held_capacity();
}

// An answer from where the endpoint was before somebody changed it says nothing of the endpoint as it is now.
void Dispatcher::judge(const core::Delivery& delivery, const core::AttemptResult& result) {
    const core::EndpointId id = delivery.endpoint_id;
    const auto endpoint = endpoints_.find(id);
    if (endpoint == endpoints_.end() || endpoint->second.version != delivery.endpoint_version) return;
    const bool had_none = gates_.empty();
    auto finding = gates_.on_attempt(id, result, clock_.mono(), clock_.wall(), random_);
    if (had_none && gates_.empty()) return;  // the usual case: no endpoint fails
    update_gate(id);
    if (!finding) return;
    finding->version = delivery.endpoint_version;
    if (finding->finding == Finding::kGone) on_gone(id);
    mediator_.on_finding(std::move(*finding));
}

void Dispatcher::on_gone(core::EndpointId id) {
    endpoints_.find(id)->second.state = core::EndpointState::kDisabled;
    gates_.forget(id);  // when somebody enables the endpoint, it begins without earlier failures
    update_gate(id);
    hold_for_kept_back();
}

void Dispatcher::set_rate(core::EndpointId id, std::optional<int> rate) {
    limiter_.set_rate(id, rate);
    queues_.set_rate(id, rate);
    budgeted_.erase(id);
    update_budget(id);
}

// Lets as many requests start as the endpoint's rate limit allows now, and asks for more.
void Dispatcher::update_budget(core::EndpointId id) {
    if (!limiter_.limits(id)) return;
    const std::size_t allowed = limiter_.allowed(id);
    queues_.set_budget(id, allowed);
    if (allowed > 0) {
        budgeted_.insert(id);
    } else {
        budgeted_.erase(id);
        const bool is_closed = gates_.most_in_flight(id, clock_.mono()) == 0;
        limiter_.want(id, is_closed ? 0 : queues_.waiting(id));
    }
}

// Moments of these endpoints may have been missed, while all slots were in use or the gates were closed.
void Dispatcher::update_budgets() {
    const std::vector<core::EndpointId> endpoints(budgeted_.begin(), budgeted_.end());
    for (const core::EndpointId id : endpoints) update_budget(id);
}

void Dispatcher::on_moments(const std::vector<core::EndpointId>& endpoints) {
    for (const core::EndpointId id : endpoints) update_budget(id);
    pump();
}

void Dispatcher::update_gate(core::EndpointId id) {
    queues_.set_gate_limit(id, gates_.most_in_flight(id, clock_.mono()));
    if (const auto opening = gates_.opening(id, clock_.mono())) await_opening(*opening, {});
}

void Dispatcher::await_opening(core::MonoTime at, std::chrono::milliseconds at_least) {
    if (gate_timer_->armed() && next_opening_ <= at) return;
    next_opening_ = at;
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(at - clock_.mono());
    gate_timer_->start(std::max(wait, at_least));
}

// Checks all gates, which takes time with many endpoints: so the next check comes kOpeningPeriod later at the earliest.
void Dispatcher::open_gates() {
    for (const core::EndpointId id : gates_.endpoints()) {
        queues_.set_gate_limit(id, gates_.most_in_flight(id, clock_.mono()));
        update_budget(id);
    }
    if (const auto next = gates_.next_opening(clock_.mono())) await_opening(*next, kOpeningPeriod);
    pump();
    mediator_.on_held_capacity();
}

void Dispatcher::start_measuring() {
    if (!measure_timer_->armed() && queues_.waiting() + queues_.in_flight() > 0) measure_timer_->start(kMeasurePeriod);
}

void Dispatcher::measure() {
    queues_.measure(kMeasurePeriod);
    if (may_hold()) {
        for (const core::Delivery& delivery : queues_.take_excess(max_for_one())) hold(delivery);
    }
    pump();
    start_measuring();
    mediator_.on_capacity();
}

void Dispatcher::on_local_fault(const std::string& detail) {
    degradations_.starting_has_failed(detail);
    fault_timer_->start(kFaultMemory);
}

}  // namespace messaging::engine
