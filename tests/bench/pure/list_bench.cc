// A list's query with its cursor, read and written, and a message as the API shows it.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "handler/cursor.h"
#include "handler/encode.h"
#include "handler/requests.h"
#include "service/message_store.h"

namespace messaging::handler {
namespace {

service::ListQuery recipient_query() {
    service::ListQuery query;
    query.status = service::ListStatus::kPending;
    query.recipient = "+905551111111";
    return query;
}

void cursor_written(benchmark::State& state) {
    const service::ListQuery query = recipient_query();
    for (auto _ : state) benchmark::DoNotOptimize(write_cursor(query, {0, 10'000'000}));
}
BENCHMARK(cursor_written);

void query_with_cursor_read(benchmark::State& state) {
    http::Request request;
    request.query = {{"status", "pending"},
                     {"recipient", "+905551111111"},
                     {"limit", "250"},
                     {"cursor", write_cursor(recipient_query(), {0, 10'000'000})}};
    if (!std::holds_alternative<service::ListQuery>(read_list_query(request))) std::abort();
    for (auto _ : state) benchmark::DoNotOptimize(read_list_query(request));
}
BENCHMARK(query_with_cursor_read);

void message_of_a_list(benchmark::State& state) {
    core::MessageView message;
    message.id = 10'000'000;
    message.recipient = "+905551111111";
    message.content = std::string(64, 'x');
    message.status = core::MessageStatus::kSent;
    message.attempts = 1;
    message.created_at = message.sent_at.emplace("2026-01-01T00:00:00.000000Z");
    message.receiver_message_id = "67f2f8a8-ea58-4ed0-a6f9-ff217df4d849";
    message.endpoint = "default";
    for (auto _ : state) {
        core::JsonWriter json;
        write_message(json, message);
        benchmark::DoNotOptimize(json.text().data());
    }
}
BENCHMARK(message_of_a_list);

}  // namespace
}  // namespace messaging::handler
