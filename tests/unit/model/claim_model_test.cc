// The claim protocol's promises in every state that a few engines, messages and faults can lead to, and the mistakes that break
// them.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <ostream>

#include "model/claim_walk.h"

namespace messaging::model {
namespace {

std::string to_text(const std::vector<Step>& path) {
    std::string text;
    for (const Step& step : path) text += "  " + to_text(step) + "\n";
    return text;
}

std::string to_text(const Breach& breach) {
    return "not so that " + to_text(breach.promise) + ", after\n" + to_text(breach.path) + to_text(breach.state);
}

struct Ordinary {
    const char* name;
    Bounds bounds;
    Mistakes mistakes{};  // what the others make harmless
    bool deep = false;    // minutes: only with CLAIM_MODEL_DEEP=1
};
std::ostream& operator<<(std::ostream& out, const Ordinary& one) { return out << one.name; }

class ClaimModel : public testing::TestWithParam<Ordinary> {};

TEST_P(ClaimModel, KeepsItsPromises) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "a walk has one thread, and takes minutes under this sanitizer";
#endif
    if (GetParam().deep && std::getenv("CLAIM_MODEL_DEEP") == nullptr) GTEST_SKIP() << "only with CLAIM_MODEL_DEEP=1";
    const Walk all = walk(GetParam().bounds, GetParam().mistakes);
    std::printf("claim model: %s: %zu states, %zu steps\n", GetParam().name, all.states, all.steps);
    if (all.breach) ADD_FAILURE() << to_text(*all.breach);
}

constexpr Bounds kTwoEngines{.engines = 2, .messages = 1, .faults = 2, .stops = true, .overlaps = true, .capacity = 1};
constexpr Bounds kThreeEngines{.engines = 3, .messages = 1, .faults = 2, .overlaps = true, .capacity = 1};
constexpr Bounds kSharedClaims{.engines = 2, .messages = 2, .faults = 1, .overlaps = true, .capacity = 1};
constexpr Bounds kStaleAndNew{.engines = 2, .messages = 1, .faults = 2, .overlaps = true, .capacity = 2};
constexpr Bounds kCrashes{.engines = 1, .messages = 2, .faults = 1, .crashes = true, .wishes = 1, .capacity = 2};
constexpr Bounds kRowsThatComeAgain{
    .engines = 1, .messages = 1, .faults = 2, .crashes = true, .wishes = 1, .deletes = true, .truncates = true, .capacity = 2};
constexpr Bounds kWishes{.engines = 2,
                         .messages = 1,
                         .faults = 1,
                         .crashes = true,
                         .wishes = 1,
                         .deletes = true,
                         .truncates = true,
                         .overlaps = true,
                         .capacity = 1};
constexpr Bounds kEndpoints{.engines = 1,
                            .messages = 1,
                            .faults = 1,
                            .crashes = true,
                            .wishes = 1,
                            .deletes = true,
                            .truncates = true,
                            .endpoints = true,
                            .capacity = 2};
constexpr Bounds kBreakers{.engines = 2, .messages = 1, .faults = 0, .endpoints = true, .breakers = true, .capacity = 1};
constexpr Bounds kOneBreaker{.engines = 1, .messages = 1, .faults = 1, .endpoints = true, .breakers = true, .capacity = 1};
constexpr Bounds kOneEngine{.engines = 1, .messages = 2, .faults = 1, .crashes = true, .capacity = 2};

INSTANTIATE_TEST_SUITE_P(
    Ordinary, ClaimModel,
    testing::Values(Ordinary{"TwoEnginesStopsTwoFaults", kTwoEngines}, Ordinary{"ThreeEnginesTwoFaults", kThreeEngines},
                    Ordinary{"MessagesThatShareAClaim", kSharedClaims}, Ordinary{"StaleAndNewInOneMemory", kStaleAndNew},
                    Ordinary{"CrashesAndReSends", kCrashes}, Ordinary{"RowsThatComeAgain", kRowsThatComeAgain},
                    Ordinary{"TwoEnginesAndWishes", kWishes}, Ordinary{"EndpointsHeldAndMissing", kEndpoints},
                    Ordinary{"TwoEnginesAndTheirBreakers", kBreakers}, Ordinary{"ABreakerAndAFault", kOneBreaker},
                    // What reconcile releases from the hold would be held for ever otherwise.
                    Ordinary{"ActiveThoughHeldButStraysAreReleased", kOneBreaker, {Mistake::kActiveThoughHeld}},
                    // Each of these repairs alone would do.
                    Ordinary{"FenceByInstanceButFinishChecked", kOneEngine, {Mistake::kFenceByInstance}},
                    Ordinary{"FinishUncheckedButFenceByClaim", kOneEngine, {Mistake::kFinishUnchecked}},
                    // Sends twice, after a fault; breaks no promise.
                    Ordinary{"ReclaimTakesMoved", kWishes, {Mistake::kReclaimTakesMoved}}),
    [](const testing::TestParamInfo<Ordinary>& one) { return std::string(one.param.name); });

// Five minutes and 4 GB together.
INSTANTIATE_TEST_SUITE_P(Deep, ClaimModel,
                         testing::Values(Ordinary{"TwoEnginesAndWishesWithCapacity",
                                                  {.engines = 2,
                                                   .messages = 1,
                                                   .faults = 1,
                                                   .wishes = 1,
                                                   .deletes = true,
                                                   .truncates = true,
                                                   .overlaps = true,
                                                   .capacity = 2},
                                                  {},
                                                  true},
                                         Ordinary{"CrashesAndRowsThatComeAgain",
                                                  {.engines = 1,
                                                   .messages = 2,
                                                   .faults = 1,
                                                   .crashes = true,
                                                   .wishes = 1,
                                                   .deletes = true,
                                                   .truncates = true,
                                                   .capacity = 2},
                                                  {},
                                                  true},
                                         Ordinary{"MessagesThatShareAClaimWithCapacity",
                                                  {.engines = 2, .messages = 2, .faults = 1, .overlaps = true, .capacity = 2},
                                                  {},
                                                  true}),
                         [](const testing::TestParamInfo<Ordinary>& one) { return std::string(one.param.name); });

// Finding out what each repair of "numbers come again" is worth: the check keeps messages from being lost, no more.
TEST(ClaimNumbers, ThatComeAgainLoseMessagesUnlessTheFinishIsChecked) {
    EXPECT_FALSE(walk(kOneEngine, {Mistake::kNumbersComeAgain}, Promise::kNotLost).breach);
    const Walk found = walk(kOneEngine, {Mistake::kNumbersComeAgain, Mistake::kFinishUnchecked}, Promise::kNotLost);
    ASSERT_TRUE(found.breach);
    std::printf("numbers that come again: %s", to_text(*found.breach).c_str());
    EXPECT_EQ(found.breach->path.size(), 13U);
}

struct Case {
    const char* name;
    Mistakes mistakes;
    Bounds bounds;
    Promise broken;
    std::size_t steps;  // of the shortest path
};
std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }

