// The dispatcher's fairness, whatever comes in whatever order.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "engine/endpoint_queues.h"

namespace messaging::engine {
namespace {

constexpr core::EndpointId kEndpoints = 4;

// EndpointQueues beside the simplest account of what should be in it.
class Watched {
public:
    explicit Watched(std::size_t slots) : slots_(slots), queues_(slots) {
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            max_[endpoint] = *rc::gen::inRange<std::size_t>(1, 12);
            queues_.set_max_in_flight(endpoint, max_[endpoint]);
            limit_[endpoint].value = std::min(max_[endpoint], kFirstLimit);
            silent_[endpoint] = true;
            untried_[endpoint] = true;
        }
    }

    void push(core::EndpointId endpoint) {
        core::Delivery delivery;
        delivery.id = ++last_;
        delivery.endpoint_id = endpoint;
        waiting_[endpoint].push_back(delivery.id);
        queues_.push(std::move(delivery));
        note_share(endpoint);
    }

    void start() {
        std::set<core::EndpointId> able;                // by their own limit and the number of slots
        std::set<core::EndpointId> surely;              // and by the other rules
        std::set<core::EndpointId> first;               // of those, the untried ones
        queues_.measure(std::chrono::milliseconds(0));  // puts each endpoint into the line where it belongs now
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            note_share(endpoint);
            if (waiting_[endpoint].empty() || in_flight_[endpoint] >= limit_[endpoint].value) continue;
            if (in_flight() == slots_) continue;
            able.insert(endpoint);
            const bool may = is_first(endpoint)  ? untried_may()
                             : silent_[endpoint] ? silent_in_flight() < silent_slots()
                                                 : in_flight_[endpoint] < share() || slots_ - in_flight() > slots_ / 4;
            if (may) surely.insert(endpoint);
            if (may && is_first(endpoint)) first.insert(endpoint);
        }
        const auto delivery = queues_.next_startable();
        RC_ASSERT(delivery.has_value() == !surely.empty());
        if (!delivery) return;
        const core::EndpointId endpoint = delivery->endpoint_id;
        RC_ASSERT(able.contains(endpoint) && surely.contains(endpoint));
        RC_ASSERT(first.empty() || first.contains(endpoint));
        RC_ASSERT(delivery->id == waiting_[endpoint].front());
        waiting_[endpoint].pop_front();
        ++in_flight_[endpoint];
        note_share(endpoint);
        if (!first.empty()) return;  // first ones come before all others, each once unless its request says nothing of it
        for (core::EndpointId other = 1; other <= kEndpoints; ++other) {
            const bool owed = surely.contains(other) && other != endpoint && (silent_[other] || !beyond_share_[other]);
            passed_over_[other] = owed ? passed_over_[other] + 1 : 0;
            RC_ASSERT(passed_over_[other] <= 2 * kEndpoints);  // the silent ones and the others take turns
        }
    }

    void finish(core::EndpointId endpoint, Ended how) {
        if (in_flight_[endpoint] == 0) return;
        adapt(limit_[endpoint], how, in_flight_[endpoint], max_[endpoint]);
        --in_flight_[endpoint];
        if (how != Ended::kUntried && silent_[endpoint] != (how == Ended::kUnanswered)) {
            silent_[endpoint] = !silent_[endpoint];
            passed_over_[endpoint] = 0;  // it stands at the end of another line
        }
        if (how != Ended::kUntried) untried_[endpoint] = false;
        if (is_first(endpoint)) passed_over_[endpoint] = 0;
        queues_.finished(endpoint, how);
        note_share(endpoint);
        RC_ASSERT(limit_[endpoint].value >= 1 && limit_[endpoint].value <= max_[endpoint]);
    }

    void check() {
        std::size_t waiting = 0;
        for (auto& [endpoint, ids] : waiting_) {
            RC_ASSERT(queues_.waiting(endpoint) == ids.size());
            waiting += ids.size();
        }
        RC_ASSERT(queues_.waiting() == waiting);
        RC_ASSERT(queues_.in_flight() == in_flight());
    }

    // Everything comes out, each once: start() knows in which order.
    void drain() {
        for (std::size_t left = queues_.waiting(); left > 0; left = queues_.waiting()) {
            for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) finish(endpoint, Ended::kAnswered);
            start();
            RC_ASSERT(queues_.waiting() == left - 1);
        }
    }

