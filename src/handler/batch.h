// Batch: what a POST creates, one item or up to kMaxItems of them, each accepted or refused by itself.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/json.h"
#include "handler/envelope.h"
#include "handler/stored_response.h"
#include "http/message.h"
#include "service/idempotency.h"

namespace messaging::handler {

inline constexpr std::size_t kMaxItems = 1000;                        // of one request
inline constexpr std::size_t kMaxBatchBytes = std::size_t{16} << 20;  // of its body

template <typename T>
using Checked = std::variant<T, Problem>;

template <typename T>
struct Batch {
    bool is_array = false;
    std::vector<Checked<T>> items{};  // in the order given
};

struct BatchNames {
    std::string_view one;   // message
    std::string_view many;  // messages
};

// The items of a body, which is one object or an array of them; or what is wrong with the body.
struct BatchBody {
    core::JsonDocument document;
    bool is_array = false;
    std::size_t size() const { return is_array ? document.root().size() : 1; }
    core::JsonView at(std::size_t index) const { return is_array ? document.root().at(index) : document.root(); }
};
Checked<BatchBody> read_batch_body(const http::Request& request, const core::JsonLimits& limits, const BatchNames& names);

template <typename T, typename ReadItem>
Checked<Batch<T>> read_batch(const http::Request& request, const core::JsonLimits& limits, const BatchNames& names,
                             ReadItem read_item) {
    const auto body = read_batch_body(request, limits, names);
    if (const auto* problem = std::get_if<Problem>(&body)) return *problem;
    const auto& found = std::get<BatchBody>(body);
    Batch<T> batch;
    batch.is_array = found.is_array;
    for (std::size_t i = 0; i < found.size(); ++i) batch.items.push_back(read_item(found.at(i)));
    return batch;
}

template <typename T>
std::vector<T> accepted(const Batch<T>& batch) {
    std::vector<T> items;
    for (const auto& item : batch.items) {
        if (const auto* good = std::get_if<T>(&item)) items.push_back(*good);
    }
    return items;
}

// Writes the members of an accepted item's result behind index and status: each value that only the database knows is a gap.
using WriteCreated = void (*)(core::JsonWriter& json, BodyGaps& gaps);

// The response to the batch. `problems` has one entry for each item: nullptr for one that is accepted.
service::ResponseTemplate to_batch_response(const std::vector<const Problem*>& problems, bool is_array, const BatchNames& names,
                                            WriteCreated write_created, const std::string& request_id);

template <typename T>
service::ResponseTemplate to_batch_response(const Batch<T>& batch, const BatchNames& names, WriteCreated write_created,
                                            const std::string& request_id) {
    std::vector<const Problem*> problems;
    for (const auto& item : batch.items) problems.push_back(std::get_if<Problem>(&item));
    return to_batch_response(problems, batch.is_array, names, write_created, request_id);
}

}  // namespace messaging::handler
