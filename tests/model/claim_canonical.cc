// One form for all states that differ only in the order of claims and of an engine's memory.
#include <algorithm>
#include <numeric>
#include <tuple>
#include <utility>

#include "model/claim_model.h"

namespace messaging::model {
namespace {

// A number for what an engine remembers of a claim, whatever the claim's own number is.
std::uint64_t sum_of_items(const Engine& engine, std::uint8_t claim) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        if (item.claim != claim) continue;
        std::uint64_t one = item.message;
        for (const unsigned part :
             {static_cast<unsigned>(item.phase), item.recording ? 1U : 0U, unsigned{item.attempts}, unsigned{item.generation}}) {
            one = one * 8 + part;
        }
        ++one;
        sum += one * one;
    }
    return sum;
}

bool comes_before(const State& state, std::uint8_t a, std::uint8_t b) {
    const auto key = [](const Claim& claim) {
        return std::tie(claim.owner, claim.from, claim.durable, claim.attempts, claim.generations);
    };
    const Claim& left = state.claims[a];
    const Claim& right = state.claims[b];
    if (key(left) != key(right)) return key(left) < key(right);
    for (const Engine& engine : state.engines) {
        if (engine.open[a] != engine.open[b]) return engine.open[a] < engine.open[b];
        const auto [of_a, of_b] = std::pair{sum_of_items(engine, a), sum_of_items(engine, b)};
        if (of_a != of_b) return of_a < of_b;
    }
    return a < b;
}

}  // namespace

Places make_canonical(State& state) {
    Places places;
    std::iota(places.claims.begin(), places.claims.end(), std::uint8_t{0});
    if (state.claim_count > 1) {
        std::sort(places.claims.begin(), places.claims.begin() + state.claim_count,
                  [&state](std::uint8_t a, std::uint8_t b) { return comes_before(state, a, b); });
        const std::array<Claim, kMaxClaims> claims = state.claims;
        std::array<std::uint8_t, kMaxClaims> now{};
        for (std::uint8_t c = 0; c < state.claim_count; ++c) {
            now[places.claims[c]] = c;
            state.claims[c] = claims[places.claims[c]];
        }
        for (Engine& engine : state.engines) {
            const std::array<std::uint8_t, kMaxClaims> open = engine.open;
            for (std::size_t c = 0; c < state.claim_count; ++c) engine.open[c] = open[places.claims[c]];
            for (std::size_t i = 0; i < engine.item_count; ++i) {
                if (engine.items[i].claim != kGone) engine.items[i].claim = now[engine.items[i].claim];
            }
        }
    }
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        Engine& engine = state.engines[e];
        auto& order = places.items[e];
        std::iota(order.begin(), order.end(), std::uint8_t{0});
        if (engine.item_count < 2) continue;
        const std::array<Item, kMaxItems> items = engine.items;
        std::sort(order.begin(), order.begin() + engine.item_count,
                  [&items](std::uint8_t a, std::uint8_t b) { return std::tie(items[a], a) < std::tie(items[b], b); });
        for (std::size_t i = 0; i < engine.item_count; ++i) engine.items[i] = items[order[i]];
    }
    return places;
}

}  // namespace messaging::model
