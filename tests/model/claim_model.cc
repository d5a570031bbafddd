// The steps: what an engine does with its memory, around the statements of claim_tables.
#include "model/claim_model.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "model/claim_opinions.h"
#include "model/claim_tables.h"

namespace messaging::model {
namespace {

class Change {
public:
    Change(State& state, Mistakes mistakes) : s_(state), mistakes_(mistakes), tables_(state, mistakes) {}

    void make(const Step& step);

private:
    void make_engines(const Step& step);
    void make_overlap(const Step& step);
    void claim(std::size_t e, unsigned mask, Source source);
    void arrive(std::size_t e, bool here);
    void answer(std::size_t e, std::size_t item, Action action);
    template <typename Chosen>
    void record(std::size_t e, const Chosen& chosen, const Overlap& overlap = {});
    void record(std::size_t e, std::uint8_t which, const Overlap& overlap = {});
    void recorded(std::size_t e);
    void lose_record(std::size_t e);
    void move(std::size_t e);
    void moved(std::size_t e);
    void reclaim(std::size_t e, bool failed_too, const Overlap& overlap = {});
    void end_instances(std::size_t e);
    void lose_listen_session(std::size_t e);
    void lose_session(Engine& engine);
    void die(std::size_t e);
    void vanish(std::size_t e);
    void crash();
    void reclaim_behind_record(std::size_t e, std::size_t other);

    void push(std::size_t e, const Item& item);
    template <typename Forgotten>
    void forget_items(std::size_t e, const Forgotten& forgotten);
    void rename_owner(Owner from, Owner to);

