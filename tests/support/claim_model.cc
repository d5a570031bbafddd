// The steps, as the statements of repository/ and the engine's own bookkeeping have them.
#include "support/claim_model.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <tuple>
#include <utility>

namespace messaging::model {
namespace {

bool locked(const Engine& engine) { return engine.bell == Bell::kUp; }

constexpr bool has(unsigned mask, std::size_t message) { return ((mask >> message) & 1U) != 0; }

class Change {
public:
    Change(State& state, Mistake mistake) : s_(state), mistake_(mistake) {}

    void make(const Step& step);

private:
    void insert(std::size_t message);
    void start(std::size_t e);
    void claim(std::size_t e, unsigned mask, bool due, bool answered);
    void answer(std::size_t e, std::size_t item, Action action);
    void record(std::size_t e, std::uint8_t which, bool answered);
    void mark_sent(const Item& item);
    void mark_failed(std::size_t e, const Item& item);
    void put_back(std::size_t e, const Item& item);
    void move(std::size_t e, bool answered);
    void adopt(std::size_t e, bool dead_too, bool answered);
    void read_adopted(std::size_t e, bool answered);
    void return_orphans(std::size_t e);
    void give_back(std::size_t e);
    void die(std::size_t e);
    void vanish(std::size_t e);

    bool fence_holds(std::size_t e, const Item& item) const {
        return mistake_ == Mistake::kRecordWithoutFence || !is_fenced_off(s_, e, item);
    }
    std::size_t add_claim(const Claim& claim);
    void remove_claim(std::size_t claim);
    void detach(std::size_t claim);  // its number is no more: what engines know by it matches nothing
    void push(std::size_t e, const Item& item);
    template <typename Forgotten>
    void forget_items(std::size_t e, const Forgotten& forgotten);
    void rename_owner(Owner from, Owner to);

    State& s_;
    Mistake mistake_;
};

void Change::make(const Step& step) {
    const std::size_t e = step.engine;
    Engine& engine = s_.engines[e];
    if (is_fault(step)) ++s_.faults;
    switch (step.action) {
        case Action::kInsert: insert(step.which); break;
        case Action::kStart: start(e); break;
        case Action::kClaim: claim(e, step.which, false, !step.lost); break;
        case Action::kClaimDue: claim(e, step.which, true, !step.lost); break;
        case Action::kAccept:
        case Action::kRefuse:
        case Action::kLocalFault: answer(e, step.which, step.action); break;
        case Action::kRecord: record(e, step.which, !step.lost); break;
        case Action::kLoseBell:
            if (engine.bell == Bell::kNew) rename_owner(next_instance_of(e), kGrave);
            engine.bell = engine.bell == Bell::kNew ? Bell::kDown : Bell::kBroken;
            break;
        case Action::kNotice: engine.bell = Bell::kDown; break;
        case Action::kRegister: engine.bell = Bell::kNew; break;
        case Action::kMove: move(e, !step.lost); break;
        case Action::kAdopt: adopt(e, step.which == kAll, !step.lost); break;
        case Action::kReturnOrphans: return_orphans(e); break;
        case Action::kGiveBack: give_back(e); break;
        case Action::kShutDown:
            engine.row = false;
            vanish(e);
            break;
        case Action::kDie: die(e); break;
        case Action::kLateRecord:
            record(e, kAll, false);
            vanish(e);
            break;
        case Action::kLateClaim:
            claim(e, step.which, false, false);
            vanish(e);
            break;
        case Action::kVanish: vanish(e); break;
        case Action::kFreeze: engine.life = Life::kFrozen; break;
        case Action::kEndSession: engine.bell = Bell::kBroken; break;
        case Action::kThaw: engine.life = Life::kUp; break;
        case Action::kDue: s_.messages[step.which].schedule = Schedule::kDue; break;
        case Action::kStop: s_.running = false; break;
        case Action::kResume: s_.running = true; break;
    }
}

void Change::insert(std::size_t message) {
    s_.messages[message].inserted = true;
    s_.messages[message].queued = 1;
}

void Change::start(std::size_t e) {
    s_.engines[e] = {};
    s_.engines[e].life = Life::kUp;
    s_.engines[e].bell = Bell::kUp;
    s_.engines[e].row = true;
}

void Change::claim(std::size_t e, unsigned mask, bool due, bool answered) {
    Claim claim;
    claim.owner = instance_of(e);
    bool any = false;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (!has(mask, m)) continue;
        Message& message = s_.messages[m];
        if (due) {
            message.schedule = Schedule::kNone;
        } else {
            message.queued = 0;
        }
        if (message.sent) continue;
        claim.attempts[m] = static_cast<std::int8_t>(message.attempts);
        any = true;
    }
    if (!any) return;
    const std::uint8_t slot = mistake_ == Mistake::kClaimWithoutLedger ? kGone : static_cast<std::uint8_t>(add_claim(claim));
    if (!answered) return;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (claim.attempts[m] == kAbsent) continue;
        push(e, {static_cast<std::uint8_t>(m), slot, Phase::kWaiting, static_cast<std::uint8_t>(claim.attempts[m])});
    }
}

