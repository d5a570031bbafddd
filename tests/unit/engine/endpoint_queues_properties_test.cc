// The dispatcher's fairness, whatever comes in whatever order.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

#include "engine/endpoint_queues.h"

namespace messaging::engine {
namespace {

constexpr core::EndpointId kEndpoints = 4;

// EndpointQueues beside the simplest account of what should be in it.
class Watched {
public:
    explicit Watched(std::size_t max_in_flight) : max_in_flight_(max_in_flight), queues_(max_in_flight) {
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            caps_[endpoint] = *rc::gen::inRange<std::size_t>(1, 5);
            queues_.set_max_in_flight(endpoint, caps_[endpoint]);
        }
    }

    void push(core::EndpointId endpoint) {
        core::Delivery delivery;
        delivery.id = ++last_;
        delivery.endpoint_id = endpoint;
        waiting_[endpoint].push_back(delivery.id);
        queues_.push(std::move(delivery));
    }

    void start() {
        std::set<core::EndpointId> able;
        for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) {
            if (!waiting_[endpoint].empty() && in_flight_[endpoint] < caps_[endpoint]) able.insert(endpoint);
        }
        const auto delivery = queues_.next_startable();
        RC_ASSERT(delivery.has_value() == (!able.empty() && total_in_flight_ < max_in_flight_));
        if (!delivery) return;
        const core::EndpointId endpoint = delivery->endpoint_id;
        RC_ASSERT(able.contains(endpoint));
        RC_ASSERT(delivery->id == waiting_[endpoint].front());
        waiting_[endpoint].pop_front();
        ++in_flight_[endpoint];
        ++total_in_flight_;
        for (const core::EndpointId other : able) ++passed_over_[other];
        passed_over_[endpoint] = 0;
        for (core::EndpointId other = 1; other <= kEndpoints; ++other) {
            if (!able.contains(other)) passed_over_[other] = 0;
            RC_ASSERT(passed_over_[other] < 2 * kEndpoints);
        }
    }

    void finish(core::EndpointId endpoint) {
        if (in_flight_[endpoint] == 0) return;
        --in_flight_[endpoint];
        --total_in_flight_;
        queues_.finished(endpoint);
    }

    void check() {
        std::size_t waiting = 0;
        for (auto& [endpoint, ids] : waiting_) {
            RC_ASSERT(queues_.waiting(endpoint) == ids.size());
            waiting += ids.size();
        }
        RC_ASSERT(queues_.waiting() == waiting);
        RC_ASSERT(queues_.in_flight() == total_in_flight_);
    }

    // Everything comes out, each once: start() knows in which order.
    void drain() {
        for (std::size_t left = queues_.waiting(); left > 0; left = queues_.waiting()) {
            for (core::EndpointId endpoint = 1; endpoint <= kEndpoints; ++endpoint) finish(endpoint);
            start();
            RC_ASSERT(queues_.waiting() == left - 1);
        }
    }

private:
    std::size_t max_in_flight_;
    EndpointQueues queues_;
    core::MessageId last_ = 0;
    std::map<core::EndpointId, std::size_t> caps_;
    std::map<core::EndpointId, std::deque<core::MessageId>> waiting_;
    std::map<core::EndpointId, std::size_t> in_flight_;
    std::map<core::EndpointId, core::EndpointId> passed_over_;  // starts of others while this one could have started
    std::size_t total_in_flight_ = 0;
};

RC_GTEST_PROP(EndpointQueuesProperties, NobodyStarvesNoCapIsExceededAndEachComesOutOnceInOrder, ()) {
    Watched queues(*rc::gen::inRange<std::size_t>(1, 8));
    for (const int step : *rc::gen::container<std::vector<int>>(rc::gen::inRange<int>(0, 3 * kEndpoints))) {
        const core::EndpointId endpoint = step % kEndpoints + 1;
        if (step < kEndpoints) {
            queues.push(endpoint);
        } else if (step < 2 * kEndpoints) {
            queues.start();
        } else {
            queues.finish(endpoint);
        }
        queues.check();
    }
    queues.drain();
}

}  // namespace
}  // namespace messaging::engine
