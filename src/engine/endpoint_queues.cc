// The turns of the endpoints, and their limits of requests in flight.
#include "engine/endpoint_queues.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace messaging::engine {
namespace {

constexpr int kDurationMemory = 8;  // each duration moves the average by an eighth

std::size_t beyond(std::size_t number, std::size_t used) { return number - std::min(number, used); }

// How many may be on their way at once: the fewer, the less is left; one for each part of `each`, and for the rest.
std::size_t at_once(std::size_t left, std::size_t each) { return (left + each - 1) / each; }

void replace(std::size_t& sum, std::size_t& part, std::size_t now) {
    sum += now - part;
    part = now;
}

}  // namespace

std::size_t size_of(const core::Delivery& delivery) {
    return sizeof(delivery) + delivery.content.size() + delivery.recipient.size();
}

const EndpointQueues::EndpointQueue* EndpointQueues::find(core::EndpointId endpoint) const {
    const auto queue = queues_.find(endpoint);
    return queue == queues_.end() ? nullptr : &queue->second;
}

std::size_t EndpointQueues::share() const { return std::max<std::size_t>(1, slots_ / std::max<std::size_t>(1, answering_)); }

std::list<core::EndpointId>& EndpointQueues::turns_for(const EndpointQueue& queue) {
    if (queue.silent) return is_first(queue) ? untried_ : silent_;
    if (queue.in_flight >= share()) return beyond_share_;
    return crowded_ && is_proven(queue) ? proven_ : within_share_;
}

void EndpointQueues::update_listing(core::EndpointId endpoint, EndpointQueue& queue) {
    const bool listed = queue.active || queue.held;
    if (listed == queue.listed) return;
    queue.listed = listed;
    if (listed) {
        queue.list_place = listed_.insert(listed_.end(), endpoint);
    } else {
        listed_.erase(queue.list_place);
    }
}

template <typename Function>
void EndpointQueues::for_each_listed(Function function) {
    for (auto next = listed_.begin(); next != listed_.end();) {
        const core::EndpointId endpoint = *next++;
        function(endpoint, queues_[endpoint]);
    }
}

void EndpointQueues::update(core::EndpointId endpoint, EndpointQueue& queue) {
    const bool active = queue.in_flight > 0 || !queue.waiting.empty();
    if (active != queue.active) active_ += active ? 1 : std::size_t(-1);
    queue.active = active;
    update_listing(endpoint, queue);
    replace(answering_, queue.answering, active && !queue.silent ? 1 : 0);
    replace(counted_, queue.counted, queue.silent ? 0 : queue.waiting.size() - queue.was_held);
    replace(silent_waiting_, queue.silent_waiting, queue.silent ? queue.waiting.size() : 0);
    replace(silent_bytes_, queue.silent_bytes, queue.silent ? queue.bytes : 0);
    if (is_proven(queue)) replace(proven_in_flight_, queue.proven_in_flight, queue.in_flight);
    std::list<core::EndpointId>* const turns = may_start(queue) ? &turns_for(queue) : nullptr;
    if (turns == queue.turns) return;
    if (queue.turns != nullptr) queue.turns->erase(queue.place);
    queue.turns = turns;
    if (turns != nullptr) queue.place = turns->insert(turns->end(), endpoint);
}

void EndpointQueues::set_max_in_flight(core::EndpointId endpoint, std::size_t max_in_flight) {
    EndpointQueue& queue = queues_[endpoint];
    const bool known = queue.max_in_flight == max_in_flight;
    queue.max_in_flight = max_in_flight;
    if (!known) queue.limit = std::min(max_in_flight, std::max(queue.limit, kFirstLimit));
    update(endpoint, queue);
}

void EndpointQueues::set_held(core::EndpointId endpoint, bool held) {
    EndpointQueue& queue = queues_[endpoint];
    queue.held = held;
    update_listing(endpoint, queue);
}

void EndpointQueues::set_gate_limit(core::EndpointId endpoint, std::size_t limit) {
    EndpointQueue& queue = queues_[endpoint];
    if (queue.gate_limit == limit) return;
    queue.gate_limit = limit;
    update(endpoint, queue);
}

