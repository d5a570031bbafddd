// Steps and states of the claim model in words, for the message of a test that fails.
#include <sstream>

#include "model/claim_model.h"

namespace messaging::model {
namespace {

constexpr std::array<const char*, kActions> kActionNames{"insert",
                                                         "start",
                                                         "claim",
                                                         "claim_due",
                                                         "claim_held",
                                                         "arrive",
                                                         "lose_claim",
                                                         "accept",
                                                         "refuse",
                                                         "local_fault",
                                                         "hold",
                                                         "answer_gone",
                                                         "record",
                                                         "recorded",
                                                         "lose_record",
                                                         "lose_listen_session",
                                                         "notice",
                                                         "register",
                                                         "move",
                                                         "moved",
                                                         "reclaim",
                                                         "reschedule_orphans",
                                                         "release",
                                                         "shut_down",
                                                         "die",
                                                         "late_record",
                                                         "late_claim",
                                                         "vanish",
                                                         "freeze",
                                                         "end_session",
                                                         "thaw",
                                                         "due",
                                                         "stop",
                                                         "resume",
                                                         "crash",
                                                         "send_again",
                                                         "delete",
                                                         "truncate",
                                                         "set_endpoint",
                                                         "open_breaker",
                                                         "write_finding",
                                                         "lose_finding",
                                                         "read",
                                                         "have_read",
                                                         "release_strays",
                                                         "claim_behind_active",
                                                         "reclaim_behind_record",
                                                         "reclaim_behind_move",
                                                         "reclaim_behind_sent",
                                                         "sent_behind_reclaim",
                                                         "sent_behind_failure"};

std::string name_of(Owner owner) {
    if (owner == kFailed) return "a failed instance";
    if (owner == kNobody) return "an instance without a row";
    if (owner == kUndone) return "nobody, and its number can come again";
    return (owner % 2 == 0 ? "engine " : "the next instance of engine ") + std::to_string(owner / 2);
}

void add_message(std::ostringstream& text, std::size_t number, const Message& message) {
    static constexpr std::array<const char*, 3> kSchedules{"", ", scheduled", ", scheduled and due"};
    text << "message " << number << ": generation " << int{message.generation} << ", attempts " << int{message.attempts}
         << ", abandoned " << int{message.abandoned} << ", accepted " << int{message.accepted}
         << (message.inserted ? "" : ", no row") << (message.sent ? ", sent" : "") << (message.dead ? ", dead-lettered" : "")
         << (message.queued ? ", queued" : "") << (message.held ? ", held" : "")
         << kSchedules[static_cast<std::size_t>(message.schedule)] << "\n";
}

void add_claim(std::ostringstream& text, std::size_t number, const Claim& claim) {
    text << "claim " << number << " of " << name_of(claim.owner) << (claim.durable ? "" : ", not durable")
         << (claim.from == Source::kSchedule ? ", from the schedule"
             : claim.from == Source::kHold   ? ", from the hold"
                                             : "");
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (claim.attempts[m] == kAbsent) continue;
        text << "; message " << m << " attempts " << int{claim.attempts[m]} << " generation " << int{claim.generations[m]};
    }
    text << "\n";
}

void add_engine(std::ostringstream& text, const Engine& engine) {
    static constexpr std::array<const char*, 4> kLives{"off", "up", "frozen", "dying"};
    static constexpr std::array<const char*, 6> kBells{"none", "up", "broken", "down", "new", "moving"};
    static constexpr std::array<const char*, 8> kPhases{"arriving", "waiting",  "delivered", "retry",
                                                        "dead",     "deferred", "held",      "released"};
    static constexpr std::array<const char*, 4> kFindings{"", ", has found it failing", ", has found it recovered",
                                                          ", has found it gone"};
    static constexpr std::array<const char*, 5> kReadings{"", ", is reading active or backlogged", ", is reading failing",
                                                          ", is reading disabled", ", is reading that it is missing"};
    text << kLives[static_cast<std::size_t>(engine.life)] << ", listen session "
         << kBells[static_cast<std::size_t>(engine.listen_session)] << (engine.row ? ", row" : ", no row")
         << (engine.breaker_open ? ", breaker open" : "") << (engine.read_failing ? ", has read failing" : "")
         << kFindings[static_cast<std::size_t>(engine.finding)] << kReadings[static_cast<std::size_t>(engine.reading)];
    for (std::size_t i = 0; i < engine.item_count; ++i) {
        const Item& item = engine.items[i];
        text << "; message " << int{item.message} << " generation " << int{item.generation} << " "
             << kPhases[static_cast<std::size_t>(item.phase)] << " attempts " << int{item.attempts} << " claim "
             << (item.claim == kGone ? "gone" : std::to_string(item.claim)) << (item.recording ? " recording" : "");
    }
    for (std::size_t c = 0; c < kMaxClaims; ++c) {
        if (engine.open[c] > 0) text << "; claim " << c << " open " << int{engine.open[c]};
    }
    text << "\n";
}

}  // namespace

const char* name_of(Action action) { return kActionNames[static_cast<std::size_t>(action)]; }

std::string to_text(const Step& step) {
    std::ostringstream text;
    text << name_of(step.action) << " e" << int{step.engine} << " " << (step.which == kAll ? "all" : std::to_string(step.which));
    if (is_overlap(step)) text << " " << int{step.other};
    return text.str();
}

std::string to_text(const State& state) {
    static constexpr std::array<const char*, 5> kEndpoints{"active", "backlogged", "failing", "disabled", "missing"};
    std::ostringstream text;
    text << (state.running ? "running" : "stopped") << ", endpoint " << kEndpoints[static_cast<std::size_t>(state.endpoint)]
         << ", faults " << int{state.faults} << ", wishes " << int{state.wishes} << "\n";
    for (std::size_t m = 0; m < kMaxMessages; ++m) {
        if (state.messages[m] != Message{}) add_message(text, m, state.messages[m]);
    }
    for (std::size_t c = 0; c < state.claim_count; ++c) add_claim(text, c, state.claims[c]);
    for (std::size_t e = 0; e < kMaxEngines; ++e) {
        if (state.engines[e].life == Life::kOff) continue;
        text << "engine " << e << ": ";
        add_engine(text, state.engines[e]);
    }
    return text.str();
}

}  // namespace messaging::model
