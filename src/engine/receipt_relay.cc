// Writes new batches, backs off after a failure, and writes missed batches from PostgreSQL.
#include "engine/receipt_relay.h"

#include <utility>

#include "engine/receipt_backlog_store.h"

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kNext{1};   // a full read is followed by the next one
constexpr std::size_t kMaxRefusedProbes = 100;  // days of a Redis that refuses everything must not make the reads dearer

}  // namespace

ReceiptRelay::ReceiptRelay(ReceiptLog& log, ReceiptBacklogStore& backlog, loop::TimerFactory& timers, core::Random& random,
                           EngineObserver& observer, Mediator mediator)
    : log_(log),
      backlog_(backlog),
      random_(random),
      observer_(observer),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { on_timer(); })),
      reclaim_timer_(timers.make_timer([this] {
          reclaim_due_ = true;
          reclaim_timer_->start(kBacklogReclaimPeriod);
      })) {}

void ReceiptRelay::start() {
    timer_->start(kBacklogPeriod);
    reclaim_timer_->start(kBacklogReclaimPeriod);
}

void ReceiptRelay::stop() {
    stopped_ = true;
    timer_->stop();
    reclaim_timer_->stop();
}

void ReceiptRelay::add(std::int64_t batch_id, const std::vector<core::Receipt>& receipts) {
    if (!open() || receipts_in_memory_ + receipts.size() > kMaxReceiptsInMemory) return;
    write(batch_id, receipts);
}

void ReceiptRelay::write(std::int64_t batch_id, const std::vector<core::Receipt>& receipts) {
    in_memory_[batch_id] = receipts.size();
    if (receipts.empty()) {  // its messages are gone or sent again, or it was pruned: Redis need not be asked
        mediator_.on_confirmed(batch_id);
        return;
    }
    receipts_in_memory_ += receipts.size();
    log_.write(receipts, [this, batch_id](const core::Result<core::Unit>& result) {
        if (result) {
            on_written(batch_id);
        } else {
            on_failed(batch_id, result.error());
        }
    });
}

void ReceiptRelay::on_written(std::int64_t batch_id) {
    const std::size_t written = std::exchange(in_memory_[batch_id], 0);
    receipts_in_memory_ -= written;
    // During a back-off this is the late answer to what was written before the failure: it says nothing about now.
    if (!backing_off_) {
        failures_ = 0;
        observer_.on_success(kReceiptsOperation);
        if (std::exchange(probing_, false) && !stopped_) timer_->start(kNext);
    }
    observer_.on_receipts(written);
    mediator_.on_confirmed(batch_id);
}

void ReceiptRelay::on_failed(std::int64_t batch_id, const core::Error& error) {
    receipts_in_memory_ -= in_memory_[batch_id];
    in_memory_.erase(batch_id);
    observer_.on_error(kReceiptsOperation, error);
    if (backing_off_) return;  // written before the failure that began it
    if (std::exchange(probing_, false)) {
        if (refused_probes_.size() >= kMaxRefusedProbes) refused_probes_.clear();
        refused_probes_.push_back(batch_id);
    }
    backing_off_ = true;
    ++failures_;
    if (!stopped_) timer_->start(core::next_delay(kReceiptBackoff, failures_, random_));
}

void ReceiptRelay::forget(const std::vector<std::int64_t>& batches) {
    for (const std::int64_t batch_id : batches) in_memory_.erase(batch_id);
}

// Any instance may reclaim the old instance's other backlog rows.
void ReceiptRelay::on_registered_anew(core::InstanceId from, core::InstanceId to) {
    if (in_memory_.empty()) return;
    std::vector<std::int64_t> in_memory;
    in_memory.reserve(in_memory_.size());
    for (const auto& [batch_id, size] : in_memory_) in_memory.push_back(batch_id);
    backlog_.move_backlog(from, to, std::move(in_memory), [this](const core::Result<core::Unit>& moved) {
        if (!moved) observer_.on_error(kBacklogOperation, moved.error());
    });
}

void ReceiptRelay::on_timer() {
    if (std::exchange(backing_off_, false)) probing_ = true;
    catch_up();
}

void ReceiptRelay::catch_up() {
    timer_->start(kBacklogPeriod);
    if (reading_ || !log_.up() || receipts_in_memory_ >= kMaxReceiptsInMemory || mediator_.instance_id() == 0) return;
    reading_ = true;
    std::vector<std::int64_t> not_these = refused_probes_;
    for (const auto& [batch_id, size] : in_memory_) not_these.push_back(batch_id);
    const int limit = probing_ ? 1 : kBacklogBatches;
    backlog_.read_backlog(mediator_.instance_id(), std::move(not_these), limit,
                          [this, limit](const core::Result<std::vector<BacklogBatch>>& result) {
                              reading_ = false;
                              if (!result) {
                                  observer_.on_error(kBacklogOperation, result.error());
                                  return;
                              }
                              observer_.on_success(kBacklogOperation);
                              if (stopped_ || backing_off_ || !log_.up()) return;
                              on_backlog(result.value(), limit);
                          });
}

void ReceiptRelay::on_backlog(const std::vector<BacklogBatch>& batches, int limit) {
    for (const BacklogBatch& batch : batches) {
        if (in_memory_.contains(batch.batch_id)) continue;
        write(batch.batch_id, batch.receipts);
        if (probing_ && !batch.receipts.empty()) return;  // the answer to this one decides
    }
    if (batches.size() == static_cast<std::size_t>(limit)) {
        timer_->start(kNext);
        return;
    }
    refused_probes_.clear();
    // Nothing is left to probe with: the next batch that is sent shows whether Redis takes it.
    if (batches.empty()) probing_ = false;
    if (reclaim_due_ && open()) reclaim();
}

void ReceiptRelay::reclaim() {
    reclaim_due_ = false;
    reading_ = true;
    backlog_.reclaim_backlog(mediator_.instance_id(), kBacklogBatches, [this](const core::Result<std::size_t>& reclaimed) {
        reading_ = false;
        if (!reclaimed) {
            observer_.on_error(kBacklogOperation, reclaimed.error());
            return;
        }
        if (reclaimed.value() == 0 || stopped_) return;
        reclaim_due_ = true;  // perhaps there are more
        if (!backing_off_) timer_->start(kNext);
    });
}

}  // namespace messaging::engine