void Change::answer(std::size_t e, std::size_t item, Action action) {
    Item& answered = s_.engines[e].items[item];
    Message& message = s_.messages[answered.message];
    if (action == Action::kLocalFault) {
        answered.phase = Phase::kDeferred;
        return;
    }
    ++answered.attempts;
    if (action == Action::kAccept) {
        answered.phase = Phase::kDelivered;
        message.accepted = static_cast<std::uint8_t>(std::min(message.accepted + 1, 2));
    } else {
        answered.phase = answered.attempts >= kMaxAttempts ? Phase::kDead : Phase::kRetry;
    }
}

// Recorder::flush, PgQueueStore::record and ClaimLedger::recorded.
void Change::record(std::size_t e, std::uint8_t which, bool answered) {
    Engine& engine = s_.engines[e];
    std::vector<Item> recorded;
    std::vector<Item> kept;
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const bool chosen = which == kAll ? engine.items[i].phase != Phase::kWaiting : which == i;
        (chosen ? recorded : kept).push_back(engine.items[i]);
    }
    std::array<std::uint8_t, kMaxClaims> counts{};
    for (const Item& item : recorded) {
        if (item.claim != kGone) ++counts[item.claim];
    }
    for (const Item& item : recorded) {
        if (item.phase == Phase::kDelivered) mark_sent(item);
    }
    for (const Item& item : recorded) mark_failed(e, item);
    for (const Item& item : recorded) put_back(e, item);
    if (answered) {
        engine.items = {};
        std::copy(kept.begin(), kept.end(), engine.items.begin());
        engine.item_count = static_cast<std::uint8_t>(kept.size());
    }
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        if (counts[c] == 0 || engine.open[c] == 0) continue;
        const bool finished = engine.open[c] <= counts[c];
        if (answered) engine.open[c] = finished ? 0 : static_cast<std::uint8_t>(engine.open[c] - counts[c]);
        if (finished && s_.claims[c].owner == instance_of(e)) remove_claim(c);
    }
}

void Change::mark_sent(const Item& item) {
    Message& message = s_.messages[item.message];
    if (message.sent) return;
    message.sent = true;
    ++message.attempts;
    const int attempts = mistake_ == Mistake::kLateSentStaysDead ? item.attempts : message.attempts;
    if (attempts <= 1) return;
    message.schedule = Schedule::kNone;
    message.dead = false;
}

void Change::mark_failed(std::size_t e, const Item& item) {
    if (item.phase != Phase::kRetry && item.phase != Phase::kRetryNow && item.phase != Phase::kDead) return;
    Message& message = s_.messages[item.message];
    const bool known =
        mistake_ == Mistake::kRepeatsTurnBack ? message.attempts == item.attempts : message.attempts >= item.attempts;
    if (message.sent || known || !fence_holds(e, item)) return;
    message.attempts = item.attempts;
    if (item.phase == Phase::kDead) {
        message.dead = true;
    } else if (message.schedule == Schedule::kNone) {
        message.schedule = item.phase == Phase::kRetry ? Schedule::kLater : Schedule::kDue;
    }
}

void Change::put_back(std::size_t e, const Item& item) {
    if (item.phase != Phase::kDeferred && item.phase != Phase::kReturned) return;
    Message& message = s_.messages[item.message];
    if (!fence_holds(e, item)) return;
    const bool in_ledger = item.claim != kGone && s_.claims[item.claim].attempts[item.message] != kAbsent;
    if (!in_ledger && mistake_ != Mistake::kGivesBackTwice && mistake_ != Mistake::kRecordWithoutFence) return;
    if (item.phase == Phase::kReturned) {
        ++message.queued;
    } else if (message.schedule == Schedule::kNone) {
        message.schedule = Schedule::kLater;
    }
    if (item.claim != kGone) s_.claims[item.claim].attempts[item.message] = kAbsent;
}

