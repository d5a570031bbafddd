// EndpointQueues: one FIFO per endpoint with a limit of requests in flight, served in turn; pure.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/message.h"

namespace messaging::engine {

// Only a delivery that can start now leaves a queue. So no request's deadline includes the time of waiting, and a slow endpoint
// does not delay another one.
class EndpointQueues {
public:
    // `max_in_flight`: over all endpoints together.
    explicit EndpointQueues(std::size_t max_in_flight) : max_in_flight_(max_in_flight) {}

    // How many requests the endpoint may have in flight; 1 until this is called.
    void set_max_in_flight(core::EndpointId endpoint, std::size_t limit);
    void push(core::Delivery delivery);
    // The next delivery that may start, taking turns between endpoints; it counts as in flight until finished().
    std::optional<core::Delivery> next_startable();
    void finished(core::EndpointId endpoint);

    // Takes out everything that waits, or what of it `match` picks.
    std::vector<core::Delivery> take_waiting();
    std::vector<core::Delivery> take_waiting(const std::function<bool(const core::Delivery&)>& match);

    std::vector<core::MessageId> waiting_messages() const;

    // Ends an interval of measuring. Until the next call, backed_up() is true for endpoints that have that many in flight and
    // would need longer than `horizon_seconds` for what waits, at the rate of the interval that has ended.
    void measure(double interval_seconds, double horizon_seconds);
    bool backed_up(core::EndpointId endpoint) const;
    // Messages a second in the last interval.
    double rate(core::EndpointId endpoint) const;

    std::size_t waiting() const { return waiting_; }
    std::size_t waiting(core::EndpointId endpoint) const;
    // What waits at endpoints that are not backed up.
    std::size_t waiting_moving() const;
    std::size_t in_flight() const { return in_flight_; }

private:
    struct EndpointQueue {
        std::deque<core::Delivery> waiting;
        std::size_t max_in_flight = 1;
        std::size_t in_flight = 0;
        std::size_t finished = 0;  // in the interval being measured
        double rate = 0;
        bool backed_up = false;
        bool in_turn = false;  // stands in turns_
    };
    void offer_turn(core::EndpointId endpoint, EndpointQueue& queue);

    std::size_t max_in_flight_;
    std::unordered_map<core::EndpointId, EndpointQueue> queues_;
    std::deque<core::EndpointId> turns_;  // endpoints that can start something
    std::size_t waiting_ = 0;
    std::size_t in_flight_ = 0;
};

}  // namespace messaging::engine
