// EndpointQueues: one FIFO for each endpoint. Decides which endpoint may start a request next. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/message.h"
#include "engine/endpoint_gates.h"

namespace messaging::engine {

// Requests that an endpoint may have in flight at first, and deliveries that may wait for it then.
inline constexpr std::size_t kFirstLimit = 8;
inline constexpr std::size_t kFirstWaiting = 64;
// An endpoint from which no answer has come for this long, or for four times its usual duration where that is longer, is silent.
inline constexpr std::chrono::milliseconds kSilentAfterQuiet{250};
// The deliveries that an endpoint takes within this time may wait for it in memory.
inline constexpr std::chrono::seconds kWaitingHorizon{1};
// Bytes in memory for all silent endpoints together, beyond which what waits for them is held.
inline constexpr std::size_t kSilentBytes = 16u << 20;

// In memory.
std::size_t size_of(const core::Delivery& delivery);

// How a request ended, as far as the endpoint's limit is concerned.
enum class Ended {
    kAnswered,    // by any status, except:
    kOverloaded,  // a status that asks for fewer requests (429, 502, 503, 504)
    kUnanswered,  // a time-out, a refused or broken connection
    kUntried,     // our own fault, or released: says nothing of the endpoint
};

// Only a delivery that can start now leaves a queue. So no request's deadline includes the time of waiting, and a slow endpoint
// does not delay another one. The slots (requests in flight of this engine) are shared by these rules:
// - Each endpoint has a limit, 1 to its max_in_flight. While the limit is used up, each answer raises it by one. Each request
//   without an answer, or with one that asks for fewer requests, halves it. From that halved value on, it grows by one for each
//   `limit` answers.
// - Endpoints that are silent (none of their requests has been answered yet, the last one was not, or no answer has come for
//   kSilentAfterQuiet) have at most half of the slots together, where there are others.
// - An endpoint is untried until its first request has ended or has been in flight for kSilentAfterQuiet. An endpoint whose
//   messages were held when the engine met it is not untried. The first requests of untried endpoints go before all others.
//   They use the half of the slots that silent endpoints have. When that half is full, the newest endpoints go first, and their
//   first requests use a reserve, the quarter of the slots behind that half: at once at most four of them, then three, two and
//   one, the fewer the more of the reserve silent endpoints use. When all of it is used, one at a time goes on, as long as
//   silent endpoints use fewer than seven eighths of the slots.
//   So a new endpoint waits for none that is known to hang. When thousands of new ones hang at once, trying them uses up the
//   reserve ever more slowly, an endpoint that comes later is tried within about kSilentAfterQuiet, and at least an eighth of
//   the slots stays for endpoints that answer (a thirty-second while the slots are crowded, see below).
// - Many endpoints that answered until now can go silent at once, with their name server for example. So the slots are crowded
//   from the moment when all but a sixteenth (the last ones) are in use, until half of them are free. Meanwhile an endpoint that
//   has answered since that moment is proven, and starts requests as always. Of the others only one request each, a trial, is
//   started at a time: the endpoint that has answered last goes first, in turns with the newest untried one. At once at most four
//   are on trial, then three, two and one, the fewer the more of the first half of the last slots is used; the second half stays
//   for proven endpoints. An endpoint that waits for kSilentAfterQuiet in vain meanwhile is silent.
// - An endpoint that has its share of the slots (slots / endpoints that have something to do and are not silent) starts another
//   request only while more than a quarter of the slots is free.
// Within these rules endpoints take turns.
// An endpoint's allowance is how many deliveries may wait for it: what it takes within kWaitingHorizon by its limit and the
// duration of its requests, and at least twice its limit. All silent endpoints together may have two waiting deliveries for each
// slot, and kSilentBytes. Beyond that number, a delivery may wait only if it may start now, or is the first one of an untried
// endpoint. Of such first deliveries as many stay as there are slots: those of the newest endpoints.
class EndpointQueues {
public:
    explicit EndpointQueues(std::size_t slots) : slots_(slots) {}