void EndpointQueues::set_rate(core::EndpointId endpoint, std::optional<int> rate) {
    EndpointQueue& queue = queues_[endpoint];
    const std::size_t now = rate ? static_cast<std::size_t>(*rate) : kNoGate;
    if (queue.rate == now) return;
    queue.rate = now;
    queue.budget = rate ? 0 : kNoGate;
    update(endpoint, queue);
}

void EndpointQueues::set_budget(core::EndpointId endpoint, std::size_t budget) {
    EndpointQueue& queue = queues_[endpoint];
    queue.budget = budget;
    update(endpoint, queue);
}

void EndpointQueues::expect_silence(core::EndpointId endpoint) {
    EndpointQueue& queue = queues_[endpoint];
    set_tried(queue);
    update(endpoint, queue);
}

void EndpointQueues::forget_if_idle(core::EndpointId endpoint) {
    const EndpointQueue* const queue = find(endpoint);
    if (queue == nullptr || queue->active) return;
    set_held(endpoint, false);
    queues_.erase(endpoint);
}

void EndpointQueues::push(core::Delivery delivery) {
    const core::EndpointId endpoint = delivery.endpoint_id;
    EndpointQueue& queue = queues_[endpoint];
    if (delivery.was_held) ++queue.was_held;
    queue.bytes += size_of(delivery);
    bytes_ += size_of(delivery);
    queue.waiting.push_back(std::move(delivery));
    ++waiting_;
    update(endpoint, queue);
}

std::size_t EndpointQueues::silent_slots() const { return active_ > 1 ? std::max<std::size_t>(1, slots_ / 2) : slots_; }

std::size_t EndpointQueues::silent_capacity() const { return beyond(silent_slots(), silent_in_flight_); }

std::size_t EndpointQueues::untried_capacity() const {
    if (silent_capacity() > 0) return silent_capacity();
    const std::size_t at_least = std::min<std::size_t>(1, beyond(slots_ - slots_ / 8, silent_in_flight_));
    const std::size_t left = std::max(at_least, beyond(slots_ - slots_ / 4, silent_in_flight_));
    const std::size_t each = std::max<std::size_t>(1, slots_ / 16);
    return beyond(at_once(left, each), untried_in_flight_);
}

std::size_t EndpointQueues::last_slots() const { return active_ > 1 ? slots_ / 32 * 2 : 0; }

std::size_t EndpointQueues::free_for_trials() const { return beyond(slots_ - last_slots() / 2, in_flight_ - proven_in_flight_); }

bool EndpointQueues::may_try() const {
    const std::size_t each = std::max<std::size_t>(1, last_slots() / 8);
    return on_trial_ < at_once(free_for_trials(), each);
}

void EndpointQueues::update_crowding() {
    const std::size_t from = crowded_ ? slots_ / 2 : slots_ - last_slots();
    const bool crowded = last_slots() > 0 && in_flight_ >= from;
    if (crowded && !crowded_) {
        ++crowding_;  // nobody is proven yet
        proven_in_flight_ = 0;
    }
    crowded_ = crowded;
}

std::optional<EndpointQueues::Turn> EndpointQueues::next_trial() {
    if (!may_try()) return std::nullopt;
    const auto value = [this](core::EndpointId id) {
        const EndpointQueue* const queue = find(id);
        return queue == nullptr || queue->on_trial ? 0 : queue->last_answer + 1;
    };
    const auto known = std::max_element(within_share_.begin(), within_share_.end(),
                                        [&](core::EndpointId a, core::EndpointId b) { return value(a) < value(b); });
    const bool may_known = known != within_share_.end() && value(*known) > 0;
    if (!untried_.empty() && (untried_is_next_ || !may_known)) return Turn{untried_.back(), &untried_, true};
    if (may_known) return Turn{*known, &within_share_, true};
    return std::nullopt;
}