private:
    struct Limit {
        std::size_t value = 1;
        std::size_t slow_from = 0;  // half of the limit at the last failure; 0 = none
        std::size_t growth = 0;     // answers since the last growth, above slow_from
    };
    // The rule of endpoint_queues.h. start() shows that the limits of the queues are these.
    static void adapt(Limit& limit, Ended how, std::size_t in_flight, std::size_t max) {
        if (how == Ended::kUnanswered) {
            const std::size_t half = std::max<std::size_t>(1, limit.value / 2);
            limit = {half, half, 0};
        }
        if (how != Ended::kAnswered || in_flight < limit.value || limit.value == max) return;
        if (limit.slow_from > 0 && limit.value >= limit.slow_from && ++limit.growth < limit.value) return;
        limit.growth = 0;
        ++limit.value;
    }
    // An endpoint's place in the turns is decided when something happens to it, by the shares that there are then.
    void note_share(core::EndpointId endpoint) {
        const bool beyond = in_flight_[endpoint] >= share();
        if (beyond != beyond_share_[endpoint] && !silent_[endpoint])
            passed_over_[endpoint] = 0;  // it stands at the end of another line
        beyond_share_[endpoint] = beyond;
    }
    std::size_t in_flight() const {
        std::size_t sum = 0;
        for (const auto& [endpoint, count] : in_flight_) sum += count;
        return sum;
    }
    std::size_t silent_in_flight() {
        std::size_t sum = 0;
        for (const auto& [endpoint, count] : in_flight_) sum += silent_[endpoint] ? count : 0;
        return sum;
    }
    bool is_first(core::EndpointId endpoint) { return untried_[endpoint] && in_flight_[endpoint] == 0; }
    bool untried_may() {
        const std::size_t silent = silent_in_flight();
        if (silent < silent_slots()) return true;
        std::size_t untried = 0;
        for (const auto& [endpoint, count] : in_flight_) untried += untried_[endpoint] ? count : 0;
        const std::size_t reserve = slots_ - slots_ / 4;
        if (silent < reserve && untried * std::max<std::size_t>(1, slots_ / 16) < reserve - silent) return true;
        return untried == 0 && silent < slots_ - slots_ / 8;
    }
    std::size_t answering() {
        std::size_t count = 0;
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            if (!silent_[endpoint] && (in_flight_[endpoint] > 0 || !waiting_[endpoint].empty())) ++count;
        }
        return count;
    }
    std::size_t active() {
        std::size_t count = 0;
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            if (in_flight_[endpoint] > 0 || !waiting_[endpoint].empty()) ++count;
        }
        return count;
    }
    std::size_t share() { return std::max<std::size_t>(1, slots_ / std::max<std::size_t>(1, answering())); }
    std::size_t silent_slots() { return active() > 1 ? std::max<std::size_t>(1, slots_ / 2) : slots_; }

    std::size_t slots_;
    EndpointQueues queues_;
    core::MessageId last_ = 0;
    std::map<core::EndpointId, std::size_t> max_;
    std::map<core::EndpointId, Limit> limit_;
    std::map<core::EndpointId, std::deque<core::MessageId>> waiting_;
    std::map<core::EndpointId, std::size_t> in_flight_;
    std::map<core::EndpointId, bool> silent_;
    std::map<core::EndpointId, bool> untried_;
    std::map<core::EndpointId, bool> beyond_share_;
    std::map<core::EndpointId, core::EndpointId> passed_over_;  // starts of others while this one was owed a turn
};

RC_GTEST_PROP(EndpointQueuesProperties, NobodyStarvesNoLimitIsExceededAndEachComesOutOnceInOrder, ()) {
    Watched queues(*rc::gen::inRange<std::size_t>(1, 24));
    for (const int step :
         *rc::gen::resize(1000, rc::gen::container<std::vector<int>>(rc::gen::inRange<int>(0, 6 * kEndpoints)))) {
        const core::EndpointId endpoint = step % kEndpoints + 1;
        switch (step / kEndpoints) {
            case 0:
            case 1: queues.push(endpoint); break;
            case 2: queues.start(); break;
            case 3: queues.finish(endpoint, Ended::kAnswered); break;
            case 4: queues.finish(endpoint, Ended::kUnanswered); break;
            default: queues.finish(endpoint, Ended::kUntried); break;
        }
        queues.check();
    }
    queues.drain();
}

}  // namespace
}  // namespace messaging::engine