// Engine::take_claims_along.
void Change::move(std::size_t e, bool answered) {
    Engine& engine = s_.engines[e];
    rename_owner(instance_of(e), next_instance_of(e));
    if (!answered) {
        rename_owner(next_instance_of(e), kGrave);
        engine.bell = Bell::kDown;
        return;
    }
    rename_owner(next_instance_of(e), instance_of(e));
    engine.row = true;
    engine.bell = Bell::kUp;
    for (std::size_t c = 0; c < s_.claim_count; ++c) {
        if (s_.claims[c].owner != instance_of(e)) engine.open[c] = 0;
    }
    forget_items(e, [&](const Item& item) {
        return item.phase == Phase::kWaiting && (item.claim == kGone || engine.open[item.claim] == 0);
    });
}

// PgPresenceStore::adopt_dead and Engine::adopt. A claim that is taken over gets a new number.
void Change::adopt(std::size_t e, bool dead_too, bool answered) {
    std::array<bool, kNobody + 1> taken{};
    taken[kNobody] = true;
    taken[kGrave] = dead_too;
    for (std::size_t other = 0; other < kMaxEngines; ++other) {
        Engine& engine = s_.engines[other];
        if (other == e || engine.life == Life::kOff) continue;
        taken[instance_of(other)] = !engine.row || (dead_too && !locked(engine));
        if (taken[instance_of(other)]) engine.row = false;
    }
    for (std::size_t c = 0; c < s_.claim_count; ++c) {
        if (!taken[s_.claims[c].owner]) continue;
        s_.claims[c].owner = instance_of(e);
        s_.claims[c].adopted = true;
        if (mistake_ != Mistake::kAdoptedKeepsItsNumber) detach(c);
    }
    read_adopted(e, answered);
    if (!answered) s_.engines[e].bell = Bell::kDown;
}

void Change::read_adopted(std::size_t e, bool answered) {
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        const Claim claim = s_.claims[c];
        if (claim.owner != instance_of(e) || !claim.adopted || s_.engines[e].open[c] != 0) continue;
        bool any = false;
        for (std::size_t m = 0; m < kMaxMessages; ++m) {
            if (!is_open(s_, claim, m)) continue;
            any = true;
            if (!answered) continue;
            const auto attempts = static_cast<std::uint8_t>(claim.attempts[m] + 1);
            const Phase phase = attempts >= kMaxAttempts ? Phase::kDead : attempts == 1 ? Phase::kRetryNow : Phase::kRetry;
            push(e, {static_cast<std::uint8_t>(m), static_cast<std::uint8_t>(c), phase, attempts});
        }
        if (!any || mistake_ == Mistake::kRescueEmptiesLedger) remove_claim(c);
    }
}

void Change::return_orphans(std::size_t e) {
    if (mistake_ == Mistake::kOrphansStay) return;
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        const Claim claim = s_.claims[c];
        if (claim.owner != instance_of(e) || claim.adopted || s_.engines[e].open[c] != 0) continue;
        for (std::size_t m = 0; m < kMaxMessages; ++m) {
            if (is_open(s_, claim, m)) ++s_.messages[m].queued;
        }
        remove_claim(c);
    }
}

void Change::give_back(std::size_t e) {
    Engine& engine = s_.engines[e];
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        if (engine.items[i].phase == Phase::kWaiting) engine.items[i].phase = Phase::kReturned;
    }
}

void Change::die(std::size_t e) {
    rename_owner(next_instance_of(e), kGrave);
    forget_items(e, [](const Item& item) { return item.phase == Phase::kWaiting; });
    s_.engines[e].life = Life::kDying;
    s_.engines[e].bell = Bell::kNone;
}

void Change::vanish(std::size_t e) {
    rename_owner(instance_of(e), s_.engines[e].row ? kGrave : kNobody);
    s_.engines[e] = {};
}

std::size_t Change::add_claim(const Claim& claim) {
    if (s_.claim_count == kMaxClaims) std::abort();
    s_.claims[s_.claim_count] = claim;
    return s_.claim_count++;
}