    // 1 until this is called.
    void set_max_in_flight(core::EndpointId endpoint, std::size_t max_in_flight);
    // Whether messages are held for it: capacities() lists it then, though it has nothing to do.
    void set_held(core::EndpointId endpoint, bool held);
    // At most so many requests in flight, whatever its limit is; kNoGate = only the limit counts.
    void set_gate_limit(core::EndpointId endpoint, std::size_t limit);
    // At most so many requests a second; nullopt = no such limit. With one, no request starts before set_budget() allows it.
    void set_rate(core::EndpointId endpoint, std::optional<int> rate);
    // Requests that may start now, whatever else allows them.
    void set_budget(core::EndpointId endpoint, std::size_t budget);
    // The endpoint does not count as untried, because its messages were held before this engine met it.
    void expect_silence(core::EndpointId endpoint);
    // Forgets an endpoint that was removed, unless it has something in flight or waiting.
    void forget_if_idle(core::EndpointId endpoint);
    void push(core::Delivery delivery);
    // The next delivery that may start; it counts as in flight until finished().
    std::optional<core::Delivery> next_startable();
    // `bytes`: size_of() the delivery.
    void finished(core::EndpointId endpoint, Ended how, std::chrono::microseconds took = {}, std::size_t bytes = 0);

    // Removes all waiting deliveries from the queues, or those that `match` picks, and returns them.
    std::vector<core::Delivery> take_waiting();
    std::vector<core::Delivery> take_waiting(const std::function<bool(const core::Delivery&)>& match);

    std::vector<core::MessageId> waiting_messages() const;

    // Ends an interval of measuring: decides which endpoints are silent. To be called regularly while any endpoint is active.
    void measure(std::chrono::milliseconds interval);
    // The endpoint's allowance, at most `max_waiting`, which below bounds the allowances in the same way.
    std::size_t allowance(core::EndpointId endpoint, std::size_t max_waiting) const;
    // Whether one more may wait for it.
    bool takes(core::EndpointId endpoint, std::size_t max_waiting) const;
    // Takes the deliveries beyond the allowances from the ends of the queues.
    std::vector<core::Delivery> take_excess(std::size_t max_waiting);
    // How many more deliveries the endpoint should get. None while more than half of its allowance waits. A silent endpoint gets
    // as many as may start.
    std::size_t capacity(core::EndpointId endpoint, std::size_t max_waiting) const;
    // The capacity of each endpoint that has something to do, or messages in the hold. Silent endpoints share what may start now;
    // the one whose last request began the longest ago comes first.
    std::vector<core::EndpointCapacity> capacities(std::size_t max_waiting) const;

