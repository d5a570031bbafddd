// ReceiptRelay: writes receipts to Redis behind the sending, and catches up from the database what Redis missed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/message.h"
#include "loop/timer.h"
#include "service/engine_observer.h"
#include "service/queue_store.h"
#include "service/receipt_log.h"

namespace messaging::service {

inline constexpr std::size_t kMaxHeldReceipts = 20000;  // in memory; what is beyond comes back from the backlog
inline constexpr int kBacklogBatches = 20;              // read at a time
inline constexpr std::chrono::milliseconds kBacklogPeriod{1000};

// Loop thread only. Nothing waits for it: Redis is a log, and every sent batch stands in messaging._receipt_backlog until confirmed.
class ReceiptRelay {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;
        std::function<void(std::int64_t batch_id)> on_confirmed;
    };

    ReceiptRelay(ReceiptLog& log, ReceiptBacklogStore& backlog, loop::TimerFactory& timers, EngineObserver& observer,
                 Mediator mediator);

    void start();
    void stop();
    void add(std::int64_t batch_id, const std::vector<core::Receipt>& receipts);
    // The confirmations of these batches are committed: their backlog rows are gone.
    void forget(const std::vector<std::int64_t>& batches);
    bool idle() const { return held_.empty(); }

private:
    void write(std::int64_t batch_id, const std::vector<core::Receipt>& receipts);
    void catch_up();

    ReceiptLog& log_;
    ReceiptBacklogStore& backlog_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;
    std::unordered_map<std::int64_t, std::size_t> held_;  // batch -> receipts being written; 0 = confirmed
    std::size_t held_receipts_ = 0;
    bool reading_ = false;
};

}  // namespace messaging::service
