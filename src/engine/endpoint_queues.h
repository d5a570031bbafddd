// EndpointQueues: one FIFO for each endpoint. Decides which endpoint may start a request next. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/message.h"

namespace messaging::engine {

// Requests that an endpoint may have in flight at first, and deliveries that may wait for it then.
inline constexpr std::size_t kFirstLimit = 8;
inline constexpr std::size_t kFirstWaiting = 64;
// An endpoint from which no answer has come for this long, or for four times its usual duration where that is longer, is silent.
inline constexpr std::chrono::milliseconds kSilentAfterQuiet{250};
// The deliveries that an endpoint takes within this time may wait for it in memory.
inline constexpr std::chrono::seconds kWaitingHorizon{1};

// How a request ended, as far as the endpoint's limit is concerned.
enum class Ended {
    kAnswered,    // by whatever status
    kUnanswered,  // a time-out, a refused or broken connection
    kUntried,     // our own fault, or released: says nothing of the endpoint
};

// A delivery leaves its queue when its request can start. So no request's deadline includes the time of waiting, and a slow
// endpoint does not delay another one. An engine may have `slots` requests in flight. These rules share the slots:
// - Each endpoint has a limit, 1 to its max_in_flight. While the limit is used up, each answer raises it by one. Each request
//   without an answer halves it. Above half of the limit at the last failure, it grows by one for each `limit` answers.
// - An endpoint is silent when no request of it has been answered yet, when the last one was not answered, or when no answer has
//   come for kSilentAfterQuiet. Where there are other endpoints, silent ones have at most half of the slots together.
// - An endpoint's share is slots / active endpoints. An endpoint that has its share starts another request only while more than a
//   quarter of the slots is free.
// Within these rules endpoints take turns. An endpoint is active while it has deliveries in flight or waiting.
// An endpoint's allowance is the number of deliveries that may wait for it: as many as it takes within kWaitingHorizon by its
// limit and the duration of its requests, and at least twice its limit.
class EndpointQueues {
public:
    explicit EndpointQueues(std::size_t slots) : slots_(slots) {}

    // 1 until this is called.
    void set_max_in_flight(core::EndpointId endpoint, std::size_t max_in_flight);
    // Forgets an endpoint that was removed, unless it has something in flight or waiting.
    void forget_if_idle(core::EndpointId endpoint);
    void push(core::Delivery delivery);
    // The next delivery that may start; it counts as in flight until finished().
    std::optional<core::Delivery> next_startable();
    void finished(core::EndpointId endpoint, Ended how, std::chrono::microseconds took = {});

    // Takes out all waiting deliveries, or those that `match` picks.
    std::vector<core::Delivery> take_waiting();
    std::vector<core::Delivery> take_waiting(const std::function<bool(const core::Delivery&)>& match);

    std::vector<core::MessageId> waiting_messages() const;

    // Ends an interval of measuring: decides which endpoints are silent. To be called regularly while any endpoint is active.
    void measure(std::chrono::milliseconds interval);
    // The endpoint's allowance, at most `most`.
    std::size_t allowance(core::EndpointId endpoint, std::size_t most) const;
    // Takes the deliveries beyond the allowances from the ends of the queues.
    std::vector<core::Delivery> take_excess(std::size_t most);
    // How many more deliveries the endpoint should get. None while more than half of its allowance waits. A silent endpoint gets
    // as many as may start.
    std::size_t room(core::EndpointId endpoint, std::size_t most) const;
    // The room of each active endpoint.
    std::vector<core::EndpointRoom> rooms(std::size_t most) const;

    std::size_t waiting() const { return waiting_; }
    std::size_t waiting(core::EndpointId endpoint) const;
    // Waiting deliveries that count against the prefetch limit. Deliveries of silent endpoints and those claimed from the hold do
    // not count: both are few.
    std::size_t waiting_counted() const { return counted_; }
    std::size_t active() const { return active_; }
    std::size_t in_flight() const { return in_flight_; }

private:
    struct EndpointQueue {
        std::deque<core::Delivery> waiting;
        std::size_t was_held = 0;  // how many of `waiting` were claimed from the hold
        std::size_t counted = 0;   // this queue's part of counted_
        std::size_t max_in_flight = 1;
        std::size_t limit = 1;
        std::size_t slow_from = 0;  // from this limit on it grows slowly: half of the limit at the last failure; 0 = none
        std::size_t growth = 0;     // answers since the last growth, while it grows slowly
        std::size_t in_flight = 0;
        std::chrono::microseconds took{0};   // a moving average of the requests' durations; 0 = no request has ended
        std::chrono::milliseconds quiet{0};  // time with requests in flight and without an answer, in whole intervals
        bool answered = false;               // in the interval being measured
        bool silent = true;
        bool active = false;
        std::list<core::EndpointId>* turns = nullptr;      // the list of turns that has this endpoint, or null
        std::list<core::EndpointId>::iterator place = {};  // in that list
    };
    const EndpointQueue* find(core::EndpointId endpoint) const;
    static bool is_quiet(const EndpointQueue& queue);
    static std::size_t allowance(const EndpointQueue& queue, std::size_t most);
    static std::size_t room(const EndpointQueue& queue, std::size_t most);
    bool may_start(const EndpointQueue& queue) const { return !queue.waiting.empty() && queue.in_flight < queue.limit; }
    std::size_t share() const;
    std::list<core::EndpointId>& turns_for(const EndpointQueue& queue);
    // The list whose first endpoint has the next turn, or null while no request may start.
    std::list<core::EndpointId>* next_turns();
    void set_silent(EndpointQueue& queue, bool silent);
    void adapt(EndpointQueue& queue, Ended how);
    // Updates the counters and the list of turns after the queue has changed.
    void update(core::EndpointId endpoint, EndpointQueue& queue);
    // Moves all waiting deliveries but the first `kept` to the end of `taken`.
    void take_behind(EndpointQueue& queue, std::size_t kept, std::vector<core::Delivery>& taken);

    const std::size_t slots_;
    std::unordered_map<core::EndpointId, EndpointQueue> queues_;
    // Endpoints that have waiting deliveries and are below their own limit, in the order of their turns.
    std::list<core::EndpointId> within_share_;
    std::list<core::EndpointId> beyond_share_;
    std::list<core::EndpointId> silent_;
    bool silent_is_next_ = false;
    std::size_t active_ = 0;
    std::size_t waiting_ = 0;
    std::size_t in_flight_ = 0;
    std::size_t silent_in_flight_ = 0;
    std::size_t counted_ = 0;
};

}  // namespace messaging::engine
