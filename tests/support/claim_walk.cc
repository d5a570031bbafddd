// Breadth first, so that the first path found is the shortest.
#include "support/claim_walk.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>

namespace messaging::model {
namespace {

constexpr std::uint32_t kNone = UINT32_MAX;

struct Hash {
    std::size_t operator()(const State& state) const {
        static_assert(std::has_unique_object_representations_v<State>);
        std::array<char, sizeof(State)> bytes;
        std::memcpy(bytes.data(), &state, sizeof(State));
        return std::hash<std::string_view>{}({bytes.data(), bytes.size()});
    }
};

// Whoever is meant will find it, without anybody's death.
bool is_answered_for(const State& state, std::size_t claim, std::size_t message) {
    const Owner owner = state.claims[claim].owner;
    if (owner >= kGrave || owner % 2 == 1) return true;
    const Engine& engine = state.engines[owner / 2];
    const bool rescuable = !engine.row || engine.bell != Bell::kUp;
    if (rescuable || engine.open[claim] == 0) return true;  // not known: an orphan, or to be read again
    return std::any_of(engine.items.begin(), engine.items.begin() + engine.item_count,
                       [&](const Item& item) { return item.claim == claim && item.message == message; });
}

std::optional<Promise> broken_in(const State& state) {
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        const Message& message = state.messages[m];
        if (!message.inserted) continue;
        const bool scheduled = message.schedule != Schedule::kNone;
        if (message.sent && message.dead) return Promise::kSentIsNotDead;
        if (message.accepted > 1 && state.faults == 0) return Promise::kOnceUnlessFault;
        if (message.sent) continue;
        int places = message.queued + (scheduled ? 1 : 0) + (message.dead ? 1 : 0);
        for (std::size_t c = 0; c < state.claim_count; ++c) {
            if (is_open(state, state.claims[c], m) && is_answered_for(state, c, m)) ++places;
        }
        if (places == 0) return Promise::kNotLost;
        if (places > 1) return Promise::kInOnePlace;
    }
    return std::nullopt;
}

bool keeps_fence(const State& before, const Step& step, const State& after) {
    std::array<bool, kMaxMessages> may_change{};
    const bool records = step.action == Action::kRecord || step.action == Action::kLateRecord;
    may_change.fill(!records);
    const Engine& engine = before.engines[step.engine];
    for (std::size_t i = 0; records && i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        const bool chosen = step.action == Action::kLateRecord || step.which == kAll || step.which == i;
        if (chosen && (item.phase == Phase::kDelivered || !is_fenced_off(before, step.engine, item)))
            may_change[item.message] = true;
    }
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        const Message& was = before.messages[m];
        const Message& is = after.messages[m];
        if (!may_change[m] && was != is) return false;
        if (is.attempts < was.attempts || (was.sent && !is.sent) || (was.sent && is.attempts != was.attempts)) return false;
    }
    return true;
}

bool is_goal(const State& state) {
    return std::all_of(state.messages.begin(), state.messages.end(),
                       [](const Message& message) { return !message.inserted || message.sent || message.dead; });
}

// What happens by itself. A refusal is left out because it brings nobody nearer, as are what an operator does and a fault.
bool heals(const Step& step) {
    switch (step.action) {
        case Action::kInsert:
        case Action::kRefuse:
        case Action::kLocalFault:
        case Action::kStop:
        case Action::kShutDown: return false;
        default: return !is_fault(step);
    }
}

auto order_of(const Message& message) {
    return std::tie(message.inserted, message.sent, message.dead, message.attempts, message.queued, message.accepted,
                    message.schedule);
}
auto order_of(const Engine& engine) {
    return std::tie(engine.life, engine.bell, engine.row, engine.item_count, engine.items, engine.open);
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
        const auto attempts = state.claims[c].attempts;
        for (std::size_t m = 0; m < kMaxMessages; ++m) state.claims[c].attempts[message_place[m]] = attempts[m];
    }
    for (Engine& engine : state.engines) {
        for (std::size_t i = 0; i < engine.item_count; ++i) engine.items[i].message = message_place[engine.items[i].message];
    }
    make_canonical(state);
    const auto engine_place = sort_in_place(state.engines);
    for (std::size_t c = 0; c < state.claim_count; ++c) {
        Owner& owner = state.claims[c].owner;
        if (owner < kGrave) owner = static_cast<Owner>(2 * engine_place[owner / 2U] + owner % 2U);
    }
    make_canonical(state);
    return state;
}

class Walker {
public:
    Walker(const Bounds& bounds, Mistake mistake) : bounds_(bounds), mistake_(mistake) { visit({}, kNone, {}); }

    // Until all are known, or a promise is broken.
    void go() {
        for (std::uint32_t from = 0; from < states_.size() && !breach_; ++from) {
            const State state = states_[from];
            for (const Step& step : steps_from(state, bounds_)) {
                ++steps_;
                const State next = after(state, step, mistake_);
                const std::uint32_t to = visit(next, from, step);
                if (heals(step)) healing_.emplace_back(to, from);
                if (!keeps_fence(state, step, next)) {
                    breach_ = Breach{Promise::kFenced, path_to(from), next};
                    breach_->path.push_back(step);
                    return;
                }
                if (breach_) return;
            }
        }
    }

    // The state nearest to the beginning from which none of the good ends can be reached.
    void look_for_dead_ends() {
        std::sort(healing_.begin(), healing_.end());
        std::vector<bool> reaches(states_.size());
        std::vector<std::uint32_t> reached;
        for (std::uint32_t i = 0; i < states_.size(); ++i) {
            if (!is_goal(states_[i])) continue;
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
        breach_ = Breach{Promise::kProgress, path_to(index), states_[index]};
    }

    Walk result() { return {states_.size(), steps_, std::move(breach_)}; }
    bool broken() const { return breach_.has_value(); }

private:
    std::uint32_t visit(const State& state, std::uint32_t parent, const Step& step) {
        const auto [found, is_new] = numbers_.emplace(without_names(state), static_cast<std::uint32_t>(states_.size()));
        if (!is_new) return found->second;
        states_.push_back(state);
        parents_.emplace_back(parent, step);
        if (const auto promise = broken_in(state)) breach_ = Breach{*promise, path_to(found->second), state};
        return found->second;
    }

    std::vector<Step> path_to(std::uint32_t state) const {
        std::vector<Step> path;
        for (; parents_[state].first != kNone; state = parents_[state].first) path.push_back(parents_[state].second);
        std::reverse(path.begin(), path.end());
        return path;
    }

    Bounds bounds_;
    Mistake mistake_;
    std::unordered_map<State, std::uint32_t, Hash> numbers_;
    std::vector<State> states_;  // as they were first reached: the paths' steps name them
    std::vector<std::pair<std::uint32_t, Step>> parents_;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> healing_;  // to, from
    std::size_t steps_ = 0;
    std::optional<Breach> breach_;
};

}  // namespace

std::string to_text(Promise promise) {
    switch (promise) {
        case Promise::kNotLost: return "a committed message is never lost";
        case Promise::kInOnePlace: return "an unsent message is in one place only";
        case Promise::kSentIsNotDead: return "a sent message is not among the dead";
        case Promise::kFenced: return "late outcomes change nothing";
        case Promise::kOnceUnlessFault: return "without a fault nothing is accepted twice";
        case Promise::kProgress: return "there is always a way to the end";
    }
    return "";
}

Walk walk(const Bounds& bounds, Mistake mistake) {
    Walker walker(bounds, mistake);
    walker.go();
    if (!walker.broken()) walker.look_for_dead_ends();
    return walker.result();
}

}  // namespace messaging::model
