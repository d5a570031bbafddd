// Round robin between endpoints that can start something.
#include "engine/endpoint_queues.h"

#include <utility>

namespace messaging::engine {

void EndpointQueues::offer_turn(core::EndpointId endpoint, Lane& lane) {
    if (lane.in_turn || lane.queue.empty() || lane.in_flight >= lane.cap) return;
    lane.in_turn = true;
    turns_.push_back(endpoint);
}

void EndpointQueues::set_cap(core::EndpointId endpoint, std::size_t cap) {
    Lane& lane = lanes_[endpoint];
    lane.cap = cap;
    offer_turn(endpoint, lane);
}

void EndpointQueues::push(core::Delivery delivery) {
    const core::EndpointId endpoint = delivery.endpoint_id;
    Lane& lane = lanes_[endpoint];
    lane.queue.push_back(std::move(delivery));
    ++waiting_;
    offer_turn(endpoint, lane);
}

std::optional<core::Delivery> EndpointQueues::next_startable() {
    while (in_flight_ < max_in_flight_ && !turns_.empty()) {
        const core::EndpointId endpoint = turns_.front();
        turns_.pop_front();
        Lane& lane = lanes_[endpoint];
        lane.in_turn = false;
        if (lane.queue.empty() || lane.in_flight >= lane.cap) continue;  // its queue was taken, or its cap lowered
        core::Delivery delivery = std::move(lane.queue.front());
        lane.queue.pop_front();
        --waiting_;
        ++lane.in_flight;
        ++in_flight_;
        offer_turn(endpoint, lane);
        return delivery;
    }
    return std::nullopt;
}

void EndpointQueues::finished(core::EndpointId endpoint) {
    Lane& lane = lanes_[endpoint];
    --lane.in_flight;
    --in_flight_;
    ++lane.finished;
    offer_turn(endpoint, lane);
}

std::vector<core::Delivery> EndpointQueues::take_waiting() {
    return take_waiting([](const core::Delivery&) { return true; });
}

std::vector<core::Delivery> EndpointQueues::take_waiting(const std::function<bool(const core::Delivery&)>& match) {
    std::vector<core::Delivery> taken;
    for (auto& [endpoint, lane] : lanes_) {
        std::deque<core::Delivery> kept;
        for (core::Delivery& delivery : lane.queue) {
            if (match(delivery)) {
                taken.push_back(std::move(delivery));
            } else {
                kept.push_back(std::move(delivery));
            }
        }
        lane.queue = std::move(kept);
    }
    waiting_ -= taken.size();
    return taken;
}

std::vector<core::MessageId> EndpointQueues::waiting_messages() const {
    std::vector<core::MessageId> ids;
    ids.reserve(waiting_);
    for (const auto& [endpoint, lane] : lanes_) {
        for (const core::Delivery& delivery : lane.queue) ids.push_back(delivery.id);
    }
    return ids;
}

void EndpointQueues::measure(double interval_seconds, double horizon_seconds) {
    for (auto& [endpoint, lane] : lanes_) {
        lane.rate = static_cast<double>(lane.finished) / interval_seconds;
        lane.finished = 0;
        lane.backed_up = lane.in_flight >= lane.cap && static_cast<double>(lane.queue.size()) > lane.rate * horizon_seconds;
    }
}

bool EndpointQueues::backed_up(core::EndpointId endpoint) const {
    const auto lane = lanes_.find(endpoint);
    return lane != lanes_.end() && lane->second.backed_up;
}

double EndpointQueues::rate(core::EndpointId endpoint) const {
    const auto lane = lanes_.find(endpoint);
    return lane == lanes_.end() ? 0 : lane->second.rate;
}

std::size_t EndpointQueues::waiting(core::EndpointId endpoint) const {
    const auto lane = lanes_.find(endpoint);
    return lane == lanes_.end() ? 0 : lane->second.queue.size();
}

std::size_t EndpointQueues::waiting_moving() const {
    std::size_t sum = 0;
    for (const auto& [endpoint, lane] : lanes_) {
        if (!lane.backed_up) sum += lane.queue.size();
    }
    return sum;
}

}  // namespace messaging::engine
