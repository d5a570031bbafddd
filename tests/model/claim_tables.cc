// Each statement as it is in repository/ and migrations/functions, without what only makes it fast.
#include "model/claim_tables.h"

#include <algorithm>
#include <cstdlib>

namespace messaging::model {

void Tables::commit() {
    for (std::size_t c = 0; c < s_.claim_count; ++c) s_.claims[c].durable = true;
}

void Tables::insert(std::size_t message) {
    Message& row = s_.messages[message];
    row.inserted = true;
    row.queued = true;
}

void Tables::send_again(std::size_t message) {
    Message& row = s_.messages[message];
    const bool was_sent = row.sent;
    if (!was_sent && !row.dead && row.schedule == Schedule::kNone) return;
    if (!was_sent || !mistakes_.has(Mistake::kSendAgainLeavesEntries)) {
        row.dead = false;
        row.schedule = Schedule::kNone;
    }
    if (was_sent && !mistakes_.has(Mistake::kSendAgainLeavesEntries)) row.held = false;
    row.sent = false;
    row.attempts = row.abandoned = row.accepted = 0;
    ++row.generation;
    row.queued = true;
}

// The queue is not searched for it: its entry goes with the next claim.
void Tables::delete_row(std::size_t message) {
    Message& row = s_.messages[message];
    const bool queued = row.queued;
    const auto generation = static_cast<std::uint8_t>(row.generation + 1);
    row = {};
    row.queued = queued;
    row.generation = generation;
}

void Tables::truncate() {
    for (Message& row : s_.messages) {
        const auto generation = static_cast<std::uint8_t>(row.generation + (row.inserted ? 1 : 0));
        row = {};
        row.generation = generation;
    }
    while (s_.claim_count > 0) remove_claim(s_.claim_count - 1U);
}

void Tables::undo_claims() {
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        Claim& claim = s_.claims[c];
        if (claim.durable) continue;
        for (std::size_t m = 0; m < kMaxMessages; ++m) {
            if (claim.attempts[m] == kAbsent) continue;
            switch (claim.from) {
                case Source::kQueue: s_.messages[m].queued = true; break;
                case Source::kSchedule: s_.messages[m].schedule = Schedule::kDue; break;
                case Source::kHold: s_.messages[m].held = true; break;
            }
        }
        if (mistakes_.has(Mistake::kNumbersComeAgain)) {
            claim = {};
            claim.owner = kUndone;
        } else {
            remove_claim(c);
        }
    }
}

bool Tables::any_held() const {
    return std::any_of(s_.messages.begin(), s_.messages.end(), [](const Message& row) { return row.held; });
}

// An endpoint for which messages are held becomes backlogged instead of active. A row that is inserted is active.
void Tables::set_endpoint(Endpoint endpoint) {
    const bool changes = s_.endpoint != Endpoint::kMissing;
    const bool kept = changes && endpoint == Endpoint::kActive && any_held() && !mistakes_.has(Mistake::kActiveThoughHeld);
    s_.endpoint = kept ? Endpoint::kBacklogged : endpoint;
}

void Tables::write_finding(Finding finding) {
    if (s_.endpoint == Endpoint::kMissing) return;
    const bool disabled = s_.endpoint == Endpoint::kDisabled;
    if (disabled && !mistakes_.has(Mistake::kFindingsEnable)) return;
    switch (finding) {
        case Finding::kFailing: s_.endpoint = Endpoint::kFailing; break;
        case Finding::kRecovered:
            if (s_.endpoint == Endpoint::kFailing || disabled) set_endpoint(Endpoint::kActive);
            break;
        case Finding::kAnsweredGone: s_.endpoint = Endpoint::kDisabled; break;
        case Finding::kNone: break;
    }
}

void Tables::release_strays() {
    if (mistakes_.has(Mistake::kStraysStay)) return;
    for (Message& row : s_.messages) {
        row.queued = row.queued || row.held;
        row.held = false;
    }
}

