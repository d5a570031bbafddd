// Starting requests, classifying their answers, and deferring what cannot start.
#include "engine/dispatcher.h"

#include <algorithm>
#include <utility>

#include "core/jitter.h"

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kMeasurePeriod{1000};
constexpr double kBackedUpSeconds = 2.0;  // what waits at an endpoint would need longer than this
// A message for such an endpoint is postponed until its turn may have come.
constexpr std::chrono::milliseconds kShedMin{1000};
constexpr std::chrono::milliseconds kShedMax{600000};
constexpr std::chrono::milliseconds kShedStalled{10000};  // nothing was answered in the last interval
constexpr std::chrono::milliseconds kUnknownEndpointWait{5000};

std::size_t size_of(const core::Delivery& delivery) { return delivery.content.size() + delivery.recipient.size(); }

Ended ended(core::AttemptFault fault) {
    switch (fault) {
        case core::AttemptFault::kNone: return Ended::kAnswered;
        case core::AttemptFault::kRemote: return Ended::kUnanswered;
        case core::AttemptFault::kLocal: break;
    }
    return Ended::kUntried;
}

std::string label(const core::Endpoint& endpoint) { return "endpoint " + endpoint.name; }

}  // namespace

Dispatcher::Dispatcher(Sender& sender, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
                       EngineObserver& observer, DispatcherOptions options, Mediator mediator)
    : sender_(sender),
      clock_(clock),
      random_(random),
      observer_(observer),
      options_(options),
      mediator_(std::move(mediator)),
      queues_(options_.max_in_flight),
      measure_timer_(timers.make_timer([this] { measure(); })) {
    measure_timer_->start(kMeasurePeriod);
}

void Dispatcher::set_endpoints(const std::vector<core::Endpoint>& endpoints) {
    const auto former = std::exchange(endpoints_, {});
    for (const core::Endpoint& endpoint : endpoints) {
        endpoints_.emplace(endpoint.id, endpoint);
        queues_.set_max_in_flight(endpoint.id, static_cast<std::size_t>(std::max(1, endpoint.max_in_flight)));
    }
    for (const auto& [id, endpoint] : former) {
        const auto now = endpoints_.find(id);
        if (now == endpoints_.end() || now->second.name != endpoint.name) tell(label(endpoint), "", false);
    }
    pump();
}

void Dispatcher::add(std::vector<core::Delivery> deliveries) {
    // With one endpoint no other message waits behind it, so nothing is postponed.
    const bool may_shed = endpoints_.size() > 1;
    for (core::Delivery& delivery : deliveries) {
        const core::EndpointId endpoint = delivery.endpoint_id;
        if (!knows(endpoint)) {
            defer(delivery, kUnknownEndpointWait, "the endpoint is not known yet");
        } else if (may_shed && queues_.backed_up(endpoint) && queues_.waiting(endpoint) >= options_.prefetch_limit / 4) {
            defer(delivery, turn_of(endpoint), "the endpoint is backed up");
        } else {
            delivery.claimed = clock_.mono();
            held_bytes_ += size_of(delivery);
            queues_.push(std::move(delivery));
        }
    }
    pump();
}

std::size_t Dispatcher::capacity() const {
    if (held_bytes_ >= kMaxHeldBytes) return 0;
    const std::size_t waiting = endpoints_.size() > 1 ? queues_.waiting_moving() : queues_.waiting();
    // Half full is full enough: claims stay large, and what waits outlasts the claim.
    return waiting > options_.prefetch_limit / 2 ? 0 : options_.prefetch_limit - waiting;
}

void Dispatcher::set_paused(bool paused) {
    paused_ = paused;
    pump();
}

std::vector<core::MessageId> Dispatcher::held_messages() const {
    std::vector<core::MessageId> ids = queues_.waiting_messages();
    ids.reserve(ids.size() + flights_.size());
    for (const auto& [flight_id, flight] : flights_) ids.push_back(flight.id);
    return ids;
}

void Dispatcher::release_waiting() { release(queues_.take_waiting()); }

void Dispatcher::release_in_flight() {
    std::vector<core::Delivery> deliveries;
    for (auto& [flight_id, flight] : std::exchange(flights_, {})) {
        queues_.finished(flight.endpoint_id, Ended::kUntried);
        deliveries.push_back(std::move(flight));
    }
    release(deliveries);
}

