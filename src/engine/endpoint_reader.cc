// The pace of the readings.
#include "engine/endpoint_reader.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace messaging::engine {

EndpointReader::EndpointReader(EndpointStore& store, loop::TimerFactory& timers, const core::Clock& clock, Mediator mediator)
    : store_(store), clock_(clock), mediator_(std::move(mediator)), timer_(timers.make_timer([this] { next(); })) {}

void EndpointReader::read() {
    wanted_ = true;
    next();
}

void EndpointReader::read_at_once() {
    not_before_ = {};
    read();
}

void EndpointReader::refresh() {
    if (clock_.mono() >= next_refresh_) read();
}

void EndpointReader::await(std::vector<core::Delivery> deliveries) {
    waiting_.insert(waiting_.end(), std::make_move_iterator(deliveries.begin()), std::make_move_iterator(deliveries.end()));
    read();
}

std::vector<core::MessageId> EndpointReader::waiting_messages() const {
    std::vector<core::MessageId> ids;
    for (const core::Delivery& delivery : waiting_) ids.push_back(delivery.id);
    for (const core::Delivery& delivery : served_) ids.push_back(delivery.id);
    return ids;
}

void EndpointReader::next() {
    if (reading_ || !wanted_) return;
    const auto pause = std::chrono::ceil<std::chrono::milliseconds>(not_before_ - clock_.mono());
    if (pause.count() > 0) {
        timer_->start(pause);
        return;
    }
    wanted_ = false;
    reading_ = true;
    started_ = clock_.mono();
    served_ = std::exchange(waiting_, {});
    store_.load_endpoints([this](const core::Result<std::vector<core::Endpoint>>& endpoints) { on_answer(endpoints); });
}

void EndpointReader::on_answer(const core::Result<std::vector<core::Endpoint>>& endpoints) {
    reading_ = false;
    const core::MonoTime now = clock_.mono();
    const auto took = now - started_;
    not_before_ = now + std::min<core::MonoTime::duration>(kReadingPauseFactor * took, kLongestReadingPause);
    next_refresh_ = endpoints ? now + std::min<core::MonoTime::duration>(kRefreshFactor * took, kLongestRefreshPause) : now;
    mediator_.on_read(endpoints);
    std::vector<core::Delivery> served = std::exchange(served_, {});
    if (!served.empty()) mediator_.on_waited(std::move(served));
    next();
}

}  // namespace messaging::engine
