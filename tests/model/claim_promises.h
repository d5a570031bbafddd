// What the claim protocol promises, as conditions on the model's states and steps.
#pragma once

#include <optional>
#include <string>

#include "model/claim_model.h"

namespace messaging::model {

enum class Promise {
    kNotLost,          // an unsent message is queued, scheduled, held, dead-lettered or open in the ledger
    kInOnePlace,       // and in no two of these
    kSentIsNotDead,    // a claim skips what is sent, but dead letters are listed and can be sent again
    kSentWasAccepted,  // by the receiver, in this generation
    kFenced,           // the outcome of a claim that is gone changes nothing, unless it is "sent"; sent stays sent
    kOnceUnlessFault,  // nothing is accepted twice in one generation unless something failed, froze or was lost
    kProgress,         // there is always a way to "all sent, dead-lettered, or held for a disabled endpoint" without another
                       // fault, or an operator's help
    kAgreement,        // and one to "all engines think of the endpoint what PostgreSQL says"
    kDisabledStays,    // a disabled endpoint stays disabled until an operator changes that
};
std::string to_text(Promise promise);

// The first that does not hold; of one alone where `only` names it.
std::optional<Promise> broken_in(const State& state, std::optional<Promise> only = std::nullopt);
bool keeps_fence(const State& before, const Step& step, const State& after);
bool keeps_disabled(const State& before, const Step& step, const State& after);

// For kProgress and kAgreement: where every way shall lead, and the steps that happen by themselves.
bool is_goal(const State& state);
bool agrees(const State& state);
bool heals(const State& state, const Step& step);

}  // namespace messaging::model