    std::size_t waiting() const { return waiting_; }
    std::size_t waiting(core::EndpointId endpoint) const;
    // Waiting deliveries that count against the prefetch limit. Not counted: those of silent endpoints, which have a budget of
    // their own, and those claimed from the hold, which are few.
    std::size_t waiting_counted() const { return counted_; }
    // Of the deliveries that wait or are in flight, and the part of them that belongs to silent endpoints.
    std::size_t bytes() const { return bytes_; }
    std::size_t silent_bytes() const { return silent_bytes_; }
    std::size_t active() const { return active_; }
    std::size_t in_flight() const { return in_flight_; }

private:
    struct EndpointQueue {
        std::deque<core::Delivery> waiting;
        std::size_t was_held = 0;        // how many of `waiting` were claimed from the hold
        std::size_t counted = 0;         // this queue's part of counted_
        std::size_t bytes = 0;           // of the deliveries that wait or are in flight
        std::size_t silent_waiting = 0;  // this queue's part of silent_waiting_
        std::size_t silent_bytes = 0;    // this queue's part of silent_bytes_
        std::size_t answering = 0;       // this queue's part of answering_: 0 or 1
        std::size_t max_in_flight = 1;
        std::size_t limit = 1;
        std::size_t gate_limit = kNoGate;
        std::size_t rate = kNoGate;
        std::size_t budget = kNoGate;
        std::size_t slow_from = 0;  // from this limit on it grows slowly: half of the limit at the last failure; 0 = none
        std::size_t growth = 0;     // answers since the last growth, while it grows slowly
        std::size_t in_flight = 0;
        std::chrono::microseconds took{0};   // a moving average of the requests' durations; 0 = no request has ended
        std::chrono::milliseconds quiet{0};  // time with requests in flight and without an answer, in whole intervals
        bool answered = false;               // in the interval being measured
        bool silent = true;
        bool untried = true;
        bool held = false;
        std::uint64_t last_start = 0;      // counts up over all endpoints; 0 = never
        std::uint64_t last_answer = 0;     // as above
        std::uint64_t proven_in = 0;       // the number of the crowding in which it has answered
        std::size_t proven_in_flight = 0;  // this queue's part of proven_in_flight_, while it is proven
        bool on_trial = false;
        bool active = false;
        bool listed = false;                                    // in listed_
        std::list<core::EndpointId>::iterator list_place = {};  // there
        std::list<core::EndpointId>* turns = nullptr;           // the list of turns that has this endpoint, or null
        std::list<core::EndpointId>::iterator place = {};       // in that list
    };
    const EndpointQueue* find(core::EndpointId endpoint) const;
    static bool is_quiet(const EndpointQueue& queue);
    static std::size_t allowance(const EndpointQueue& queue, std::size_t max_waiting);
    static std::size_t taken_within_horizon(const EndpointQueue& queue, std::size_t max_waiting);
    std::size_t capacity(const EndpointQueue& queue, std::size_t max_waiting) const;
    std::size_t silent_slots() const;
    // How many requests may start now: first ones of untried endpoints, and other ones of silent endpoints.
    std::size_t untried_capacity() const;
    std::size_t silent_capacity() const;
    static bool is_first(const EndpointQueue& queue) { return queue.silent && queue.untried && queue.in_flight == 0; }
    static bool may_start(const EndpointQueue& queue) {
        return !queue.waiting.empty() && queue.budget > 0 && queue.in_flight < std::min(queue.limit, queue.gate_limit);
    }
    std::size_t share() const;
    std::list<core::EndpointId>& turns_for(const EndpointQueue& queue);
    struct Turn {
        core::EndpointId endpoint;
        std::list<core::EndpointId>* turns;
        bool is_trial;
    };
    std::optional<Turn> next_turn();
    std::optional<Turn> next_trial();
    std::size_t last_slots() const;
    // Of the slots that are not for proven endpoints only.
    std::size_t free_for_trials() const;
    bool may_try() const;
    bool is_proven(const EndpointQueue& queue) const { return queue.proven_in == crowding_; }
    void update_crowding();
    void end_trial(EndpointQueue& queue);
    void set_silent(EndpointQueue& queue, bool silent);
    void set_tried(EndpointQueue& queue);
    void adapt(EndpointQueue& queue, Ended how);
    void update_listing(core::EndpointId endpoint, EndpointQueue& queue);
    // Calls it for each listed endpoint, which may leave the list meanwhile.
    template <typename Function>
    void for_each_listed(Function function);
    // Updates the counters and the list of turns after the queue has changed.
    void update(core::EndpointId endpoint, EndpointQueue& queue);
    // Moves all waiting deliveries but the first `kept` to the end of `taken`.
    void take_behind(EndpointQueue& queue, std::size_t kept, std::vector<core::Delivery>& taken);

    const std::size_t slots_;
    std::unordered_map<core::EndpointId, EndpointQueue> queues_;
    // Endpoints that are active, or for which messages are held: of thousands of others none is looked at regularly.
    std::list<core::EndpointId> listed_;
    // Endpoints that have waiting deliveries and are below their own limit, in the order of their turns.
    std::list<core::EndpointId> within_share_;
    std::list<core::EndpointId> proven_;  // within their shares too, while the slots are crowded
    std::list<core::EndpointId> beyond_share_;
    std::list<core::EndpointId> untried_;
    std::list<core::EndpointId> silent_;
    bool silent_is_next_ = false;
    bool untried_is_next_ = false;  // for a trial
    bool trial_is_next_ = false;
    bool crowded_ = false;
    std::uint64_t crowding_ = 1;  // the number of the present crowding, or of the last one
    std::size_t on_trial_ = 0;
    std::size_t active_ = 0;
    std::size_t answering_ = 0;  // active endpoints that are not silent
    std::size_t waiting_ = 0;
    std::size_t in_flight_ = 0;
    std::size_t silent_in_flight_ = 0;  // with untried_in_flight_
    std::size_t untried_in_flight_ = 0;
    std::size_t proven_in_flight_ = 0;
    std::size_t counted_ = 0;
    std::size_t silent_waiting_ = 0;
    std::size_t bytes_ = 0;
    std::size_t silent_bytes_ = 0;
    std::uint64_t starts_ = 0;
    std::uint64_t answers_ = 0;
};

}  // namespace messaging::engine
