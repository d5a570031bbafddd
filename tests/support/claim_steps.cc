// Which steps a state allows.
#include <algorithm>
#include <utility>

#include "support/claim_model.h"

namespace messaging::model {
namespace {

bool acts(const Engine& engine) { return engine.life == Life::kUp; }
// Thinks that it is registered: it claims and sends.
bool active(const Engine& engine) { return acts(engine) && (engine.bell == Bell::kUp || engine.bell == Bell::kBroken); }
bool locked(const Engine& engine) { return engine.bell == Bell::kUp; }

// Each non-empty set of the messages that `wanted` accepts, but for three only the single ones and all.
template <typename Wanted>
std::vector<std::uint8_t> masks(const State& state, const Bounds& bounds, const Wanted& wanted) {
    std::vector<std::uint8_t> found;
    unsigned all = 0;
    for (std::size_t m = 0; m < bounds.messages; ++m) {
        if (!wanted(state.messages[m])) continue;
        found.push_back(static_cast<std::uint8_t>(1U << m));
        all |= 1U << m;
    }
    if (found.size() > 1) found.push_back(static_cast<std::uint8_t>(all));
    return found;
}

bool is_queued(const Message& message) { return message.queued > 0; }
bool is_due(const Message& message) { return message.schedule == Schedule::kDue; }

class Choice {
public:
    Choice(const State& state, const Bounds& bounds) : s_(state), bounds_(bounds), may_fail_(state.faults < bounds.faults) {}

    std::vector<Step> all() {
        for (std::size_t m = 0; m < bounds_.messages; ++m) {
            if (!s_.messages[m].inserted) add(Action::kInsert, 0, m);
            if (s_.messages[m].schedule == Schedule::kLater) add(Action::kDue, 0, m);
        }
        if (bounds_.stops) add(s_.running ? Action::kStop : Action::kResume, 0, 0);
        for (std::size_t e = 0; e < bounds_.engines; ++e) add_of(e);
        return std::move(steps_);
    }

private:
    void add_of(std::size_t e) {
        const Engine& engine = s_.engines[e];
        switch (engine.life) {
            case Life::kOff: add(Action::kStart, e, 0); break;
            case Life::kUp: add_of_living(e, engine); break;
            case Life::kFrozen:
                add(Action::kThaw, e, 0);
                add_fault(Action::kDie, e, 0);
                for (std::size_t other = 0; engine.bell == Bell::kUp && other < bounds_.engines; ++other) {
                    if (other != e && acts(s_.engines[other]) && locked(s_.engines[other])) add(Action::kEndSession, e, other);
                }
                break;
            case Life::kDying:
                add(Action::kVanish, e, 0);
                if (has_outcome(engine)) add(Action::kLateRecord, e, 0);
                if (s_.running) {
                    for (const std::uint8_t mask : masks(s_, bounds_, is_queued)) add(Action::kLateClaim, e, mask);
                }
                break;
        }
    }

    void add_of_living(std::size_t e, const Engine& engine) {
        if (active(engine)) {
            if (s_.running) {
                for (const std::uint8_t mask : masks(s_, bounds_, is_queued)) add_or_lost(Action::kClaim, e, mask);
                for (const std::uint8_t mask : masks(s_, bounds_, is_due)) add_or_lost(Action::kClaimDue, e, mask);
                add(Action::kReturnOrphans, e, 0);
            }
            add_answers(e, engine);
        }
        add_records(e, engine);
        switch (engine.bell) {
            case Bell::kUp:
                add_or_lost(Action::kAdopt, e, kAll);
                add_or_lost(Action::kAdopt, e, 0);
                if (bounds_.stops && engine.item_count == 0) add(Action::kShutDown, e, 0);
                break;
            case Bell::kBroken: add(Action::kNotice, e, 0); break;
            case Bell::kDown: add(Action::kRegister, e, 0); break;
            case Bell::kNew: add_or_lost(Action::kMove, e, 0); break;
            case Bell::kNone: break;
        }
        if (engine.bell == Bell::kUp || engine.bell == Bell::kNew) add_fault(Action::kLoseBell, e, 0);
        add_fault(Action::kFreeze, e, 0);
        add_fault(Action::kDie, e, 0);
    }

    void add_answers(std::size_t e, const Engine& engine) {
        bool waits = false;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].phase != Phase::kWaiting) continue;
            waits = true;
            add(Action::kAccept, e, i);
            add(Action::kRefuse, e, i);
            add(Action::kLocalFault, e, i);
        }
        if (waits && !s_.running) add(Action::kGiveBack, e, 0);
    }

    void add_records(std::size_t e, const Engine& engine) {
        std::size_t outcomes = 0;
        for (std::size_t i = 0; i < engine.item_count; ++i) {
            if (engine.items[i].phase == Phase::kWaiting) continue;
            ++outcomes;
            add_or_lost(Action::kRecord, e, i);
        }
        if (outcomes > 1) add_or_lost(Action::kRecord, e, kAll);
    }

    static bool has_outcome(const Engine& engine) {
        return std::any_of(engine.items.begin(), engine.items.begin() + engine.item_count,
                           [](const Item& item) { return item.phase != Phase::kWaiting; });
    }

    void add(Action action, std::size_t engine, std::size_t which, bool lost = false) {
        steps_.push_back({action, static_cast<std::uint8_t>(engine), static_cast<std::uint8_t>(which), lost});
    }
    void add_fault(Action action, std::size_t engine, std::size_t which) {
        if (may_fail_) add(action, engine, which);
    }
    void add_or_lost(Action action, std::size_t engine, std::size_t which) {
        add(action, engine, which);
        if (may_fail_) add(action, engine, which, true);
    }

    const State& s_;
    const Bounds& bounds_;
    bool may_fail_;
    std::vector<Step> steps_;
};

}  // namespace

std::vector<Step> steps_from(const State& state, const Bounds& bounds) { return Choice(state, bounds).all(); }

}  // namespace messaging::model
