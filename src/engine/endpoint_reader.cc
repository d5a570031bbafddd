// Limits how often the endpoints are read.
#include "engine/endpoint_reader.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "engine/endpoint_queues.h"

namespace messaging::engine {
namespace {

// Not where a session that lasts has refused the statement: that may go on for ever.
bool is_session_lost(const core::Error& error) {
    const bool by_the_server = error.sqlstate.starts_with("57P") || error.sqlstate.starts_with("08");
    return error.kind == core::ErrorKind::kUnavailable && (error.sqlstate.empty() || by_the_server);
}

}  // namespace

EndpointReader::EndpointReader(EndpointStore& store, loop::TimerFactory& timers, const core::Clock& clock, Mediator mediator)
    : store_(store), clock_(clock), mediator_(std::move(mediator)), timer_(timers.make_timer([this] { next(); })) {}

void EndpointReader::read() {
    wanted_ = true;
    next();
}

void EndpointReader::read_at_once() {
    credit_ = std::max<core::MonoTime::duration>(credit_, {});
    read();
}

void EndpointReader::refresh() {
    if (clock_.mono() >= next_refresh_) read();
}

bool EndpointReader::has_read(const core::Delivery& delivery) const {
    const auto read = versions_.find(delivery.endpoint_id);
    return read != versions_.end() && read->second == delivery.endpoint_version;
}

void EndpointReader::note_versions(const std::vector<core::Endpoint>& endpoints) {
    versions_.clear();
    for (const core::Endpoint& endpoint : endpoints) versions_.emplace(endpoint.id, endpoint.version);
}

std::vector<core::Delivery> EndpointReader::await(std::vector<core::Delivery> deliveries) {
    const auto first_left = std::find_if(deliveries.begin(), deliveries.end(), [this](const core::Delivery& delivery) {
        if (!has_capacity()) return true;
        ++awaiting_;
        awaiting_bytes_ += size_of(delivery);
        return false;
    });
    std::vector<core::Delivery> left(std::make_move_iterator(first_left), std::make_move_iterator(deliveries.end()));
    waiting_.insert(waiting_.end(), std::make_move_iterator(deliveries.begin()), std::make_move_iterator(first_left));
    read();
    return left;
}

void EndpointReader::each_waiting(const std::function<void(const core::Delivery&)>& visit) const {
    std::for_each(waiting_.begin(), waiting_.end(), visit);
    for (const Reading& reading : under_way_) std::for_each(reading.served.begin(), reading.served.end(), visit);
}

std::vector<core::MessageId> EndpointReader::waiting_messages() const {
    std::vector<core::MessageId> ids;
    each_waiting([&ids](const core::Delivery& delivery) { ids.push_back(delivery.id); });
    return ids;
}

std::vector<core::EndpointId> EndpointReader::awaited_endpoints() const {
    std::set<core::EndpointId> endpoints;
    each_waiting([&endpoints](const core::Delivery& delivery) { endpoints.insert(delivery.endpoint_id); });
    return {endpoints.begin(), endpoints.end()};
}

void EndpointReader::earn_credit() {
    const core::MonoTime now = clock_.mono();
    credit_ = std::min<core::MonoTime::duration>(credit_ + (now - counted_) / kReadingShare, kMaxReadingCredit);
    counted_ = now;
}

void EndpointReader::next() {
    if (!wanted_ || under_way_.size() >= kMaxReadings) return;
    earn_credit();
    if (credit_.count() < 0) {
        timer_->start(std::chrono::ceil<std::chrono::milliseconds>(-credit_ * kReadingShare));
        return;
    }
    wanted_ = false;
    under_way_.push_back({clock_.mono(), std::exchange(waiting_, {})});
    store_.load_endpoints([this](const core::Result<std::vector<core::Endpoint>>& endpoints) { on_answer(endpoints); });
}

void EndpointReader::on_answer(const core::Result<std::vector<core::Endpoint>>& endpoints) {
    Reading reading = std::move(under_way_.front());
    under_way_.pop_front();
    if (!endpoints && is_session_lost(endpoints.error())) {
        waiting_.insert(waiting_.begin(), std::make_move_iterator(reading.served.begin()),
                        std::make_move_iterator(reading.served.end()));
        reading.served.clear();
    }
    awaiting_ -= reading.served.size();
    for (const core::Delivery& delivery : reading.served) awaiting_bytes_ -= size_of(delivery);
    earn_credit();
    const core::MonoTime now = clock_.mono();
    const auto took = now - std::max(reading.started, answered_);
    answered_ = now;
    credit_ = std::max<core::MonoTime::duration>(credit_ - took, -kLongestReadingPause / kReadingShare);
    next_refresh_ = endpoints ? now + std::min<core::MonoTime::duration>(kRefreshFactor * took, kLongestRefreshPause) : now;
    if (endpoints) note_versions(endpoints.value());
    mediator_.on_read(endpoints);
    if (!reading.served.empty()) mediator_.on_waited(std::move(reading.served));
    next();
}

}  // namespace messaging::engine
