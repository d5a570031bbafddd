// Steps and states of the claim model in words, for the message of a test that fails.
#include <sstream>

#include "support/claim_model.h"

namespace messaging::model {
namespace {

const char* name_of(Action action) {
    switch (action) {
        case Action::kInsert: return "insert";
        case Action::kStart: return "start";
        case Action::kClaim: return "claim";
        case Action::kClaimDue: return "claim_due";
        case Action::kAccept: return "accept";
        case Action::kRefuse: return "refuse";
        case Action::kLocalFault: return "local_fault";
        case Action::kRecord: return "record";
        case Action::kLoseBell: return "lose_bell";
        case Action::kNotice: return "notice";
        case Action::kRegister: return "register";
        case Action::kMove: return "move";
        case Action::kAdopt: return "adopt";
        case Action::kReturnOrphans: return "return_orphans";
        case Action::kGiveBack: return "give_back";
        case Action::kShutDown: return "shut_down";
        case Action::kDie: return "die";
        case Action::kLateRecord: return "late_record";
        case Action::kLateClaim: return "late_claim";
        case Action::kVanish: return "vanish";
        case Action::kFreeze: return "freeze";
        case Action::kEndSession: return "end_session";
        case Action::kThaw: return "thaw";
        case Action::kDue: return "due";
        case Action::kStop: return "stop";
        case Action::kResume: return "resume";
    }
    return "";
}

const char* name_of(Phase phase) {
    static constexpr std::array<const char*, 7> kNames{"waiting", "delivered", "retry",   "retry_now",
                                                       "dead",    "deferred",  "returned"};
    return kNames[static_cast<std::size_t>(phase)];
}

std::string name_of(Owner owner) {
    if (owner == kGrave) return "a dead instance";
    if (owner == kNobody) return "nobody";
    return (owner % 2 == 0 ? "engine " : "the next instance of engine ") + std::to_string(owner / 2);
}

void add_engine(std::ostringstream& text, const Engine& engine) {
    static constexpr std::array<const char*, 4> kLives{"off", "up", "frozen", "dying"};
    static constexpr std::array<const char*, 5> kBells{"none", "up", "broken", "down", "new"};
    text << kLives[static_cast<std::size_t>(engine.life)] << ", bell " << kBells[static_cast<std::size_t>(engine.bell)]
         << (engine.row ? ", row" : ", no row");
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        text << "; message " << int{item.message} << " " << name_of(item.phase) << " attempts " << int{item.attempts} << " claim "
             << (item.claim == kGone ? "gone" : std::to_string(item.claim));
    }
    for (std::size_t c = 0; c < kMaxClaims; ++c) {
        if (engine.open[c] > 0) text << "; claim " << c << " open " << int{engine.open[c]};
    }
    text << "\n";
}

}  // namespace

std::string to_text(const Step& step) {
    std::ostringstream text;
    text << name_of(step.action) << " e" << int{step.engine} << " " << (step.which == kAll ? "all" : std::to_string(step.which))
         << (step.lost ? " (answer lost)" : "");
    return text.str();
}

std::string to_text(const State& state) {
    std::ostringstream text;
    text << (state.running ? "running" : "stopped") << ", faults " << int{state.faults} << "\n";
    for (const Message& message : state.messages) {
        if (!message.inserted) continue;
        text << "message: attempts " << int{message.attempts} << ", accepted " << int{message.accepted}
             << (message.sent ? ", sent" : "") << (message.dead ? ", dead" : "") << ", queued " << int{message.queued}
             << ", schedule " << static_cast<int>(message.schedule) << "\n";
    }
    for (std::size_t c = 0; c < state.claim_count; ++c) {
        const Claim& claim = state.claims[c];
        text << "claim " << c << " of " << name_of(claim.owner) << (claim.adopted ? ", adopted" : "") << ", attempts";
        for (const std::int8_t attempts : claim.attempts) text << " " << int{attempts};
        text << "\n";
    }
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (state.engines[e].life == Life::kOff) continue;
        text << "engine " << e << ": ";
        add_engine(text, state.engines[e]);
    }
    return text.str();
}

}  // namespace messaging::model
