// The claim model's steps taken with the real statements: what PostgreSQL then holds is what the model says.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <utility>

#include "support/claim_paths.h"
#include "support/claim_replay.h"

namespace messaging::model {
namespace {

constexpr std::size_t kLong = 60;
constexpr std::size_t kKinds = 31;  // the actions, and those whose answer can be lost

class ModelReplay : public testing::Test {
protected:
    // False at the first difference.
    bool agrees(const Path& path) {
        replay_.begin();
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

    void replay(const std::vector<Path>& paths, const char* what) {
        for (const Path& path : paths) {
            if (!agrees(path)) return;
        }
        std::printf("claim model against PostgreSQL: %s, %zu paths, %zu steps\n", what, paths.size(), steps_);
    }

    ClaimReplay replay_;
    std::size_t steps_ = 0;
};

constexpr Bounds kOneEngine{1, 1, 1, true};
constexpr Bounds kTwoEngines{2, 1, 2, false};
constexpr Bounds kTwoMessages{1, 2, 1, false};

TEST_F(ModelReplay, AgreesInEverySituationOfOneEngine) { replay(paths_to_situations(kOneEngine), "one engine, stops"); }
TEST_F(ModelReplay, AgreesInEverySituationOfTwoEngines) { replay(paths_to_situations(kTwoEngines), "two engines"); }
TEST_F(ModelReplay, AgreesInEverySituationOfTwoMessages) { replay(paths_to_situations(kTwoMessages), "two messages"); }

TEST_F(ModelReplay, AgreesOnLongPathsByChance) {
    constexpr std::uint64_t kPaths = 20;
    std::vector<Path> paths;
    for (std::uint64_t seed = 1; seed <= kPaths; ++seed) paths.push_back(random_path({3, 3, 4, true}, kLong, seed));
    replay(paths, "chance");
}

TEST(ModelPaths, HaveEveryKindOfStep) {
    std::set<std::pair<Action, bool>> kinds;
    for (const Bounds& bounds : {kOneEngine, kTwoEngines, kTwoMessages}) {
        for (const Path& path : paths_to_situations(bounds)) {
            for (const Step& step : path) kinds.emplace(step.action, step.lost);
        }
    }
    EXPECT_EQ(kinds.size(), kKinds);
}

}  // namespace
}  // namespace messaging::model
