// A dispatcher's step: a delivery goes in, one comes out in its turn, and one is finished. Argument: endpoints.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "engine/endpoint_queues.h"

namespace messaging::engine {
namespace {

constexpr int kWaitingEach = 4;  // so that every endpoint has its turn

core::Delivery delivery_to(core::EndpointId endpoint) {
    core::Delivery delivery;
    delivery.endpoint_id = endpoint;
    delivery.recipient = "+905551111111";
    delivery.content.assign(64, 'x');
    return delivery;
}

void dispatch_step(benchmark::State& state) {
    EndpointQueues queues(512);
    const core::EndpointId endpoints = state.range(0);
    for (core::EndpointId endpoint = 1; endpoint <= endpoints; ++endpoint) {
        queues.set_max_in_flight(endpoint, 64);
        for (int i = 0; i < kWaitingEach; ++i) queues.push(delivery_to(endpoint));
    }
    for (auto _ : state) {
        auto delivery = queues.next_startable();
        if (!delivery) std::abort();
        queues.finished(delivery->endpoint_id, engine::Ended::kAnswered);
        queues.push(std::move(*delivery));
    }
}
BENCHMARK(dispatch_step)->Arg(1)->Arg(100)->Arg(1000);

void measure_of_all_endpoints(benchmark::State& state) {
    EndpointQueues queues(512);
    for (core::EndpointId endpoint = 1; endpoint <= state.range(0); ++endpoint) queues.push(delivery_to(endpoint));
    for (auto _ : state) queues.measure(std::chrono::milliseconds(100));
}
BENCHMARK(measure_of_all_endpoints)->Arg(1)->Arg(100)->Arg(1000);

}  // namespace
}  // namespace messaging::engine
