// What a request is made of, and what is read of its answer.
#include <benchmark/benchmark.h>

#include "core/webhook_id.h"
#include "gateway/webhook_sender.h"

namespace messaging::gateway {
namespace {

// Argument: bytes of the content.
void message_body(benchmark::State& state) {
    core::Delivery delivery;
    delivery.recipient = "+905551111111";
    delivery.content.assign(static_cast<std::size_t>(state.range(0)), 'x');
    for (auto _ : state) benchmark::DoNotOptimize(webhook_body(delivery));
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}
BENCHMARK(message_body)->Arg(64)->Arg(4096);

void message_body_of_escapes(benchmark::State& state) {
    core::Delivery delivery;
    delivery.recipient = "+905551111111";
    for (int i = 0; i < 16; ++i) delivery.content += "\"\\\n\x01";
    for (auto _ : state) benchmark::DoNotOptimize(webhook_body(delivery));
}
BENCHMARK(message_body_of_escapes);

void webhook_id_text(benchmark::State& state) {
    const std::string tag = "ghjkmn";
    core::Delivery delivery;
    delivery.id = 10'000'000;
    for (auto _ : state) {
        ++delivery.id;
        benchmark::DoNotOptimize(core::format_webhook_id(tag, delivery.id, delivery.generation));
    }
}
BENCHMARK(webhook_id_text);

void answer_with_an_id(benchmark::State& state) {
    const std::string body = R"({"message":"Accepted","messageId":"67f2f8a8-ea58-4ed0-a6f9-ff217df4d849"})";
    for (auto _ : state) benchmark::DoNotOptimize(receiver_message_id(body));
}
BENCHMARK(answer_with_an_id);

void answer_that_is_no_json(benchmark::State& state) {
    const std::string body = "<html><body>Accepted</body></html>";
    for (auto _ : state) benchmark::DoNotOptimize(receiver_message_id(body));
}
BENCHMARK(answer_that_is_no_json);

void answer_of_64_kilobytes(benchmark::State& state) {
    std::string body = R"({"items":[0)";
    while (body.size() < 65'000) body += ",123456";
    body += R"(],"messageId":"a"})";
    for (auto _ : state) benchmark::DoNotOptimize(receiver_message_id(body));
}
BENCHMARK(answer_of_64_kilobytes)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace messaging::gateway
