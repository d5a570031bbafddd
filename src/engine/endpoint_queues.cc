// Round robin between endpoints that can start something.
#include "engine/endpoint_queues.h"

#include <utility>

namespace messaging::engine {

void EndpointQueues::offer_turn(core::EndpointId endpoint, EndpointQueue& queue) {
    if (queue.in_turn || queue.waiting.empty() || queue.in_flight >= queue.max_in_flight) return;
    queue.in_turn = true;
    turns_.push_back(endpoint);
}

void EndpointQueues::set_max_in_flight(core::EndpointId endpoint, std::size_t limit) {
    EndpointQueue& queue = queues_[endpoint];
    queue.max_in_flight = limit;
    offer_turn(endpoint, queue);
}

void EndpointQueues::push(core::Delivery delivery) {
    const core::EndpointId endpoint = delivery.endpoint_id;
    EndpointQueue& queue = queues_[endpoint];
    queue.waiting.push_back(std::move(delivery));
    ++waiting_;
    offer_turn(endpoint, queue);
}

std::optional<core::Delivery> EndpointQueues::next_startable() {
    while (in_flight_ < max_in_flight_ && !turns_.empty()) {
        const core::EndpointId endpoint = turns_.front();
        turns_.pop_front();
        EndpointQueue& queue = queues_[endpoint];
        queue.in_turn = false;
        if (queue.waiting.empty() || queue.in_flight >= queue.max_in_flight)
            continue;  // its queue was taken, or its limit lowered
        core::Delivery delivery = std::move(queue.waiting.front());
        queue.waiting.pop_front();
        --waiting_;
        ++queue.in_flight;
        ++in_flight_;
        offer_turn(endpoint, queue);
        return delivery;
    }
    return std::nullopt;
}

void EndpointQueues::finished(core::EndpointId endpoint) {
    EndpointQueue& queue = queues_[endpoint];
    --queue.in_flight;
    --in_flight_;
    ++queue.finished;
    offer_turn(endpoint, queue);
}

std::vector<core::Delivery> EndpointQueues::take_waiting() {
    return take_waiting([](const core::Delivery&) { return true; });
}

std::vector<core::Delivery> EndpointQueues::take_waiting(const std::function<bool(const core::Delivery&)>& match) {
    std::vector<core::Delivery> taken;
    for (auto& [endpoint, queue] : queues_) {
        std::deque<core::Delivery> kept;
        for (core::Delivery& delivery : queue.waiting) {
            if (match(delivery)) {
                taken.push_back(std::move(delivery));
            } else {
                kept.push_back(std::move(delivery));
            }
        }
        queue.waiting = std::move(kept);
    }
    waiting_ -= taken.size();
    return taken;
}

std::vector<core::MessageId> EndpointQueues::waiting_messages() const {
    std::vector<core::MessageId> ids;
    ids.reserve(waiting_);
    for (const auto& [endpoint, queue] : queues_) {
        for (const core::Delivery& delivery : queue.waiting) ids.push_back(delivery.id);
    }
    return ids;
}

void EndpointQueues::measure(double interval_seconds, double horizon_seconds) {
    for (auto& [endpoint, queue] : queues_) {
        queue.rate = static_cast<double>(queue.finished) / interval_seconds;
        queue.finished = 0;
        queue.backed_up =
            queue.in_flight >= queue.max_in_flight && static_cast<double>(queue.waiting.size()) > queue.rate * horizon_seconds;
    }
}

bool EndpointQueues::backed_up(core::EndpointId endpoint) const {
    const auto queue = queues_.find(endpoint);
    return queue != queues_.end() && queue->second.backed_up;
}

double EndpointQueues::rate(core::EndpointId endpoint) const {
    const auto queue = queues_.find(endpoint);
    return queue == queues_.end() ? 0 : queue->second.rate;
}

std::size_t EndpointQueues::waiting(core::EndpointId endpoint) const {
    const auto queue = queues_.find(endpoint);
    return queue == queues_.end() ? 0 : queue->second.waiting.size();
}

std::size_t EndpointQueues::waiting_moving() const {
    std::size_t sum = 0;
    for (const auto& [endpoint, queue] : queues_) {
        if (!queue.backed_up) sum += queue.waiting.size();
    }
    return sum;
}

}  // namespace messaging::engine
