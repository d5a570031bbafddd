// Breadth first through all states; a step in a situation that is new ends a path.
#include "model/claim_paths.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>

namespace messaging::model {
namespace {

std::string one_word(std::initializer_list<int> values) {
    std::string word;
    for (const int value : values) word += std::to_string(value) + ",";
    return word;
}

std::string word_of(const Message& message) {
    return one_word({message.inserted, message.sent, message.dead, message.held, message.attempts, message.abandoned,
                     message.queued, static_cast<int>(message.schedule)});
}

// Seen by `engine`: 0 mine, 1 of an instance alive, 2 its lock is free, 3 no row, 4 of mine that is not yet moved.
int standing_of(const State& state, std::size_t engine, Owner owner) {
    if (owner == kFailed) return 2;
    if (owner == kNobody) return 3;
    if (owner == instance_of(engine)) return 0;
    const Engine& other = state.engines[owner / 2U];
    if (owner % 2 == 1) return 4;
    return !other.row ? 3 : other.listen_session == ListenSession::kUp ? 1 : 2;
}

std::string word_of(const State& state, std::size_t engine, const Claim& claim, bool known) {
    std::set<std::string> entries;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (claim.attempts[m] == kAbsent) continue;
        entries.insert(one_word({claim.attempts[m], is_open(state, claim, m)}));
    }
    std::string word =
        "claim " + one_word({standing_of(state, engine, claim.owner), claim.durable, static_cast<int>(claim.from), known});
    for (const std::string& entry : entries) word += entry;
    return word;
}

std::string word_of(const State& state, std::size_t engine, const Item& item, bool finishes) {
    const bool gone = item.claim == kGone;
    const int entry = gone ? kAbsent : state.claims[item.claim].attempts[item.message];
    const int standing = gone ? -1 : standing_of(state, engine, state.claims[item.claim].owner);
    const Message& row = state.messages[item.message];
    return "item " +
           one_word({static_cast<int>(item.phase), item.attempts, item.recording, item.generation == row.generation, standing,
                     entry, finishes, item.phase == Phase::kHeld ? static_cast<int>(state.endpoint) : 0}) +
           word_of(row);
}

// Those that the record's step is about, of the engine that records.
std::set<std::string> words_of_items(const State& state, std::size_t e, std::uint8_t which, Phase least) {
    std::set<std::string> words;
    const Engine& engine = state.engines[e];
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        if (which == kAll ? item.phase < least : i != which) continue;
        const auto of_its_claim =
            std::count_if(engine.items.begin(), engine.items.begin() + engine.item_count,
                          [&](const Item& other) { return other.claim == item.claim && is_outcome(other); });
        const bool finishes = item.claim != kGone && engine.open[item.claim] <= (which == kAll ? of_its_claim : 1);
        words.insert(word_of(state, e, item, finishes));
    }
    return words;
}

// A step of claims sees its engine's own, and a reclaim those that it takes.
std::set<std::string> words_of_claims(const State& state, const Step& step) {
    std::set<std::string> words;
    const bool failed_too = step.action == Action::kReclaim && step.which == kAll;
    const auto taken = reclaimable(state, step.engine, failed_too);
    for (std::size_t c = 0; c < state.claim_count; ++c) {
        const Claim& claim = state.claims[c];
        const bool known = state.engines[step.engine].open[c] != 0;
        const bool seen = step.action == Action::kReclaim ? taken[claim.owner] : known || claim.owner / 2 == step.engine;
        if (seen) words.insert(word_of(state, step.engine, claim, known));
    }
    return words;
}

std::set<std::string> words_of_all_claims(const State& state) {
    std::set<std::string> words;
    for (std::size_t c = 0; c < state.claim_count; ++c) words.insert(word_of(state, 0, state.claims[c], false));
    return words;
}

std::set<std::string> words_of_overlap(const State& state, const Step& step) {
    std::set<std::string> words = words_of_items(state, step.which, kAll, Phase::kDelivered);
    if (step.action == Action::kReclaimBehindMove) words.clear();
    if (step.action > Action::kReclaimBehindMove) words = words_of_items(state, step.which, step.other, Phase::kDelivered);
    words.insert(one_word({static_cast<int>(state.engines[step.which].life)}));
    return words;
}

