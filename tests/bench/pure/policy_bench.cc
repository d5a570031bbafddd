// What an attempt's result means: back-off, Retry-After, and the outcome made of both. Whether an address may be connected to.
#include <benchmark/benchmark.h>

#include <string>

#include "core/address_policy.h"
#include "core/backoff.h"
#include "core/outcome.h"
#include "core/retry_after.h"
#include "support/fixed_random.h"

namespace messaging::core {
namespace {

void backoff_delay(benchmark::State& state) {
    const BackoffPolicy policy;
    test::FixedRandom random;
    int attempts = 0;
    for (auto _ : state) {
        attempts = attempts % policy.max_attempts + 1;
        benchmark::DoNotOptimize(next_delay(policy, attempts, random));
    }
}
BENCHMARK(backoff_delay);

void retry_after(benchmark::State& state, const std::string& value, const std::string& date) {
    for (auto _ : state) benchmark::DoNotOptimize(parse_retry_after(value, date, WallTime{}));
}
BENCHMARK_CAPTURE(retry_after, seconds, "120", "");
BENCHMARK_CAPTURE(retry_after, date, "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:47:37 GMT");
BENCHMARK_CAPTURE(retry_after, neither, "in a while", "");

void outcome(benchmark::State& state, int status, const std::string& wait) {
    const OutcomePolicy policy;
    test::FixedRandom random;
    AttemptResult result;
    result.status = status;
    result.retry_after = wait;
    for (auto _ : state) benchmark::DoNotOptimize(classify_attempt(policy, Delivery{}, result, WallTime{}, random));
}
BENCHMARK_CAPTURE(outcome, accepted, 202, "");
BENCHMARK_CAPTURE(outcome, refused, 503, "120");

// As before each guarded request, from the text that curl has of the peer.
void peer_address(benchmark::State& state, const std::string& peer) {
    const AddressPolicy policy(parse_networks("127.0.0.0/8,::1").value());
    for (auto _ : state) benchmark::DoNotOptimize(policy.refusal(*IpAddress::parse(peer)));
}
BENCHMARK_CAPTURE(peer_address, public_v4, "93.184.215.14");
BENCHMARK_CAPTURE(peer_address, public_v6, "2606:4700::6810:84e5");
BENCHMARK_CAPTURE(peer_address, allowed, "127.0.0.1");

}  // namespace
}  // namespace messaging::core
