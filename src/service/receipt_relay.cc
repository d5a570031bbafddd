// The fast path to Redis and the way back from a missed batch.
#include "service/receipt_relay.h"

#include <utility>

namespace messaging::service {

ReceiptRelay::ReceiptRelay(ReceiptLog& log, ReceiptBacklogStore& backlog, loop::TimerFactory& timers, EngineObserver& observer,
                           Mediator mediator)
    : log_(log),
      backlog_(backlog),
      observer_(observer),
      mediator_(std::move(mediator)),
      timer_(timers.make_timer([this] { catch_up(); })) {}

void ReceiptRelay::start() { timer_->start(kBacklogPeriod); }

void ReceiptRelay::stop() { timer_->stop(); }

void ReceiptRelay::add(std::int64_t batch_id, const std::vector<core::Receipt>& receipts) {
    if (!log_.up() || held_receipts_ + receipts.size() > kMaxHeldReceipts) return;
    write(batch_id, receipts);
}

void ReceiptRelay::write(std::int64_t batch_id, const std::vector<core::Receipt>& receipts) {
    held_[batch_id] = receipts.size();
    held_receipts_ += receipts.size();
    log_.write(receipts, [this, batch_id](const core::Result<core::Nothing>& result) {
        const std::size_t written = std::exchange(held_[batch_id], 0);
        held_receipts_ -= written;
        if (!result) {
            held_.erase(batch_id);
            observer_.on_trouble(kReceiptsTrouble, result.error());
            return;
        }
        observer_.on_receipts(written);
        mediator_.on_confirmed(batch_id);
    });
}

void ReceiptRelay::forget(const std::vector<std::int64_t>& batches) {
    for (const std::int64_t batch_id : batches) held_.erase(batch_id);
}

void ReceiptRelay::catch_up() {
    timer_->start(kBacklogPeriod);
    if (reading_ || !log_.up() || held_receipts_ >= kMaxHeldReceipts) return;
    reading_ = true;
    std::vector<std::int64_t> held;
    for (const auto& [batch_id, size] : held_) held.push_back(batch_id);
    backlog_.read_backlog(mediator_.instance_id(), std::move(held), kBacklogBatches,
                          [this](core::Result<std::vector<BacklogBatch>> result) {
                              reading_ = false;
                              if (!result) {
                                  observer_.on_trouble("receipt backlog", result.error());
                                  return;
                              }
                              for (const BacklogBatch& batch : result.value()) {
                                  if (!held_.contains(batch.batch_id)) write(batch.batch_id, batch.receipts);
                              }
                              if (result->size() == static_cast<std::size_t>(kBacklogBatches)) {
                                  timer_->start(std::chrono::milliseconds(1));
                              }
                          });
}

}  // namespace messaging::service