void Change::remove_claim(std::size_t claim) {
    detach(claim);
    const std::size_t last = --s_.claim_count;
    std::copy(s_.claims.begin() + claim + 1, s_.claims.begin() + last + 1, s_.claims.begin() + claim);
    s_.claims[last] = {};
    for (Engine& engine : s_.engines) {
        std::copy(engine.open.begin() + claim + 1, engine.open.begin() + last + 1, engine.open.begin() + claim);
        engine.open[last] = 0;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].claim != kGone && engine.items[i].claim > claim) --engine.items[i].claim;
        }
    }
}

void Change::detach(std::size_t claim) {
    for (Engine& engine : s_.engines) {
        engine.open[claim] = 0;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].claim == claim) engine.items[i].claim = kGone;
        }
    }
}

void Change::push(std::size_t e, const Item& item) {
    Engine& engine = s_.engines[e];
    if (engine.item_count == kMaxItems) std::abort();
    engine.items[engine.item_count++] = item;
    if (item.claim != kGone) ++engine.open[item.claim];
}

template <typename Forgotten>
void Change::forget_items(std::size_t e, const Forgotten& forgotten) {
    Engine& engine = s_.engines[e];
    const auto begin = engine.items.begin();
    const auto end = std::remove_if(begin, begin + engine.item_count, forgotten);
    std::fill(end, begin + engine.item_count, Item{});
    engine.item_count = static_cast<std::uint8_t>(end - begin);
}

void Change::rename_owner(Owner from, Owner to) {
    for (std::size_t c = 0; c < s_.claim_count; ++c) {
        if (s_.claims[c].owner == from) s_.claims[c].owner = to;
    }
}

// A number for what an engine remembers of a claim, whatever the claim's own number is.
std::uint64_t sum_of_items(const Engine& engine, std::uint8_t claim) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        if (item.claim != claim) continue;
        const std::uint64_t one = 1 + item.message * 64U + static_cast<unsigned>(item.phase) * 8U + item.attempts;
        sum += one * one;
    }
    return sum;
}

}  // namespace

State after(const State& state, const Step& step, Mistake mistake) {
    State next = state;
    Change(next, mistake).make(step);
    make_canonical(next);
    return next;
}

Places make_canonical(State& state) {
    Places places;
    std::iota(places.claims.begin(), places.claims.end(), std::uint8_t{0});
    const auto less = [&state](std::uint8_t a, std::uint8_t b) {
        const Claim& left = state.claims[a];
        const Claim& right = state.claims[b];
        const auto key = [](const Claim& claim) { return std::tie(claim.owner, claim.adopted, claim.attempts); };
        if (key(left) != key(right)) return key(left) < key(right);
        for (const Engine& engine : state.engines) {
            if (engine.open[a] != engine.open[b]) return engine.open[a] < engine.open[b];
            const auto [of_a, of_b] = std::pair{sum_of_items(engine, a), sum_of_items(engine, b)};
            if (of_a != of_b) return of_a < of_b;
        }
        return a < b;
    };
    std::sort(places.claims.begin(), places.claims.begin() + state.claim_count, less);
    const State before = state;
    std::array<std::uint8_t, kMaxClaims> now{};
    for (std::uint8_t c = 0; c < state.claim_count; ++c) {
        now[places.claims[c]] = c;
        state.claims[c] = before.claims[places.claims[c]];
    }
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        Engine& engine = state.engines[e];
        for (std::size_t c = 0; c < state.claim_count; ++c) engine.open[c] = before.engines[e].open[places.claims[c]];
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].claim != kGone) engine.items[i].claim = now[engine.items[i].claim];
        }
        auto& order = places.items[e];
        std::iota(order.begin(), order.end(), std::uint8_t{0});
        const std::array<Item, kMaxItems> items = engine.items;
        std::sort(order.begin(), order.begin() + engine.item_count,
                  [&items](std::uint8_t a, std::uint8_t b) { return std::tie(items[a], a) < std::tie(items[b], b); });
        for (std::size_t i = 0; i < engine.item_count; ++i) engine.items[i] = items[order[i]];
    }
    return places;
}

bool is_fault(const Step& step) {
    return step.lost || step.action == Action::kLoseBell || step.action == Action::kDie || step.action == Action::kFreeze;
}

bool is_open(const State& state, const Claim& claim, std::size_t message) {
    return claim.attempts[message] != kAbsent && !state.messages[message].sent &&
           claim.attempts[message] == static_cast<std::int8_t>(state.messages[message].attempts);
}

bool is_fenced_off(const State& state, std::size_t engine, const Item& item) {
    return item.claim == kGone || state.claims[item.claim].owner != instance_of(engine);
}

}  // namespace messaging::model
