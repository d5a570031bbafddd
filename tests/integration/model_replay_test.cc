// The claim model's steps taken with the real statements: what PostgreSQL then holds is what the model says.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "model/claim_paths.h"
#include "model/claim_replay.h"

namespace messaging::model {
namespace {

constexpr std::size_t kLong = 60;

constexpr Bounds kStops{.engines = 1, .messages = 1, .faults = 1, .stops = true, .capacity = 2};
constexpr Bounds kTwoEngines{.engines = 2, .messages = 1, .faults = 1, .overlaps = true, .capacity = 2};
constexpr Bounds kTwoMessages{.engines = 1, .messages = 2, .faults = 1, .capacity = 1};
constexpr Bounds kReSends{.engines = 1, .messages = 1, .faults = 1, .wishes = 1, .capacity = 2};
constexpr Bounds kDeletes{
    .engines = 1, .messages = 1, .faults = 0, .wishes = 1, .deletes = true, .truncates = true, .capacity = 1};
constexpr Bounds kCrashes{.engines = 1, .messages = 1, .faults = 1, .crashes = true, .endpoints = true, .capacity = 1};
constexpr Bounds kBreakers{.engines = 1, .messages = 1, .faults = 1, .endpoints = true, .breakers = true, .capacity = 1};
// Minutes more, with CLAIM_MODEL_DEEP=1.
constexpr Bounds kTwoFaults{.engines = 2, .messages = 1, .faults = 2, .overlaps = true, .capacity = 1};
constexpr Bounds kWishes{.engines = 1, .messages = 1, .faults = 1, .crashes = true, .wishes = 1, .capacity = 2};

class ModelReplay : public testing::Test {
protected:
    // False at the first difference.
    bool agrees(const Bounds& bounds, const Path& path) {
        replay_.begin(bounds);
        for (std::size_t i = 0; i < path.size(); ++i) {
            replay_.make(path[i]);
            ++steps_;
            const State actual = replay_.actual();
            if (actual == replay_.expected() && replay_.locks_are_right() && !HasFailure()) continue;
            std::string words;
            for (std::size_t done = 0; done <= i; ++done) words += "  " + to_text(path[done]) + "\n";
            ADD_FAILURE() << "after\n"
                          << words << "PostgreSQL and the engines have\n"
                          << to_text(actual) << (replay_.locks_are_right() ? "" : "and the wrong locks\n")
                          << "and the model has\n"
                          << to_text(replay_.expected());
            return false;
        }
        return true;
    }

    void replay(const Bounds& bounds, const std::vector<Path>& paths, const char* what) {
        for (const Path& path : paths) {
            if (!agrees(bounds, path)) return;
        }
        std::printf("claim model against PostgreSQL: %s, %zu paths, %zu steps\n", what, paths.size(), steps_);
    }
    void replay_situations(const Bounds& bounds, const char* what) { replay(bounds, paths_to_situations(bounds), what); }

    ClaimReplay replay_;
    std::size_t steps_ = 0;
};

TEST_F(ModelReplay, AgreesInEverySituationOfOneEngine) { replay_situations(kStops, "one engine, stops"); }
TEST_F(ModelReplay, AgreesInEverySituationOfTwoEngines) { replay_situations(kTwoEngines, "two engines"); }
TEST_F(ModelReplay, AgreesInEverySituationOfTwoMessages) { replay_situations(kTwoMessages, "two messages"); }
TEST_F(ModelReplay, AgreesInEverySituationOfReSends) { replay_situations(kReSends, "re-sends"); }
TEST_F(ModelReplay, AgreesInEverySituationOfRowsThatComeAgain) { replay_situations(kDeletes, "rows that come again"); }
TEST_F(ModelReplay, AgreesInEverySituationOfACrash) { replay_situations(kCrashes, "crashes and endpoints"); }

TEST_F(ModelReplay, AgreesInEverySituationOfABreaker) { replay_situations(kBreakers, "breakers and endpoints"); }

TEST_F(ModelReplay, AgreesInEverySituationOfMoreFaultsAtOnce) {
    if (std::getenv("CLAIM_MODEL_DEEP") == nullptr) GTEST_SKIP() << "only with CLAIM_MODEL_DEEP=1";
    replay_situations(kTwoFaults, "two engines, two faults");
    replay_situations(kWishes, "crashes and re-sends");
}

TEST_F(ModelReplay, AgreesOnLongPathsByChance) {
    constexpr std::uint64_t kPaths = 20;
    const Bounds bounds{.engines = 3,
                        .messages = 3,
                        .faults = 4,
                        .stops = true,
                        .crashes = true,
                        .wishes = 4,
                        .deletes = true,
                        .truncates = true,
                        .capacity = 4};
    std::vector<Path> paths;
    for (std::uint64_t seed = 1; seed <= kPaths; ++seed) paths.push_back(random_path(bounds, kLong, seed));
    replay(bounds, paths, "chance");
}

TEST(ModelPaths, HaveEveryKindOfStep) {
    std::set<Action> kinds;
    for (const Bounds& bounds : {kStops, kTwoEngines, kTwoMessages, kReSends, kDeletes, kCrashes, kBreakers}) {
        for (const Path& path : paths_to_situations(bounds)) {
            for (const Step& step : path) kinds.insert(step.action);
        }
    }
    EXPECT_EQ(kinds.size(), kActions);
}

}  // namespace
}  // namespace messaging::model
