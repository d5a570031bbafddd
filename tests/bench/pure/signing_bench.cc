// Signatures of a request, and what preparing a key once spares.
#include <benchmark/benchmark.h>

#include "crypto/sealer.h"
#include "crypto/signing_secret.h"

namespace messaging::crypto {
namespace {

constexpr const char* kId = "msg_rnkdfj_1000000_0f3a9c";
constexpr const char* kTimestamp = "1767323045";

// Arguments: kind (0 = v1, 1 = v1a), bytes of the body.
void signature(benchmark::State& state) {
    const auto kind = state.range(0) == 0 ? core::SigningKind::kV1 : core::SigningKind::kV1a;
    const auto signer = make_signer(kind, new_secret(kind)->view());
    const std::string body(static_cast<std::size_t>(state.range(1)), 'x');
    for (auto _ : state) benchmark::DoNotOptimize((*signer.value()).sign(kId, kTimestamp, body));
}
BENCHMARK(signature)->Args({0, 100})->Args({0, 4096})->Args({1, 100});

void key_prepared_for_each(benchmark::State& state) {
    const auto secret = new_secret(core::SigningKind::kV1);
    const std::string body(100, 'x');
    for (auto _ : state) {
        const auto signer = make_signer(core::SigningKind::kV1, secret->view());
        benchmark::DoNotOptimize((*signer.value()).sign(kId, kTimestamp, body));
    }
}
BENCHMARK(key_prepared_for_each);

void secret_opened(benchmark::State& state) {
    const Sealer sealer({core::SecretText(std::string(kSealingKeyBytes, 'k'))});
    const auto sealed = sealer.seal(new_secret(core::SigningKind::kV1)->view(), "endpoint 1 v1");
    for (auto _ : state) benchmark::DoNotOptimize(sealer.open(sealed.value(), "endpoint 1 v1"));
}
BENCHMARK(secret_opened);

}  // namespace
}  // namespace messaging::crypto