std::optional<EndpointQueues::Turn> EndpointQueues::next_turn() {
    const auto first_of = [](std::list<core::EndpointId>& turns) { return Turn{turns.front(), &turns, false}; };
    const bool may_others = !crowded_ || free_for_trials() > 0;
    if (!untried_.empty() && untried_capacity() > 0 && may_others) {
        const bool newest = silent_capacity() == 0;
        return Turn{newest ? untried_.back() : untried_.front(), &untried_, false};
    }
    const bool may_silent = !silent_.empty() && silent_capacity() > 0 && may_others;
    if (may_silent && silent_is_next_) return first_of(silent_);
    const auto trial = crowded_ && (trial_is_next_ || proven_.empty()) ? next_trial() : std::nullopt;
    if (trial) return trial;
    if (!proven_.empty()) return first_of(proven_);
    if (!crowded_ && !within_share_.empty()) return first_of(within_share_);
    if (!beyond_share_.empty() && slots_ - in_flight_ > slots_ / 4) return first_of(beyond_share_);
    if (may_silent) return first_of(silent_);
    return std::nullopt;
}

std::optional<core::Delivery> EndpointQueues::next_startable() {
    while (in_flight_ < slots_) {
        const auto turn = next_turn();
        if (!turn) return std::nullopt;
        EndpointQueue& queue = queues_[turn->endpoint];
        if (!queue.silent && &turns_for(queue) != turn->turns) {  // the shares, or who is proven, have changed
            update(turn->endpoint, queue);
            continue;
        }
        core::Delivery delivery = std::move(queue.waiting.front());
        queue.waiting.pop_front();
        if (delivery.was_held) --queue.was_held;
        --waiting_;
        if (queue.in_flight == 0) queue.quiet = std::chrono::milliseconds(0);
        ++queue.in_flight;
        ++in_flight_;
        queue.last_start = ++starts_;
        if (queue.silent) ++silent_in_flight_;
        if (queue.untried) ++untried_in_flight_;
        silent_is_next_ = turn->turns != &silent_;
        trial_is_next_ = !turn->is_trial;
        if (turn->is_trial) {
            untried_is_next_ = turn->turns != &untried_;
            queue.on_trial = true;
            ++on_trial_;
        }
        turn->turns->erase(queue.place);  // its next turn is behind the others'
        queue.turns = nullptr;
        update_crowding();
        update(turn->endpoint, queue);
        return delivery;
    }
    return std::nullopt;
}

void EndpointQueues::end_trial(EndpointQueue& queue) {
    if (std::exchange(queue.on_trial, false)) --on_trial_;
}

void EndpointQueues::set_silent(EndpointQueue& queue, bool silent) {
    if (queue.silent == silent) return;
    queue.silent = silent;
    silent_in_flight_ += silent ? queue.in_flight : std::size_t(0) - queue.in_flight;
    if (!silent || !is_proven(queue)) return;
    replace(proven_in_flight_, queue.proven_in_flight, 0);
    queue.proven_in = 0;
}

void EndpointQueues::set_tried(EndpointQueue& queue) {
    if (queue.untried) untried_in_flight_ -= queue.in_flight;
    queue.untried = false;
}