class ClaimMistake : public testing::TestWithParam<Case> {};

TEST_P(ClaimMistake, IsFoundByTheShortestPath) {
    const Walk found = walk(GetParam().bounds, GetParam().mistakes);
    ASSERT_TRUE(found.breach) << found.states << " states, and no promise was broken";
    std::printf("%s: %s", GetParam().name, to_text(*found.breach).c_str());
    EXPECT_EQ(to_text(found.breach->promise), to_text(GetParam().broken));
    EXPECT_EQ(found.breach->path.size(), GetParam().steps);
}

constexpr Bounds kTwoOfOne{.engines = 2, .messages = 1, .faults = 1};
constexpr Bounds kTwoOfTwo{.engines = 2, .messages = 2, .faults = 1, .overlaps = true, .capacity = 2};
constexpr Bounds kOneOfTwo{.engines = 1, .messages = 2, .faults = 1, .capacity = 2};
constexpr Bounds kDeletes{.engines = 1, .messages = 1, .faults = 0, .wishes = 1, .deletes = true};
constexpr Bounds kTruncates{.engines = 1, .messages = 1, .faults = 0, .wishes = 1, .truncates = true};
constexpr Bounds kReSends{.engines = 1, .messages = 1, .faults = 1, .wishes = 1};

INSTANTIATE_TEST_SUITE_P(
    Each, ClaimMistake,
    testing::Values(
        Case{"ClaimWithoutLedger", {Mistake::kClaimWithoutLedger}, kTwoOfOne, Promise::kNotLost, 3},
        Case{"RecordWithoutFence", {Mistake::kRecordWithoutFence}, kTwoOfOne, Promise::kFenced, 9},
        Case{"FenceByInstance", {Mistake::kFenceByInstance, Mistake::kFinishUnchecked}, kOneOfTwo, Promise::kNotLost, 15},
        Case{"NumbersComeAgain", {Mistake::kNumbersComeAgain}, kOneEngine, Promise::kInOnePlace, 12},
        Case{"RecordDoesNotLock", {Mistake::kRecordDoesNotLock}, kTwoOfTwo, Promise::kInOnePlace, 11},
        Case{"OrphansStay", {Mistake::kOrphansStay}, kTwoOfOne, Promise::kProgress, 4},
        Case{"ReclaimByOneSnapshot", {Mistake::kReclaimByOneSnapshot}, kTwoOfTwo, Promise::kInOnePlace, 15},
        Case{"ReclaimIsRemembered", {Mistake::kReclaimIsRemembered}, kTwoOfOne, Promise::kNotLost, 6},
        Case{"SentByIdAloneAndDeletes", {Mistake::kSentByIdAlone}, kDeletes, Promise::kSentWasAccepted, 8},
        Case{"SentByIdAloneAndTruncate", {Mistake::kSentByIdAlone}, kTruncates, Promise::kSentWasAccepted, 8},
        Case{"SentByIdAloneAndReSends", {Mistake::kSentByIdAlone}, kReSends, Promise::kSentWasAccepted, 9},
        Case{"SentMissesFirst", {Mistake::kSentMissesFirst}, kEndpoints, Promise::kSentIsNotDead, 12},
        Case{"SentMissesAbandoned", {Mistake::kSentMissesAbandoned}, kTwoOfOne, Promise::kSentIsNotDead, 11},
        Case{"SentSeesOneSnapshot", {Mistake::kSentSeesOneSnapshot}, kStaleAndNew, Promise::kSentIsNotDead, 10},
        Case{"RepeatsTurnBack",
             {Mistake::kRepeatsTurnBack},
             {.engines = 1, .messages = 2, .faults = 2, .capacity = 3},
             Promise::kInOnePlace,
             14},
        Case{"ReleasesTwice",
             {Mistake::kReleasesTwice},
             {.engines = 1, .messages = 2, .faults = 1, .capacity = 3},
             Promise::kInOnePlace,
             11},
        Case{"StraysStay", {Mistake::kStraysStay}, kEndpoints, Promise::kProgress, 4},
        Case{"FailingIsNotTried", {Mistake::kFailingIsNotTried}, kOneBreaker, Promise::kProgress, 7},
        Case{"FindingsOnce", {Mistake::kFindingsOnce}, kOneBreaker, Promise::kAgreement, 13},
        Case{"FindingsEnable", {Mistake::kFindingsEnable}, kOneBreaker, Promise::kDisabledStays, 8},
        Case{"ReleasesWhatIsResolved", {Mistake::kReleasesWhatIsResolved}, kDeletes, Promise::kInOnePlace, 8},
        Case{"SendAgainLeavesEntries",
             {Mistake::kSendAgainLeavesEntries},
             {.engines = 2, .messages = 1, .faults = 1, .wishes = 1, .overlaps = true, .capacity = 2},
             Promise::kInOnePlace,
             11}),
    [](const testing::TestParamInfo<Case>& one) { return std::string(one.param.name); });

}  // namespace
}  // namespace messaging::model
