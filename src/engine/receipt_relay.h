// ReceiptRelay: writes receipts to Redis after the sending, and writes later, from the database, the receipts that Redis missed.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/backoff.h"
#include "core/message.h"
#include "core/random.h"
#include "engine/engine_observer.h"
#include "engine/receipt_backlog_store.h"
#include "engine/receipt_log.h"
#include "loop/timer.h"

namespace messaging::engine {

inline constexpr std::size_t kMaxReceiptsInMemory = 20000;  // more than that is read from the backlog later
inline constexpr int kBacklogBatches = 20;                  // read, or reclaimed from a failed instance, at a time
inline constexpr std::chrono::milliseconds kBacklogPeriod{1000};
inline constexpr std::chrono::milliseconds kBacklogReclaimPeriod{5000};  // between two searches for batches of failed instances
// The wait after Redis has failed a batch. It doubles with each failure in a row, and the first success ends it.
inline constexpr core::BackoffPolicy kReceiptBackoff{std::chrono::milliseconds(500), 2.0, std::chrono::milliseconds(30000), 0};

// Loop thread only. No message waits for its receipt, and every sent batch is in messaging._receipt_backlog until Redis has
// confirmed it.
//
// A failed batch starts a back-off. Until its end nothing is written, neither new batches nor the backlog. Then one batch of the
// backlog is written as a probe. Its success opens the relay again; its failure doubles the back-off.
class ReceiptRelay {
public:
    struct Mediator {
        std::function<core::InstanceId()> instance_id;  // 0 = not registered yet: the backlog is left alone
        std::function<void(std::int64_t batch_id)> on_confirmed;
    };

    ReceiptRelay(ReceiptLog& log, ReceiptBacklogStore& backlog, loop::TimerFactory& timers, core::Random& random,
                 EngineObserver& observer, Mediator mediator);

    void start();
    // No more is read from the backlog, because the engine is about to end. Batches that are added are still written.
    void stop();
    void add(std::int64_t batch_id, const std::vector<core::Receipt>& receipts);
    // The confirmations of these batches are committed: their backlog rows are gone.
    void forget(const std::vector<std::int64_t>& batches);
    // The engine that was `from` is now `to`: the backlog rows of the batches in memory move with it.
    void on_registered_anew(core::InstanceId from, core::InstanceId to);

    // Batches were given to Redis, and it has not answered yet. False while Redis is down or refuses: then nothing is written.
    bool writing() const { return receipts_in_memory_ > 0; }

private:
    void write(std::int64_t batch_id, const std::vector<core::Receipt>& receipts);
    void on_written(std::int64_t batch_id);
    void on_failed(std::int64_t batch_id, const core::Error& error);
    bool open() const { return !backing_off_ && !probing_ && log_.up(); }
    void on_timer();
    void catch_up();
    void on_backlog(const std::vector<BacklogBatch>& batches, int limit);
    void reclaim();

    ReceiptLog& log_;
    ReceiptBacklogStore& backlog_;
    core::Random& random_;
    EngineObserver& observer_;
    Mediator mediator_;
    std::unique_ptr<loop::Timer> timer_;  // the next reading of the backlog; during a back-off, its end
    std::unique_ptr<loop::Timer> reclaim_timer_;
    std::unordered_map<std::int64_t, std::size_t> in_memory_;  // batch -> receipts being written; 0 = confirmed
    std::size_t receipts_in_memory_ = 0;
    std::vector<std::int64_t> refused_probes_;  // left out until the rest of the backlog has been tried
    int failures_ = 0;                          // in a row
    bool backing_off_ = false;
    bool probing_ = false;  // one batch decides whether Redis takes receipts again
    bool reclaim_due_ = true;
    bool reading_ = false;  // a call to the backlog store is under way
    bool stopped_ = false;
};

}  // namespace messaging::engine
