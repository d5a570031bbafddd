// EndpointQueues: one FIFO for each endpoint, and who may start a request next; pure.
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

// Requests that an endpoint may have in flight before anything is known of it, and deliveries that may wait for it then.
inline constexpr std::size_t kFirstLimit = 8;
inline constexpr std::size_t kFirstWaiting = 64;
// An endpoint from which no answer has come for so long, or for four times its usual duration where that is more, is silent.
inline constexpr std::chrono::milliseconds kSilentAfterQuiet{250};
// What an endpoint will have taken within this time may wait for it in memory.
inline constexpr std::chrono::seconds kWaitingHorizon{1};

// How a request ended, as far as the endpoint's limit is concerned.
enum class Ended {
    kAnswered,    // by whatever status
    kUnanswered,  // a time-out, a refused or broken connection
    kUntried,     // our own fault, or released: says nothing of the endpoint
};

// Only a delivery that can start now leaves a queue. So no request's deadline includes the time of waiting, and a slow endpoint
// does not delay another one. The slots (requests in flight of this engine) are shared by these rules:
// - Each endpoint has a limit, 1 to its max_in_flight. While it is used up, each answer raises it by one; from half of where it
//   last failed on, that takes as many answers as the limit is. Each request without an answer halves it.
// - Endpoints that are silent (none of their requests has been answered yet, the last one was not, or no answer has come for
//   kSilentAfterQuiet) have at most half of the slots together, where there are others.
// - An endpoint that has its share of the slots (slots / endpoints with something to do) starts another request only while more
//   than a quarter of the slots is free.
// Within these rules endpoints take turns.
// An endpoint's allowance is how many deliveries may wait for it: what it takes within kWaitingHorizon by its limit and the
// duration of its requests, and at least twice its limit.
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

    // Takes out everything that waits, or what of it `match` picks.
    std::vector<core::Delivery> take_waiting();
    std::vector<core::Delivery> take_waiting(const std::function<bool(const core::Delivery&)>& match);

    std::vector<core::MessageId> waiting_messages() const;

    // Ends an interval of measuring: says which endpoints are silent. To be called while anything waits or is in flight.
    void measure(std::chrono::milliseconds interval);
    // At most `most`.
    std::size_t allowance(core::EndpointId endpoint, std::size_t most) const;
    // Takes out, from the ends of the queues, what waits beyond the allowances.
    std::vector<core::Delivery> take_excess(std::size_t most);
    // How many more the endpoint should be given: nothing while half of its allowance waits; while it is silent, what may start.
    std::size_t room(core::EndpointId endpoint, std::size_t most) const;
    // Of all endpoints with something to do.
    std::vector<core::EndpointRoom> rooms(std::size_t most) const;

    std::size_t waiting() const { return waiting_; }
    std::size_t waiting(core::EndpointId endpoint) const;
    // What takes the place of others in memory: without what waits for silent endpoints, of which each has little, and without
    // what was held, of which the endpoints are given little at a time.
    std::size_t waiting_counted() const { return counted_; }
    std::size_t active() const { return active_; }
    std::size_t in_flight() const { return in_flight_; }
    std::size_t limit(core::EndpointId endpoint) const;

private:
    struct EndpointQueue {
        std::deque<core::Delivery> waiting;
        std::size_t was_held = 0;  // of those
        std::size_t counted = 0;   // of those, in counted_
        std::size_t max_in_flight = 1;
        std::size_t limit = 1;
        std::size_t slow_from = 0;  // half of where it last failed; 0 = nothing has failed yet
        std::size_t growth = 0;     // answers towards the next growth, where one takes several
        std::size_t in_flight = 0;
        std::chrono::microseconds took{0};   // a moving average of the requests' durations; 0 = none has ended yet
        std::chrono::milliseconds quiet{0};  // so long requests have been in flight without an answer, in whole intervals
        bool answered = false;               // in the interval being measured
        bool silent = true;
        bool active = false;                               // has something in flight or waiting
        std::list<core::EndpointId>* turns = nullptr;      // the list it stands in
        std::list<core::EndpointId>::iterator place = {};  // there
    };
    const EndpointQueue* find(core::EndpointId endpoint) const;
    static bool is_quiet(const EndpointQueue& queue);
    static std::size_t allowance(const EndpointQueue& queue, std::size_t most);
    static std::size_t room(const EndpointQueue& queue, std::size_t most);
    bool may_start(const EndpointQueue& queue) const { return !queue.waiting.empty() && queue.in_flight < queue.limit; }
    std::size_t share() const;
    std::list<core::EndpointId>& turns_for(const EndpointQueue& queue);
    // The first endpoint of the lists, in this order, from which one may start now.
    std::list<core::EndpointId>* next_turns();
    void set_silent(EndpointQueue& queue, bool silent);
    void adapt(EndpointQueue& queue, Ended how);
    // Sets right what depends on the queue's numbers, after they have changed.
    void update(core::EndpointId endpoint, EndpointQueue& queue);
    // Moves what waits behind the first `kept` to the end of `taken`.
    void take_behind(EndpointQueue& queue, std::size_t kept, std::vector<core::Delivery>& taken);

    const std::size_t slots_;
    std::unordered_map<core::EndpointId, EndpointQueue> queues_;
    // Endpoints that may start something by their own limit, in the order of their turns.
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