Tables::Claimed Tables::claim(Owner owner, unsigned mask, Source source) {
    Claim claim;
    claim.owner = owner;
    if (s_.crashes) claim.from = source;
    claim.durable = !s_.crashes;
    if (source == Source::kHold && s_.endpoint == Endpoint::kFailing && mistakes_.has(Mistake::kFailingIsNotTried)) {
        return {claim, kGone};
    }
    bool any = false;
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (!has(mask, m)) continue;
        Message& row = s_.messages[m];
        switch (source) {
            case Source::kQueue: row.queued = false; break;
            case Source::kSchedule: row.schedule = Schedule::kNone; break;
            case Source::kHold: row.held = false; break;
        }
        if (!row.inserted || row.sent) continue;
        if (s_.endpoint == Endpoint::kMissing) {
            row.dead = true;
        } else if (s_.endpoint != Endpoint::kActive && source != Source::kHold) {
            row.held = true;
        } else {
            claim.attempts[m] = static_cast<std::int8_t>(row.attempts);
            claim.generations[m] = row.generation;
            any = true;
        }
    }
    return {claim, any ? add_claim(claim) : kGone};
}

bool Tables::fence_holds(Owner instance, const Item& item, const Overlap& overlap) const {
    if (mistakes_.has(Mistake::kRecordWithoutFence) || overlap.fence_was_seen) return true;
    if (is_fenced_off(s_, item)) return false;
    return !mistakes_.has(Mistake::kFenceByInstance) || s_.claims[item.claim].owner == instance;
}

void Tables::record(Owner instance, const std::vector<Item>& outcomes, const std::array<bool, kMaxClaims>& finished,
                    const Overlap& overlap) {
    const auto counts = [&](const Item& item) { return fence_holds(instance, item, overlap); };
    for (const Item& item : outcomes) {
        if (item.phase == Phase::kDelivered) mark_sent(item, overlap.blind);
    }
    for (const Item& item : outcomes) {
        if ((item.phase == Phase::kRetry || item.phase == Phase::kDead) && counts(item)) mark_failed(item);
    }
    for (const Item& item : outcomes) {
        const bool untried = item.phase == Phase::kDeferred || item.phase == Phase::kHeld || item.phase == Phase::kReleased;
        if (untried && counts(item)) release(item);
    }
    commit();
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        const Claim& claim = s_.claims[c];
        if (!finished[c] || claim.owner == kUndone) continue;
        if (mistakes_.has(Mistake::kFenceByInstance) && claim.owner != instance) continue;
        bool open = false;
        for (std::size_t m = 0; m < kMaxMessages; ++m) open = open || is_open(s_, claim, m);
        if (!open || mistakes_.has(Mistake::kFinishUnchecked)) remove_claim(c);
    }
}

void Tables::mark_sent(const Item& item, bool blind) {
    Message& row = s_.messages[item.message];
    const bool same = row.generation == item.generation || mistakes_.has(Mistake::kSentByIdAlone);
    const bool newly = row.inserted && !row.sent && same;
    if (newly) {
        row.sent = true;
        ++row.attempts;
    }
    const bool tried = row.attempts > 1;
    const bool known = mistakes_.has(Mistake::kSentMissesAbandoned) ? tried : tried || row.abandoned > 0;
    const bool by_what_is_known = mistakes_.has(Mistake::kSentMissesFirst) || mistakes_.has(Mistake::kSentMissesAbandoned);
    const bool leaves = by_what_is_known ? newly && known : row.inserted && row.sent;
    if (!leaves || blind) return;
    row.schedule = Schedule::kNone;
    row.dead = row.held = false;
}

void Tables::mark_failed(const Item& item) {
    Message& row = s_.messages[item.message];
    const bool known = mistakes_.has(Mistake::kRepeatsTurnBack) ? row.attempts == item.attempts : row.attempts >= item.attempts;
    if (!row.inserted || row.sent || row.generation != item.generation || known) return;
    row.attempts = item.attempts;
    if (item.phase == Phase::kDead) {
        row.dead = true;
    } else {
        schedule(item.message, Schedule::kLater);
    }
}