// Each thing that the step sees makes a situation of its own.
std::set<std::string> situations_of(const State& state, const Step& step) {
    const Engine& engine = state.engines[step.engine];
    std::string situation = one_word({static_cast<int>(step.action)});
    std::set<std::string> words;
    switch (step.action) {
        case Action::kAccept:
        case Action::kRefuse:
        case Action::kLocalFault:
        case Action::kHold:
        case Action::kAnswerGone:
        case Action::kRecord: words = words_of_items(state, step.engine, step.which, Phase::kDelivered); break;
        case Action::kLateRecord: words = words_of_items(state, step.engine, kAll, Phase::kDelivered); break;
        case Action::kArrive:
        case Action::kLoseClaim:
        case Action::kRecorded:
        case Action::kLoseRecord: words = words_of_items(state, step.engine, kAll, Phase::kArriving); break;
        case Action::kMove:
        case Action::kMoved:
        case Action::kReclaim:
        case Action::kRescheduleOrphans:
        case Action::kShutDown:
            situation += one_word({step.which, engine.row});
            words = words_of_claims(state, step);
            break;
        case Action::kClaim:
        case Action::kClaimDue:
        case Action::kClaimHeld:
        case Action::kClaimBehindActive:
        case Action::kLateClaim:
            situation += one_word({engine.row, static_cast<int>(state.endpoint)});
            for (std::size_t m = 0; m < kMaxMessages; ++m) {
                if (((step.which >> m) & 1U) != 0) words.insert(word_of(state.messages[m]));
            }
            break;
        case Action::kWriteFinding:
        case Action::kSetEndpoint: {
            const auto is_held = [](const Message& message) { return message.held; };
            const bool any_held = std::any_of(state.messages.begin(), state.messages.end(), is_held);
            situation += one_word(
                {static_cast<int>(state.endpoint), static_cast<int>(engine.finding), static_cast<int>(step.which), any_held});
            break;
        }
        case Action::kReleaseStrays:
            situation += one_word({static_cast<int>(state.endpoint)});
            for (const Message& message : state.messages) words.insert(word_of(message));
            break;
        case Action::kSendAgain:
        case Action::kDelete: words = {word_of(state.messages[step.which])}; break;
        case Action::kCrash:
        case Action::kTruncate: words = words_of_all_claims(state); break;
        default:
            if (is_overlap(step)) {
                words = words_of_overlap(state, step);
            } else {
                situation += one_word({static_cast<int>(engine.life), static_cast<int>(engine.listen_session), engine.row});
            }
            break;
    }
    if (words.empty()) return {situation};
    std::set<std::string> situations;
    for (const std::string& word : words) situations.insert(situation + word);
    return situations;
}

bool is_beginning(const Path& path, const Path& of) {
    return path.size() <= of.size() && std::equal(path.begin(), path.end(), of.begin());
}

}  // namespace

std::vector<Path> paths_to_situations(const Bounds& bounds, Mistakes mistakes) {
    std::vector<State> states;
    std::vector<std::pair<std::size_t, Step>> parents;
    std::unordered_map<std::string, std::size_t> numbers;
    std::set<std::string> situations;
    std::vector<Path> paths;
    const auto visit = [&](const State& state, std::size_t parent, const Step& step) {
        std::string key(sizeof(State), '\0');
        std::memcpy(key.data(), &state, sizeof(State));
        if (!numbers.emplace(std::move(key), states.size()).second) return;
        states.push_back(state);
        parents.emplace_back(parent, step);
    };
    visit(initial_state(bounds), 0, {});
    for (std::size_t from = 0; from < states.size(); ++from) {
        const State state = states[from];
        for (const Step& step : steps_from(state, bounds)) {
            const std::size_t known = situations.size();
            situations.merge(situations_of(state, step));
            if (situations.size() > known) {
                Path path{step};
                for (std::size_t at = from; at != 0; at = parents[at].first) path.push_back(parents[at].second);
                std::reverse(path.begin(), path.end());
                paths.push_back(std::move(path));
            }
            visit(after(state, step, mistakes), from, step);
        }
    }
    // The longer ones came later.
    std::vector<Path> needed;
    for (std::size_t i = 0; i < paths.size(); ++i) {
        const auto goes_on = [&](const Path& other) { return is_beginning(paths[i], other); };
        if (std::none_of(paths.begin() + static_cast<std::ptrdiff_t>(i) + 1, paths.end(), goes_on)) needed.push_back(paths[i]);
    }
    return needed;
}

Path random_path(const Bounds& bounds, std::size_t length, std::uint64_t seed, Mistakes mistakes) {
    std::mt19937_64 random(seed);
    Path path;
    State state = initial_state(bounds);
    while (path.size() < length) {
        const std::vector<Step> steps = steps_from(state, bounds);
        if (steps.empty()) break;
        path.push_back(steps[random() % steps.size()]);
        state = after(state, path.back(), mistakes);
    }
    return path;
}

}  // namespace messaging::model
