// Turns between endpoints, and how many requests each may have in flight.
#include "engine/endpoint_queues.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace messaging::engine {

EndpointQueues::EndpointQueue& EndpointQueues::queue_of(core::EndpointId endpoint) { return queues_[endpoint]; }

std::size_t EndpointQueues::share() const { return std::max<std::size_t>(1, slots_ / std::max<std::size_t>(1, active_)); }

std::list<core::EndpointId>& EndpointQueues::turns_for(const EndpointQueue& queue) {
    if (queue.silent) return silent_;
    return queue.in_flight < share() ? within_share_ : beyond_share_;
}

void EndpointQueues::update(core::EndpointId endpoint, EndpointQueue& queue) {
    const bool active = queue.in_flight > 0 || !queue.waiting.empty();
    if (active != queue.active) active_ += active ? 1 : std::size_t(-1);
    queue.active = active;
    std::list<core::EndpointId>* const turns = may_start(queue) ? &turns_for(queue) : nullptr;
    if (turns == queue.turns) return;
    if (queue.turns != nullptr) queue.turns->erase(queue.place);
    queue.turns = turns;
    if (turns != nullptr) queue.place = turns->insert(turns->end(), endpoint);
}

void EndpointQueues::set_max_in_flight(core::EndpointId endpoint, std::size_t max_in_flight) {
    EndpointQueue& queue = queue_of(endpoint);
    const bool known = queue.max_in_flight == max_in_flight;
    queue.max_in_flight = max_in_flight;
    if (!known) queue.limit = std::min(max_in_flight, std::max(queue.limit, kFirstLimit));
    update(endpoint, queue);
}

void EndpointQueues::push(core::Delivery delivery) {
    const core::EndpointId endpoint = delivery.endpoint_id;
    EndpointQueue& queue = queue_of(endpoint);
    queue.waiting.push_back(std::move(delivery));
    ++waiting_;
    update(endpoint, queue);
}

std::list<core::EndpointId>* EndpointQueues::next_turns() {
    const std::size_t silent_slots = active_ > 1 ? std::max<std::size_t>(1, slots_ / 2) : slots_;
    const bool may_silent = !silent_.empty() && silent_in_flight_ < silent_slots;
    if (may_silent && silent_is_next_) return &silent_;
    if (!within_share_.empty()) return &within_share_;
    if (!beyond_share_.empty() && slots_ - in_flight_ > slots_ / 4) return &beyond_share_;
    return may_silent ? &silent_ : nullptr;
}

std::optional<core::Delivery> EndpointQueues::next_startable() {
    while (in_flight_ < slots_) {
        std::list<core::EndpointId>* const turns = next_turns();
        if (turns == nullptr) return std::nullopt;
        const core::EndpointId endpoint = turns->front();
        EndpointQueue& queue = queues_[endpoint];
        if (&turns_for(queue) != turns && turns == &within_share_) {  // there are more endpoints now, and the shares are smaller
            update(endpoint, queue);
            continue;
        }
        core::Delivery delivery = std::move(queue.waiting.front());
        queue.waiting.pop_front();
        --waiting_;
        ++queue.in_flight;
        ++in_flight_;
        if (queue.silent) ++silent_in_flight_;
        silent_is_next_ = turns != &silent_;
        turns->erase(queue.place);  // its next turn is behind the others'
        queue.turns = nullptr;
        update(endpoint, queue);
        return delivery;
    }
    return std::nullopt;
}

void EndpointQueues::set_silent(EndpointQueue& queue, bool silent) {
    if (queue.silent == silent) return;
    queue.silent = silent;
    silent_in_flight_ += silent ? queue.in_flight : std::size_t(0) - queue.in_flight;
}

void EndpointQueues::adapt(EndpointQueue& queue, Ended how) {
    if (how == Ended::kUnanswered) {
        queue.limit = std::max<std::size_t>(1, queue.limit / 2);
        queue.slow_from = queue.limit;
        queue.growth = 0;
    }
    if (how != Ended::kAnswered || queue.in_flight < queue.limit || queue.limit >= queue.max_in_flight) return;
    const bool slowly = queue.slow_from > 0 && queue.limit >= queue.slow_from;
    if (slowly && ++queue.growth < queue.limit) return;
    queue.growth = 0;
    ++queue.limit;
}

void EndpointQueues::finished(core::EndpointId endpoint, Ended how) {
    EndpointQueue& queue = queue_of(endpoint);
    adapt(queue, how);
    if (how == Ended::kAnswered) ++queue.answers;
    if (how != Ended::kUntried) set_silent(queue, how == Ended::kUnanswered);
    if (queue.silent) --silent_in_flight_;
    --queue.in_flight;
    --in_flight_;
    update(endpoint, queue);
}

std::vector<core::Delivery> EndpointQueues::take_waiting() {
    return take_waiting([](const core::Delivery&) { return true; });
}

std::vector<core::Delivery> EndpointQueues::take_waiting(const std::function<bool(const core::Delivery&)>& match) {
    std::vector<core::Delivery> taken;
    for (auto& [endpoint, queue] : queues_) {
        const auto stays = [&](const core::Delivery& delivery) { return !match(delivery); };
        const auto first = std::stable_partition(queue.waiting.begin(), queue.waiting.end(), stays);
        std::move(first, queue.waiting.end(), std::back_inserter(taken));
        queue.waiting.erase(first, queue.waiting.end());
        update(endpoint, queue);
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
        queue.rate = static_cast<double>(queue.answers) / interval_seconds;
        queue.backed_up =
            queue.in_flight >= queue.limit && static_cast<double>(queue.waiting.size()) > queue.rate * horizon_seconds;
        if (queue.was_in_flight > 0 && queue.in_flight > 0 && queue.answers == 0) set_silent(queue, true);
        queue.was_in_flight = queue.in_flight;
        queue.answers = 0;
        update(endpoint, queue);
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

std::size_t EndpointQueues::limit(core::EndpointId endpoint) const {
    const auto queue = queues_.find(endpoint);
    return queue == queues_.end() ? 0 : queue->second.limit;
}

std::size_t EndpointQueues::waiting_moving() const {
    std::size_t sum = 0;
    for (const auto& [endpoint, queue] : queues_) {
        if (!queue.backed_up) sum += queue.waiting.size();
    }
    return sum;
}

}  // namespace messaging::engine