    State& s_;
    Mistakes mistakes_;
    Tables tables_;
};

void Change::make(const Step& step) {
    const std::size_t e = step.engine;
    if (is_fault(step)) ++s_.faults;
    if (is_wish(step)) ++s_.wishes;
    switch (step.action) {
        case Action::kInsert: tables_.insert(step.which); break;
        case Action::kClaim: claim(e, step.which, Source::kQueue); return;
        case Action::kClaimDue: claim(e, step.which, Source::kSchedule); return;
        case Action::kClaimHeld: claim(e, step.which, Source::kHold); return;
        case Action::kLateClaim:
            claim(e, step.which, Source::kQueue);
            vanish(e);
            return;
        case Action::kRescheduleOrphans: tables_.reschedule_orphans(e); return;
        case Action::kRecord: record(e, step.which); break;
        case Action::kLateRecord:
            record(e, kAll);
            vanish(e);
            break;
        case Action::kMove: move(e); break;
        case Action::kReclaim: reclaim(e, step.which == kAll); break;
        case Action::kDue: s_.messages[step.which].schedule = Schedule::kDue; return;
        case Action::kStop: s_.running = false; break;
        case Action::kResume: s_.running = true; break;
        case Action::kCrash: crash(); return;
        case Action::kSendAgain: tables_.send_again(step.which); break;
        case Action::kDelete: tables_.delete_row(step.which); break;
        case Action::kTruncate: tables_.truncate(); break;
        case Action::kSetEndpoint: tables_.set_endpoint(static_cast<Endpoint>(step.which)); break;
        case Action::kWriteFinding: tables_.write_finding(std::exchange(s_.engines[e].finding, Finding::kNone)); break;
        case Action::kReleaseStrays: tables_.release_strays(); break;
        case Action::kClaimBehindActive:
            claim(e, step.which, Source::kQueue);
            s_.endpoint = Endpoint::kActive;
            break;
        default:
            if (!is_overlap(step)) {
                make_engines(step);
                return;
            }
            make_overlap(step);
            break;
    }
    tables_.commit();
}

// What an engine alone sees, or commits about itself.
void Change::make_engines(const Step& step) {
    const std::size_t e = step.engine;
    Engine& engine = s_.engines[e];
    switch (step.action) {
        case Action::kStart:
            engine = {};
            engine.life = Life::kUp;
            engine.listen_session = ListenSession::kUp;
            engine.row = true;
            tables_.commit();
            break;
        case Action::kArrive: arrive(e, true); break;
        case Action::kLoseClaim: arrive(e, false); break;
        case Action::kAccept:
        case Action::kRefuse:
        case Action::kLocalFault:
        case Action::kHold:
        case Action::kAnswerGone: answer(e, step.which, step.action); break;
        case Action::kOpenBreaker: open_breaker(engine); break;
        case Action::kLoseFinding: engine.finding = Finding::kNone; break;
        case Action::kRead: begin_reading(engine, s_.endpoint); break;
        case Action::kHaveRead: end_reading(engine, mistakes_); break;
        case Action::kRecorded: recorded(e); break;
        case Action::kLoseRecord: lose_record(e); break;
        case Action::kEndSession:
        case Action::kLoseListenSession: lose_listen_session(e); break;
        case Action::kNotice: engine.listen_session = ListenSession::kDown; break;
        case Action::kRegister:
            engine.listen_session = ListenSession::kNew;
            tables_.commit();
            break;
        case Action::kMoved: moved(e); break;
        case Action::kRelease:
            for (std::size_t i = 0; i < engine.item_count; ++i) {
                if (engine.items[i].phase == Phase::kWaiting) engine.items[i].phase = Phase::kReleased;
            }
            break;
        case Action::kShutDown:
            engine.row = false;
            vanish(e);
            tables_.commit();
            break;
        case Action::kDie: die(e); break;
        case Action::kVanish: vanish(e); break;
        case Action::kFreeze: engine.life = Life::kFrozen; break;
        case Action::kThaw: engine.life = Life::kUp; break;
        default: std::abort();
    }
}

void Change::make_overlap(const Step& step) {
    const std::size_t e = step.engine;
    const std::size_t other = step.which;
    const auto the_item = [&](std::size_t i) { return i == step.other; };
    const bool blind = mistakes_.has(Mistake::kSentSeesOneSnapshot);
    switch (step.action) {
        case Action::kReclaimBehindRecord: reclaim_behind_record(e, other); break;
        case Action::kReclaimBehindMove:
            if (mistakes_.has(Mistake::kReclaimTakesMoved)) {
                std::array<bool, kMaxClaims> picked{};
                const auto taken = reclaimable(s_, e, true);
                for (std::size_t c = 0; c < s_.claim_count; ++c) picked[c] = taken[s_.claims[c].owner];
                move(other);
                for (std::size_t c = 0; c < s_.claim_count; ++c) {
                    if (picked[c]) s_.claims[c].owner = kNobody;
                }
            } else {
                move(other);
            }
            reclaim(e, true);
            break;
        case Action::kReclaimBehindSent:
            reclaim(e, true, {.locked = &s_.messages[s_.engines[other].items[step.other].message]});
            record(other, the_item, {.blind = true});
            break;
        case Action::kSentBehindReclaim:
            reclaim(e, true);
            record(other, the_item, {.blind = blind});
            break;
        case Action::kSentBehindFailure:
            record(e, kAll);
            record(other, the_item, {.blind = blind});
            break;
        default: std::abort();
    }
}

// Waiting for the record's lock makes one after the other of them. The mistakes are the two ways not to.
void Change::reclaim_behind_record(std::size_t e, std::size_t other) {
    const std::array<Message, kMaxMessages> before = s_.messages;
    if (mistakes_.has(Mistake::kRecordDoesNotLock)) {
        reclaim(e, true);
        record(other, kAll, {.fence_was_seen = true});
    } else {
        record(other, kAll);
        reclaim(e, true, {.seen = mistakes_.has(Mistake::kReclaimByOneSnapshot) ? &before : nullptr});
    }
    if (s_.engines[other].life == Life::kDying) vanish(other);
}

void Change::claim(std::size_t e, unsigned mask, Source source) {
    const auto [claim, place] = tables_.claim(instance_of(e), mask, source);
    for (std::uint8_t m = 0; m < kMaxMessages; ++m) {
        if (claim.attempts[m] == kAbsent) continue;
        push(e, {m, place, Phase::kArriving, false, static_cast<std::uint8_t>(claim.attempts[m]), claim.generations[m]});
    }
}

void Change::arrive(std::size_t e, bool here) {
    Engine& engine = s_.engines[e];
    for (std::size_t i = 0; i < engine.item_count && here; ++i) {
        Item& item = engine.items[i];
        if (item.phase != Phase::kArriving) continue;
        item.phase = Phase::kWaiting;
        if (item.claim != kGone) ++engine.open[item.claim];
    }
    forget_items(e, [](const Item& item) { return item.phase == Phase::kArriving; });
}

void Change::answer(std::size_t e, std::size_t item, Action action) {
    Engine& engine = s_.engines[e];
    Item& answered = engine.items[item];
    if (action == Action::kLocalFault || action == Action::kHold) {
        answered.phase = action == Action::kHold ? Phase::kHeld : Phase::kDeferred;
        return;
    }
    ++answered.attempts;
    if (action == Action::kRefuse || action == Action::kAnswerGone) {
        on_refused(engine, action == Action::kAnswerGone);
        answered.phase = answered.attempts >= kMaxAttempts ? Phase::kDead : Phase::kRetry;
        return;
    }
    answered.phase = Phase::kDelivered;
    on_accepted(engine);
    Message& row = s_.messages[answered.message];
    if (!row.inserted || row.generation != answered.generation) return;
    row.accepted = static_cast<std::uint8_t>(std::min(row.accepted + 1, 2));
}

// Recorder::record: the ledger that says which claims this finishes is the engine's own.
template <typename Chosen>
void Change::record(std::size_t e, const Chosen& chosen, const Overlap& overlap) {
    Engine& engine = s_.engines[e];
    std::vector<Item> outcomes;
    std::array<std::uint8_t, kMaxClaims> counts{};
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        if (!chosen(i) || !is_outcome(engine.items[i])) continue;
        engine.items[i].recording = true;
        outcomes.push_back(engine.items[i]);
        if (engine.items[i].claim != kGone) ++counts[engine.items[i].claim];
    }
    std::array<bool, kMaxClaims> finished{};
    for (std::size_t c = 0; c < kMaxClaims; ++c) finished[c] = engine.open[c] > 0 && engine.open[c] <= counts[c];
    tables_.record(instance_of(e), outcomes, finished, overlap);
}

void Change::record(std::size_t e, std::uint8_t which, const Overlap& overlap) {
    record(
        e, [which](std::size_t i) { return which == kAll || which == i; }, overlap);
}

// OpenClaims::recorded.
void Change::recorded(std::size_t e) {
    Engine& engine = s_.engines[e];
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        if (item.recording && item.claim != kGone && engine.open[item.claim] > 0) --engine.open[item.claim];
    }
    forget_items(e, [](const Item& item) { return item.recording; });
}

