// Counts what arrives by id, and writes the JSON of GET /stats and /recent.
#include "commands/receiver_stats.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/json.h"
#include "core/rfc3339.h"
#include "core/webhook_id.h"

namespace messaging::commands {
namespace {

constexpr std::size_t kMaxIds = 10'000'000;     // that are not numbers of ours
constexpr std::size_t kMaxNumber = 50'000'000;  // four bytes each
constexpr std::size_t kRecent = 50;
constexpr std::size_t kMaxKeptBody = 64u << 10;

// The number in a webhook-id of ours, where it is small enough for the table.
std::optional<std::size_t> number_of(std::string_view id) {
    const auto number = core::id_in_webhook_id(id);
    if (!number || static_cast<std::size_t>(*number) >= kMaxNumber) return std::nullopt;
    return static_cast<std::size_t>(*number);
}

// Never 0, which means that none was seen.
std::uint32_t fingerprint_of(const std::string& id) { return static_cast<std::uint32_t>(std::hash<std::string>{}(id)) | 1U; }

void write_time(core::JsonWriter& json, const std::optional<core::WallTime>& time) {
    if (time) {
        json.string(core::format_rfc3339_ms(*time));
    } else {
        json.null();
    }
}

void write_count(core::JsonWriter& json, std::string_view name, std::size_t count) {
    json.key(name).integer(static_cast<std::int64_t>(count));
}

}  // namespace

std::optional<std::string> recipient_of(std::string_view body) {
    const auto document = core::JsonDocument::parse(body, {kMaxKeptBody, 16});
    if (!document || !document->root().is_object()) return std::nullopt;
    const auto to = document->root().member("to");
    if (!to || !to->is_string()) return std::nullopt;
    return std::string(to->text());
}

std::optional<bool> ReceiverStats::see(const std::string& id) {
    if (const auto number = number_of(id)) {
        if (*number >= numbers_.size()) numbers_.resize(std::max(*number + 1, std::min(numbers_.size() * 2, kMaxNumber)));
        std::uint32_t& first = numbers_[*number];
        const std::uint32_t fingerprint = fingerprint_of(id);
        if (first == fingerprint) return true;
        if (first == 0) {
            first = fingerprint;
            return false;
        }
        // Another database's message with this number, or another one that was given it.
    }
    if (others_.size() < kMaxIds) return !others_.insert(id).second;
    return others_.contains(id) ? std::optional(true) : std::nullopt;
}

void ReceiverStats::add(std::string_view id, std::string body, core::WallTime at) {
    ++received_;
    if (!first_at_) first_at_ = at;
    last_at_ = at;
    std::string key(id);
    if (!key.empty()) {
        if (const auto seen = see(key)) ++(*seen ? duplicates_ : distinct_);
    }
    const std::size_t bytes = body.size();
    if (recent_.size() == kRecent) recent_.pop_front();
    recent_.push_back({std::move(key), bytes <= kMaxKeptBody ? std::move(body) : std::string(), bytes, at});
}

void ReceiverStats::reset() { *this = ReceiverStats(); }

std::string ReceiverStats::stats_json(std::size_t in_flight) const {
    core::JsonWriter json;
    json.begin_object();
    write_count(json, "received", received_);
    write_count(json, "distinct", distinct_);
    write_count(json, "duplicates", duplicates_);
    write_time(json.key("first_at"), first_at_);
    write_time(json.key("last_at"), last_at_);
    write_count(json, "in_flight", in_flight);
    json.end_object();
    return std::string(json.text());
}

std::string ReceiverStats::recent_json() const {
    core::JsonWriter json;
    json.begin_array();
    for (auto recent = recent_.rbegin(); recent != recent_.rend(); ++recent) {
        json.begin_object().key("id").string(recent->id).key("to");
        if (const auto to = recipient_of(recent->body)) {
            json.string(*to);
        } else {
            json.null();
        }
        json.key("body").string(recent->body);
        write_count(json, "bytes", recent->bytes);
        write_time(json.key("at"), recent->at);
        json.end_object();
    }
    json.end_array();
    return std::string(json.text());
}

}  // namespace messaging::commands