void EndpointQueues::adapt(EndpointQueue& queue, Ended how) {
    if (how == Ended::kUnanswered || how == Ended::kOverloaded) {
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

void EndpointQueues::finished(core::EndpointId endpoint, Ended how, std::chrono::microseconds took, std::size_t bytes) {
    EndpointQueue& queue = queues_[endpoint];
    adapt(queue, how);
    end_trial(queue);
    if (how == Ended::kAnswered || how == Ended::kOverloaded) {
        queue.answered = true;
        queue.last_answer = ++answers_;
        if (!is_proven(queue)) queue.proven_in_flight = 0;
        queue.proven_in = crowding_;
    }
    if (how != Ended::kUntried) {
        took = std::max(took, std::chrono::microseconds(1));
        queue.took = queue.took.count() == 0 ? took : queue.took + (took - queue.took) / kDurationMemory;
        set_silent(queue, how == Ended::kUnanswered);
        set_tried(queue);
    }
    if (queue.silent) --silent_in_flight_;
    if (queue.untried) --untried_in_flight_;
    queue.bytes -= bytes;
    bytes_ -= bytes;
    --queue.in_flight;
    --in_flight_;
    update_crowding();
    update(endpoint, queue);
}

std::vector<core::Delivery> EndpointQueues::take_waiting() {
    return take_waiting([](const core::Delivery&) { return true; });
}

std::vector<core::Delivery> EndpointQueues::take_waiting(const std::function<bool(const core::Delivery&)>& match) {
    std::vector<core::Delivery> taken;
    for_each_listed([&](core::EndpointId endpoint, EndpointQueue& queue) {
        if (queue.waiting.empty()) return;
        const auto stays = [&](const core::Delivery& delivery) { return !match(delivery); };
        const auto first = std::stable_partition(queue.waiting.begin(), queue.waiting.end(), stays);
        take_behind(queue, static_cast<std::size_t>(first - queue.waiting.begin()), taken);
        update(endpoint, queue);
    });
    return taken;
}

void EndpointQueues::take_behind(EndpointQueue& queue, std::size_t kept, std::vector<core::Delivery>& taken) {
    const auto first = queue.waiting.begin() + static_cast<std::ptrdiff_t>(kept);
    const auto end = queue.waiting.end();
    queue.was_held -= static_cast<std::size_t>(std::count_if(first, end, [](const core::Delivery& one) { return one.was_held; }));
    waiting_ -= static_cast<std::size_t>(end - first);
    std::size_t bytes = 0;
    for (auto one = first; one != end; ++one) bytes += size_of(*one);
    queue.bytes -= bytes;
    bytes_ -= bytes;
    std::move(first, end, std::back_inserter(taken));
    queue.waiting.erase(first, end);
}

std::vector<core::MessageId> EndpointQueues::waiting_messages() const {
    std::vector<core::MessageId> ids;
    ids.reserve(waiting_);
    for (const core::EndpointId endpoint : listed_) {
        for (const core::Delivery& delivery : find(endpoint)->waiting) ids.push_back(delivery.id);
    }
    return ids;
}

bool EndpointQueues::is_quiet(const EndpointQueue& queue) {
    return queue.quiet >= std::max<std::chrono::microseconds>(kSilentAfterQuiet, 4 * queue.took);
}

void EndpointQueues::measure(std::chrono::milliseconds interval) {
    for_each_listed([this, interval](core::EndpointId endpoint, EndpointQueue& queue) {
        if (!queue.active) return;
        const bool waits_in_vain = crowded_ && queue.in_flight == 0 && queue.turns == &within_share_;
        if (std::exchange(queue.answered, false) || (queue.in_flight == 0 && !waits_in_vain)) {
            queue.quiet = std::chrono::milliseconds(0);
        } else {
            queue.quiet += interval;
        }
        if (is_quiet(queue)) {
            set_silent(queue, true);
            set_tried(queue);
            end_trial(queue);
        }
        update(endpoint, queue);
    });
}

std::size_t EndpointQueues::allowance(const EndpointQueue& queue, std::size_t max_waiting) {
    static_assert(kWaitingHorizon == std::chrono::seconds(1), "the rate is a second's");
    return std::min(queue.rate, taken_within_horizon(queue, max_waiting));
}

std::size_t EndpointQueues::taken_within_horizon(const EndpointQueue& queue, std::size_t max_waiting) {
    if (queue.gate_limit != kNoGate) return std::min(queue.gate_limit, max_waiting);
    const std::size_t least = std::min(max_waiting, 2 * queue.limit);
    if (is_quiet(queue)) return least;
    if (queue.took.count() == 0) return std::clamp(kFirstWaiting, least, max_waiting);
    const auto soon = static_cast<std::int64_t>(queue.limit) * std::chrono::microseconds(kWaitingHorizon) / queue.took;
    return std::clamp(static_cast<std::size_t>(soon), least, max_waiting);
}

std::size_t EndpointQueues::allowance(core::EndpointId endpoint, std::size_t max_waiting) const {
    const EndpointQueue* const queue = find(endpoint);
    return queue == nullptr ? std::min(kFirstWaiting, max_waiting) : allowance(*queue, max_waiting);
}

bool EndpointQueues::takes(core::EndpointId endpoint, std::size_t max_waiting) const {
    const EndpointQueue* const queue = find(endpoint);
    if (queue == nullptr) return true;
    if (queue->waiting.size() >= allowance(*queue, max_waiting)) return false;
    if (!queue->silent || capacity(*queue, max_waiting) > 0) return true;
    const bool is_one_of_few = silent_waiting_ < 2 * slots_ || (is_first(*queue) && queue->waiting.empty());
    return is_one_of_few && silent_bytes_ < kSilentBytes;
}

std::vector<core::Delivery> EndpointQueues::take_excess(std::size_t max_waiting) {
    std::vector<core::Delivery> taken;
    for_each_listed([&](core::EndpointId endpoint, EndpointQueue& queue) {
        std::size_t allowed = queue.active ? allowance(queue, max_waiting) : 0;
        const bool too_many = silent_waiting_ > 2 * slots_ || silent_bytes_ > kSilentBytes;
        if (queue.silent && too_many) allowed = is_first(queue) ? 1 : 0;
        if (queue.waiting.size() <= allowed) return;
        take_behind(queue, allowed, taken);
        update(endpoint, queue);
    });
    while (untried_.size() > slots_ || (!untried_.empty() && silent_bytes_ > kSilentBytes)) {  // the newest stay
        const core::EndpointId endpoint = untried_.front();
        take_behind(queues_[endpoint], 0, taken);
        update(endpoint, queues_[endpoint]);
    }
    return taken;
}

std::size_t EndpointQueues::capacity(const EndpointQueue& queue, std::size_t max_waiting) const {
    const std::size_t waiting = queue.waiting.size();
    if (is_first(queue)) return std::min({beyond(1, waiting), untried_capacity(), queue.gate_limit});
    const std::size_t may_start = beyond(std::min(queue.limit, queue.gate_limit), queue.in_flight + waiting);
    if (queue.silent) return std::min({may_start, beyond(silent_capacity(), silent_waiting_), beyond(queue.rate, waiting)});
    if (queue.gate_limit != kNoGate) return may_start;
    const std::size_t allowed = allowance(queue, max_waiting);
    return 2 * waiting > allowed ? 0 : allowed - waiting;
}

std::size_t EndpointQueues::capacity(core::EndpointId endpoint, std::size_t max_waiting) const {
    const EndpointQueue* const queue = find(endpoint);
    return queue == nullptr ? kFirstLimit : capacity(*queue, max_waiting);
}

std::vector<core::EndpointCapacity> EndpointQueues::capacities(std::size_t max_waiting) const {
    std::vector<core::EndpointCapacity> capacities;
    std::vector<std::pair<core::EndpointId, const EndpointQueue*>> silent;
    for (const core::EndpointId endpoint : listed_) {
        const EndpointQueue* const queue = find(endpoint);
        if (queue->silent) {
            silent.emplace_back(endpoint, queue);
        } else {
            capacities.push_back({endpoint, static_cast<int>(capacity(*queue, max_waiting))});
        }
    }
    std::sort(silent.begin(), silent.end(), [](const auto& a, const auto& b) {
        return a.second->last_start != b.second->last_start ? a.second->last_start < b.second->last_start : a.first > b.first;
    });
    std::size_t first = beyond(untried_capacity(), untried_.size());
    std::size_t others = beyond(silent_capacity(), silent_waiting_);
    const std::size_t each = std::max<std::size_t>(1, others / std::max<std::size_t>(1, silent.size()));
    for (const auto& [endpoint, queue] : silent) {
        std::size_t& left = is_first(*queue) ? first : others;
        const std::size_t given = std::min({capacity(*queue, max_waiting), each, left});
        left -= given;
        capacities.push_back({endpoint, static_cast<int>(given)});
    }
    return capacities;
}

std::size_t EndpointQueues::waiting(core::EndpointId endpoint) const {
    const EndpointQueue* const queue = find(endpoint);
    return queue == nullptr ? 0 : queue->waiting.size();
}

}  // namespace messaging::engine