void Change::lose_record(std::size_t e) {
    for (Item& item : s_.engines[e].items) item.recording = false;
}

// By the numbers of the claims that the engine knows. What waits in memory for any other claim is never started: the engine
// drops it with the move's answer, and starts nothing before that.
void Change::move(std::size_t e) {
    Engine& engine = s_.engines[e];
    for (std::size_t c = 0; c < s_.claim_count; ++c) {
        if (engine.open[c] != 0 && s_.claims[c].owner != kUndone) s_.claims[c].owner = next_instance_of(e);
    }
    engine.listen_session = ListenSession::kMoving;
    forget_items(e, [&](const Item& item) {
        return item.phase == Phase::kWaiting && (item.claim == kGone || s_.claims[item.claim].owner != next_instance_of(e));
    });
}

void Change::moved(std::size_t e) {
    Engine& engine = s_.engines[e];
    rename_owner(instance_of(e), engine.row ? kFailed : kNobody);
    rename_owner(next_instance_of(e), instance_of(e));
    for (std::size_t c = 0; c < s_.claim_count; ++c) {
        if (s_.claims[c].owner != instance_of(e)) engine.open[c] = 0;
    }
    engine.row = true;
    engine.listen_session = ListenSession::kUp;
}

void Change::reclaim(std::size_t e, bool failed_too, const Overlap& overlap) {
    tables_.reclaim(reclaimable(s_, e, failed_too), overlap);
    if (failed_too) end_instances(e);
}

