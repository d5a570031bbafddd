// Breadth first, so that the first path found is the shortest.
#include "model/claim_walk.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace messaging::model {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

// A state's name: 128 bits of it, so that no two of some million states share one.
struct Name {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    bool operator==(const Name&) const = default;
};
struct NameHash {
    std::size_t operator()(const Name& name) const { return name.low; }
};

constexpr std::uint64_t mixed(std::uint64_t value) {  // splitmix64
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebULL;
    return value ^ (value >> 31U);
}

Name name_of(const State& state) {
    static_assert(std::has_unique_object_representations_v<State>);
    constexpr std::size_t kWords = (sizeof(State) + 7) / 8;
    std::array<std::uint64_t, kWords> words{};
    std::memcpy(words.data(), &state, sizeof(State));
    Name name{0x9e3779b97f4a7c15ULL, 0x2545f4914f6cdd1dULL};
    for (const std::uint64_t word : words) {
        name.high = mixed(name.high ^ word);
        name.low = mixed(name.low + word * 0x9e3779b97f4a7c15ULL + 1);
    }
    return name;
}

auto order_of(const Message& message) {
    return std::tie(message.inserted, message.sent, message.dead, message.attempts, message.abandoned, message.generation,
                    message.queued, message.held, message.accepted, message.schedule);
}
auto order_of(const Engine& engine) {
    return std::tie(engine.life, engine.listen_session, engine.row, engine.breaker_open, engine.read_failing, engine.finding,
                    engine.reading, engine.item_count, engine.items, engine.open);
}

// Where each of `things` belongs, for states that differ only in which message or engine is which to become (mostly) one.
template <typename Thing, std::size_t kSize>
std::array<std::uint8_t, kSize> sort_in_place(std::array<Thing, kSize>& things) {
    std::array<std::uint8_t, kSize> order{};
    std::iota(order.begin(), order.end(), std::uint8_t{0});
    const std::array<Thing, kSize> before = things;
    std::sort(order.begin(), order.end(), [&before](std::uint8_t a, std::uint8_t b) {
        if (before[a] == before[b]) return a < b;
        return order_of(before[b]) < order_of(before[a]);
    });
    std::array<std::uint8_t, kSize> place{};
    for (std::size_t i = 0; i < kSize; ++i) {
        things[i] = before[order[i]];
        place[order[i]] = static_cast<std::uint8_t>(i);
    }
    return place;
}

State without_names(State state) {
    const auto message_place = sort_in_place(state.messages);
    for (std::size_t c = 0; c < state.claim_count; ++c) {
        const auto [attempts, generations] = std::pair{state.claims[c].attempts, state.claims[c].generations};
        for (std::size_t m = 0; m < kMaxMessages; ++m) {
            state.claims[c].attempts[message_place[m]] = attempts[m];
            state.claims[c].generations[message_place[m]] = generations[m];
        }
    }
    for (Engine& engine : state.engines) {
        for (std::size_t i = 0; i < engine.item_count; ++i) engine.items[i].message = message_place[engine.items[i].message];
    }
    make_canonical(state);
    const auto engine_place = sort_in_place(state.engines);
    for (std::size_t c = 0; c < state.claim_count; ++c) {
        Owner& owner = state.claims[c].owner;
        if (owner < kFailed) owner = static_cast<Owner>(2 * engine_place[owner / 2U] + owner % 2U);
    }
    make_canonical(state);
    return state;
}

class Walker {
public:
    Walker(const Bounds& bounds, Mistakes mistakes, std::optional<Promise> only)
        : bounds_(bounds), mistakes_(mistakes), only_(only) {
        visit(initial_state(bounds), kNone, {});
    }

    // Until all are known, or a promise is broken.
    void go() {
        for (std::uint32_t from = 0; from < states_.size() && !breach_; ++from) {
            const State state = states_[from];
            for (const Step& step : steps_from(state, bounds_)) {
                ++steps_;
                const State next = after(state, step, mistakes_);
                const std::uint32_t to = visit(next, from, step);
                if (heals(state, step)) healing_.emplace_back(to, from);
                if (!breach_ && asks(Promise::kDisabledStays) && !keeps_disabled(state, step, next)) {
                    breach_ = Breach{Promise::kDisabledStays, path_to(from), next};
                    breach_->path.push_back(step);
                }
                if (!breach_ && asks(Promise::kFenced) && !keeps_fence(state, step, next)) {
                    breach_ = Breach{Promise::kFenced, path_to(from), next};
                    breach_->path.push_back(step);
                }
                if (breach_) return;
            }
        }
    }

    // The state nearest to the beginning from which none of the good ends can be reached.
    void look_for_dead_ends(Promise promise, bool (*is_end)(const State& state)) {
        if (breach_ || !asks(promise)) return;
        std::sort(healing_.begin(), healing_.end());
        std::vector<bool> reaches(states_.size());
        std::vector<std::uint32_t> reached;
        for (std::uint32_t i = 0; i < states_.size(); ++i) {
            if (!is_end(states_[i])) continue;
            reaches[i] = true;
            reached.push_back(i);
        }
        while (!reached.empty()) {
            const std::uint32_t to = reached.back();
            reached.pop_back();
            auto edge = std::lower_bound(healing_.begin(), healing_.end(), std::pair{to, std::uint32_t{0}});
            for (; edge != healing_.end() && edge->first == to; ++edge) {
                if (reaches[edge->second]) continue;
                reaches[edge->second] = true;
                reached.push_back(edge->second);
            }
        }
        const auto stuck = std::find(reaches.begin(), reaches.end(), false);
        if (stuck == reaches.end()) return;
        const auto index = static_cast<std::uint32_t>(stuck - reaches.begin());
        breach_ = Breach{promise, path_to(index), states_[index]};
    }

    Walk result() { return {states_.size(), steps_, std::move(breach_)}; }
    bool asks(Promise promise) const { return !only_ || *only_ == promise; }

private:
    std::uint32_t visit(const State& state, std::uint32_t parent, const Step& step) {
        const auto [found, is_new] = numbers_.emplace(name_of(without_names(state)), static_cast<std::uint32_t>(states_.size()));
        if (!is_new) return found->second;
        states_.push_back(state);
        parents_.emplace_back(parent, step);
        if (const auto promise = broken_in(state, only_)) breach_ = Breach{*promise, path_to(found->second), state};
        return found->second;
    }

    std::vector<Step> path_to(std::uint32_t state) const {
        std::vector<Step> path;
        for (; parents_[state].first != kNone; state = parents_[state].first) path.push_back(parents_[state].second);
        std::reverse(path.begin(), path.end());
        return path;
    }

    Bounds bounds_;
    Mistakes mistakes_;
    std::optional<Promise> only_;
    std::unordered_map<Name, std::uint32_t, NameHash> numbers_;
    std::vector<State> states_;  // as they were first reached: the paths' steps name them
    std::vector<std::pair<std::uint32_t, Step>> parents_;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> healing_;  // to, from
    std::size_t steps_ = 0;
    std::optional<Breach> breach_;
};

}  // namespace

Walk walk(const Bounds& bounds, Mistakes mistakes, std::optional<Promise> only) {
    Walker walker(bounds, mistakes, only);
    walker.go();
    walker.look_for_dead_ends(Promise::kProgress, is_goal);
    if (bounds.breakers) walker.look_for_dead_ends(Promise::kAgreement, agrees);
    return walker.result();
}

}  // namespace messaging::model