void Dispatcher::release(const std::vector<core::Delivery>& deliveries) {
    for (const core::Delivery& delivery : deliveries) {
        held_bytes_ -= size_of(delivery);
        core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kReleased);
        observer_.on_outcome(outcome);
        mediator_.on_outcome(std::move(outcome));
    }
    observer_.on_in_flight(queues_.in_flight(), queues_.waiting());
}

void Dispatcher::drop_waiting_unless(const std::function<bool(core::ClaimId)>& still_ours) {
    const auto dropped = queues_.take_waiting([&](const core::Delivery& delivery) { return !still_ours(delivery.claim_id); });
    for (const core::Delivery& delivery : dropped) held_bytes_ -= size_of(delivery);
}

std::chrono::milliseconds Dispatcher::turn_of(core::EndpointId endpoint) const {
    const double rate = queues_.rate(endpoint);
    if (rate <= 0) return kShedStalled;
    const std::chrono::duration<double> wait(static_cast<double>(queues_.waiting(endpoint)) / rate);
    return std::chrono::round<std::chrono::milliseconds>(std::clamp<std::chrono::duration<double>>(wait, kShedMin, kShedMax));
}

void Dispatcher::defer(const core::Delivery& delivery, std::chrono::milliseconds delay, const char* why) {
    core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kDeferred);
    outcome.delay = core::jittered(delay, 0.5, 1.5, random_);
    outcome.error = why;
    observer_.on_outcome(outcome);
    mediator_.on_outcome(std::move(outcome));
}

void Dispatcher::pump() {
    if (pumping_) return;  // a sender that refuses at once must not grow the stack
    pumping_ = true;
    while (!paused_) {
        auto delivery = queues_.next_startable();
        if (!delivery) break;
        const auto endpoint = endpoints_.find(delivery->endpoint_id);
        if (endpoint == endpoints_.end()) {  // removed while it waited
            queues_.finished(delivery->endpoint_id, Ended::kUntried);
            held_bytes_ -= size_of(*delivery);
            defer(*delivery, kUnknownEndpointWait, "the endpoint was removed");
            continue;
        }
        const std::uint64_t flight_id = next_flight_++;
        const auto flight = flights_.emplace(flight_id, std::move(*delivery)).first;
        sender_.start_attempt(flight->second, endpoint->second,
                              [this, flight_id](const core::AttemptResult& result) { on_answer(flight_id, result); });
    }
    pumping_ = false;
    observer_.on_in_flight(queues_.in_flight(), queues_.waiting());
}

void Dispatcher::on_answer(std::uint64_t flight_id, const core::AttemptResult& result) {
    const auto flight = flights_.extract(flight_id);
    if (flight.empty()) return;  // released at the end of a shutdown
    const core::Delivery& delivery = flight.mapped();
    queues_.finished(delivery.endpoint_id, ended(result.fault));
    held_bytes_ -= size_of(delivery);
    if (result.fault == core::AttemptFault::kLocal) local_fault_ = result.detail;
    core::Outcome outcome = core::classify_attempt(options_.outcomes, delivery, result, clock_.wall(), random_);
    observer_.on_outcome(outcome);
    if (outcome.kind == core::OutcomeKind::kDelivered) {
        const std::chrono::duration<double> here = clock_.mono() - delivery.claimed;
        observer_.on_delivered(delivery.age_seconds + here.count());
    }
    mediator_.on_outcome(std::move(outcome));
    pump();
    mediator_.on_capacity();
}

void Dispatcher::tell(const std::string& what, const std::string& reason, bool degraded) {
    if (degraded && degraded_.insert(what).second) observer_.on_degraded(what, reason);
    if (!degraded && degraded_.erase(what) > 0) observer_.on_recovered(what);
}

void Dispatcher::measure() {
    measure_timer_->start(kMeasurePeriod);
    queues_.measure(std::chrono::duration<double>(kMeasurePeriod).count(), kBackedUpSeconds);
    for (const auto& [id, endpoint] : endpoints_) {
        tell(label(endpoint),
             "slower than its incoming messages; messages that it cannot take soon are postponed, and other endpoints are not "
             "affected",
             queues_.backed_up(id));
    }
    const std::string fault = std::exchange(local_fault_, {});
    tell("starting requests", fault + "; requests that could not be started are postponed, and no attempt is used",
         !fault.empty());
    mediator_.on_capacity();
}

}  // namespace messaging::engine
