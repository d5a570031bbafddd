// The claim protocol's promises in every state that a few engines, messages and faults can lead to, and the mistakes that break
// them.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <ostream>

#include "support/claim_walk.h"

namespace messaging::model {
namespace {

std::string to_text(const std::vector<Step>& path) {
    std::string text;
    for (const Step& step : path) text += "  " + to_text(step) + "\n";
    return text;
}

void expect_promises_kept(const Bounds& bounds) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a walk has one thread, and takes minutes under this sanitizer";
#endif
    const Walk all = walk(bounds);
    std::printf("claim model: %zu engines, %zu messages, %d faults%s: %zu states, %zu steps\n", bounds.engines, bounds.messages,
                bounds.faults, bounds.stops ? ", stops" : "", all.states, all.steps);
    if (all.breach) {
        ADD_FAILURE() << to_text(all.breach->promise) << ", but:\n" << to_text(all.breach->path) << to_text(all.breach->state);
    }
}

TEST(ClaimModel, KeepsItsPromisesToAMessageWhateverTwoFaultsDo) { expect_promises_kept({2, 1, 2, true}); }
TEST(ClaimModel, KeepsItsPromisesAmongThreeEngines) { expect_promises_kept({3, 1, 2, false}); }
TEST(ClaimModel, KeepsItsPromisesToMessagesThatShareAClaim) { expect_promises_kept({2, 2, 1, false}); }

// 4.9 million states: two minutes, and 3 GB.
TEST(ClaimModel, KeepsItsPromisesToMessagesThatShareAClaimWhateverTwoFaultsDo) {
    if (std::getenv("CLAIM_MODEL_DEEP") == nullptr) GTEST_SKIP() << "only with CLAIM_MODEL_DEEP=1";
    expect_promises_kept({2, 2, 2, false});
}

struct Case {
    const char* name;
    Mistake mistake;
    Bounds bounds;
    Promise broken;
    std::size_t steps;  // of the shortest path
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

class ClaimMistake : public testing::TestWithParam<Case> {};

TEST_P(ClaimMistake, IsFoundByTheShortestPath) {
    const Walk found = walk(GetParam().bounds, GetParam().mistake);
    ASSERT_TRUE(found.breach) << found.states << " states, and no promise was broken";
    std::printf("%s: not so that %s, after\n%s", GetParam().name, to_text(found.breach->promise).c_str(),
                to_text(found.breach->path).c_str());
    EXPECT_EQ(to_text(found.breach->promise), to_text(GetParam().broken));
    EXPECT_EQ(found.breach->path.size(), GetParam().steps);
}

constexpr Bounds kOneMessage{2, 1, 1, true};
constexpr Bounds kOneClaim{1, 2, 2, false};
INSTANTIATE_TEST_SUITE_P(
    Each, ClaimMistake,
    testing::Values(Case{"ClaimWithoutLedger", Mistake::kClaimWithoutLedger, kOneMessage, Promise::kNotLost, 3},
                    Case{"RescueEmptiesLedger", Mistake::kRescueEmptiesLedger, kOneMessage, Promise::kNotLost, 6},
                    Case{"RecordWithoutFence", Mistake::kRecordWithoutFence, kOneMessage, Promise::kFenced, 7},
                    Case{"OrphansStay", Mistake::kOrphansStay, kOneMessage, Promise::kProgress, 3},
                    Case{"AdoptedKeepsItsNumber", Mistake::kAdoptedKeepsItsNumber, kOneClaim, Promise::kNotLost, 13},
                    Case{"LateSentStaysDead", Mistake::kLateSentStaysDead, kOneMessage, Promise::kSentIsNotDead, 12},
                    Case{"RepeatsTurnBack", Mistake::kRepeatsTurnBack, kOneClaim, Promise::kInOnePlace, 11},
                    Case{"GivesBackTwice", Mistake::kGivesBackTwice, kOneClaim, Promise::kInOnePlace, 9}),
    [](const testing::TestParamInfo<Case>& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace messaging::model