void Change::end_instances(std::size_t e) {
    for (std::size_t other = 0; other < kMaxEngines; ++other) {
        Engine& engine = s_.engines[other];
        if (other != e && engine.life != Life::kOff && !holds_lock(engine)) engine.row = false;
    }
}

void Change::lose_session(Engine& engine) {
    if (engine.listen_session != ListenSession::kNew && engine.listen_session != ListenSession::kMoving &&
        engine.listen_session != ListenSession::kUp)
        return;
    engine.listen_session = engine.listen_session == ListenSession::kUp ? ListenSession::kBroken : ListenSession::kDown;
}

void Change::lose_listen_session(std::size_t e) {
    rename_owner(next_instance_of(e), kFailed);
    lose_session(s_.engines[e]);
}

void Change::die(std::size_t e) {
    rename_owner(next_instance_of(e), kFailed);
    forget_items(e, [](const Item& item) { return !is_outcome(item) || item.recording; });
    Engine& engine = s_.engines[e];
    engine.life = Life::kDying;
    engine.listen_session = ListenSession::kNone;
    forget_opinions(engine);
}

void Change::vanish(std::size_t e) {
    rename_owner(instance_of(e), s_.engines[e].row ? kFailed : kNobody);
    s_.engines[e] = {};
}

void Change::crash() {
    tables_.undo_claims();
    tables_.commit();
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (s_.engines[e].life == Life::kDying) {
            vanish(e);
        } else if (s_.engines[e].life != Life::kOff) {
            arrive(e, false);
            lose_record(e);
            lose_listen_session(e);
            s_.engines[e].reading = Reading::kNone;
            s_.engines[e].listen_session = ListenSession::kDown;  // a server that ends tells its clients
        }
    }
}

void Change::push(std::size_t e, const Item& item) {
    Engine& engine = s_.engines[e];
    if (engine.item_count == kMaxItems) std::abort();
    engine.items[engine.item_count++] = item;
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

}  // namespace

State initial_state(const Bounds& bounds) {
    State state;
    state.crashes = bounds.crashes;
    return state;
}

State after(const State& state, const Step& step, Mistakes mistakes) {
    State next = state;
    Change(next, mistakes).make(step);
    make_canonical(next);
    return next;
}

bool is_fault(const Step& step) {
    switch (step.action) {
        case Action::kLoseClaim:
        case Action::kLoseRecord:
        case Action::kLoseFinding:
        case Action::kLoseListenSession:
        case Action::kDie:
        case Action::kFreeze:
        case Action::kCrash: return true;
        default: return false;
    }
}

bool is_wish(const Step& step) {
    return step.action == Action::kSendAgain || step.action == Action::kDelete || step.action == Action::kTruncate;
}

bool is_overlap(const Step& step) { return step.action >= Action::kReclaimBehindRecord; }

std::array<bool, kUndone + 1> reclaimable(const State& state, std::size_t engine, bool failed_too) {
    std::array<bool, kUndone + 1> taken{};
    taken[kNobody] = true;
    taken[kFailed] = failed_too;
    for (std::size_t other = 0; other < kMaxEngines; ++other) {
        const Engine& one = state.engines[other];
        if (other == engine || one.life == Life::kOff) continue;
        taken[instance_of(other)] = !one.row || (failed_too && !holds_lock(one));
    }
    return taken;
}

}  // namespace messaging::model