void Tables::release(const Item& item) {
    Message& row = s_.messages[item.message];
    Claim* const claim = is_fenced_off(s_, item) ? nullptr : &s_.claims[item.claim];
    const bool in_ledger = claim != nullptr && claim->attempts[item.message] != kAbsent;
    const bool resolved = in_ledger && !is_open(s_, *claim, item.message);
    if (in_ledger) {
        claim->attempts[item.message] = kAbsent;
        claim->generations[item.message] = 0;
    }
    if (!in_ledger && !mistakes_.has(Mistake::kReleasesTwice) && !mistakes_.has(Mistake::kRecordWithoutFence)) return;
    if (resolved && !mistakes_.has(Mistake::kReleasesWhatIsResolved)) return;
    if (item.phase == Phase::kReleased) {
        row.queued = true;
    } else if (item.phase == Phase::kHeld) {
        row.held = true;
        if (s_.endpoint == Endpoint::kActive) s_.endpoint = Endpoint::kBacklogged;
    } else {
        schedule(item.message, Schedule::kLater);
    }
}

void Tables::reclaim(const std::array<bool, kUndone + 1>& taken, const Overlap& overlap) {
    std::array<bool, kMaxMessages> open{};
    State seen = s_;
    if (overlap.seen != nullptr) seen.messages = *overlap.seen;
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        if (!taken[s_.claims[c].owner]) continue;
        for (std::size_t m = 0; m < kMaxMessages; ++m) open[m] = open[m] || is_open(seen, s_.claims[c], m);
        remove_claim(c);
    }
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        Message& row = s_.messages[m];
        if (!open[m] || mistakes_.has(Mistake::kReclaimIsRemembered)) continue;
        if (&row != overlap.locked) ++row.abandoned;
        if (row.abandoned >= kMaxAbandoned) {
            row.dead = true;
        } else {
            schedule(m, Schedule::kDue);
        }
    }
    commit();
}

void Tables::reschedule_orphans(std::size_t e) {
    const Engine& engine = s_.engines[e];
    std::array<bool, kMaxMessages> in_memory{};
    for (std::size_t i = 0; i < engine.item_count; ++i) in_memory[engine.items[i].message] = true;
    for (std::size_t c = s_.claim_count; c-- > 0;) {
        Claim& claim = s_.claims[c];
        const bool known = engine.open[c] != 0;
        if (!known && (claim.owner != instance_of(e) || mistakes_.has(Mistake::kOrphansStay))) continue;
        for (std::size_t m = 0; m < kMaxMessages; ++m) {
            if (!is_open(s_, claim, m) || (known && in_memory[m])) continue;
            schedule(m, Schedule::kDue);
            claim.attempts[m] = kAbsent;
            claim.generations[m] = 0;
        }
        if (!known) remove_claim(c);
    }
}

// ON CONFLICT DO NOTHING: an entry that is there stays as it is.
void Tables::schedule(std::size_t message, Schedule when) {
    Message& row = s_.messages[message];
    if (row.schedule == Schedule::kNone) row.schedule = when;
}

std::uint8_t Tables::add_claim(const Claim& claim) {
    if (mistakes_.has(Mistake::kClaimWithoutLedger)) return kGone;
    for (std::uint8_t c = 0; c < s_.claim_count; ++c) {
        if (s_.claims[c].owner != kUndone) continue;
        s_.claims[c] = claim;
        return c;
    }
    if (s_.claim_count == kMaxClaims) std::abort();
    s_.claims[s_.claim_count] = claim;
    return s_.claim_count++;
}

void Tables::remove_claim(std::size_t claim) {
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

void Tables::detach(std::size_t claim) {
    for (Engine& engine : s_.engines) {
        engine.open[claim] = 0;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].claim == claim) engine.items[i].claim = kGone;
        }
    }
}

}  // namespace messaging::model
