// EndpointReader: reads the endpoints when they may have changed, and keeps the deliveries that wait for such a reading.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/clock.h"
#include "core/message.h"
#include "core/result.h"
#include "engine/endpoint_store.h"
#include "loop/timer.h"

namespace messaging::engine {

// The endpoints are read on the session that claims. Anybody can have them read, by a change or by a notification alone, so
// readings take a fifth of the session's time at most, and a fiftieth where nobody has asked. Time that was not used counts
// later: a change is read at once, before messages are claimed that were inserted after it.
inline constexpr int kReadingShare = 5;
inline constexpr std::chrono::milliseconds kMaxReadingCredit{200};
inline constexpr std::chrono::milliseconds kLongestReadingPause{5'000};
// Under way at a time. The first one may have begun before a change; the second one reads the change.
inline constexpr std::size_t kMaxReadings = 2;
inline constexpr int kRefreshFactor = 50;
inline constexpr std::chrono::milliseconds kLongestRefreshPause{60'000};
// Of the deliveries that wait for a reading. A reading may take long, and claims go on meanwhile.
inline constexpr std::size_t kMaxAwaiting = 2'000;
inline constexpr std::size_t kMaxAwaitingBytes = 8u << 20;

// Loop thread only.
class EndpointReader {
public:
    struct Mediator {
        std::function<void(const core::Result<std::vector<core::Endpoint>>&)> on_read;
        // After on_read(), also where the reading has failed: the deliveries that waited for it. Where the reading's session was
        // lost they wait on, for a reading of the next one: what was read before may be minutes old then.
        std::function<void(std::vector<core::Delivery>)> on_waited;
    };
    EndpointReader(EndpointStore& store, loop::TimerFactory& timers, const core::Clock& clock, Mediator mediator);

    // The endpoints may have changed: a reading begins after this call, as soon as the pause after the last one allows it.
    void read();
    // The same without a pause, for a session that has just come up.
    void read_at_once();
    // For changes whose notification was missed: reads when the last reading has failed, or was long enough ago for its cost.
    void refresh();
    // Whether the endpoint was read as it was when the message was claimed.
    bool has_read(const core::Delivery& delivery) const;
    // Keeps deliveries for which has_read() is false until a reading that begins after this call has ended. Returns the
    // deliveries that it has no capacity for.
    [[nodiscard]] std::vector<core::Delivery> await(std::vector<core::Delivery> deliveries);

    std::vector<core::MessageId> waiting_messages() const;
    // The endpoints whose deliveries wait for a reading.
    std::vector<core::EndpointId> awaited_endpoints() const;

private:
    struct Reading {
        core::MonoTime started;
        std::vector<core::Delivery> served;  // deliveries that wait for it
    };
    void next();
    bool has_capacity() const { return awaiting_ < kMaxAwaiting && awaiting_bytes_ < kMaxAwaitingBytes; }
    void each_waiting(const std::function<void(const core::Delivery&)>& visit) const;
    void earn_credit();
    void note_versions(const std::vector<core::Endpoint>& endpoints);
    void on_answer(const core::Result<std::vector<core::Endpoint>>& endpoints);

    EndpointStore& store_;
    const core::Clock& clock_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;
    std::vector<core::Delivery> waiting_;  // for a reading that has not begun
    std::deque<Reading> under_way_;        // answered in order
    std::size_t awaiting_ = 0;             // deliveries of both
    std::size_t awaiting_bytes_ = 0;
    std::unordered_map<core::EndpointId, std::int64_t> versions_;  // as they were read last
    core::MonoTime::duration credit_ = kMaxReadingCredit;
    core::MonoTime counted_{};  // when credit_ was last brought up to date
    core::MonoTime answered_{};
    core::MonoTime next_refresh_{};
    bool wanted_ = false;
};

}  // namespace messaging::engine
