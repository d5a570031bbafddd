// Which endpoints /metrics has by name.
#include "telemetry/busiest_endpoints.h"

#include <gtest/gtest.h>

#include <map>

namespace messaging::telemetry {
namespace {

using std::chrono::seconds;

class BusiestEndpointsTest : public testing::Test {
protected:
    void count(int endpoint, int sent, int failed = 0) {
        engine::EndpointFigures figures;
        figures.endpoint = endpoint;
        figures.name = "e" + std::to_string(endpoint);
        figures.sent = sent;
        figures.failed = failed;
        endpoints_.add({figures}, now_);
    }
    // By name, sent and failed.
    std::map<std::string, std::map<std::string, double>> shown() const {
        std::map<std::string, std::map<std::string, double>> found;
        for (const auto& family : endpoints_.collect()) {
            for (const auto& metric : family.metric)
                found[metric.label.at(0).value][metric.label.at(1).value] = metric.counter.value;
        }
        return found;
    }

    core::MonoTime now_{std::chrono::hours(1)};
    BusiestEndpoints endpoints_;
};

TEST_F(BusiestEndpointsTest, AddsUpTheAttemptsOfEach) {
    EXPECT_TRUE(endpoints_.collect().empty()) << "a family without a metric is no valid text";
    count(1, 5, 2);
    count(1, 1, 1);
    count(2, 3);
    EXPECT_EQ(shown(), (std::map<std::string, std::map<std::string, double>>{{"e1", {{"sent", 6}, {"failed", 3}}},
                                                                             {"e2", {{"sent", 3}, {"failed", 0}}}}));
}

TEST_F(BusiestEndpointsTest, ShowsThoseWithTheMostAttemptsOfLate) {
    for (int endpoint = 1; endpoint <= 100; ++endpoint) count(endpoint, endpoint);
    const auto first = shown();
    EXPECT_EQ(first.size(), kShownEndpoints);
    EXPECT_TRUE(first.contains("e81"));
    EXPECT_FALSE(first.contains("e80"));
    now_ += seconds(60);
    count(1, 10, 31);
    EXPECT_TRUE(shown().contains("e1")) << "41 now are more than 81 a minute ago";
    EXPECT_FALSE(shown().contains("e81"));
    EXPECT_EQ(shown().at("e1").at("sent"), 11);
}

TEST_F(BusiestEndpointsTest, RemembersABoundedNumber) {
    const int many = static_cast<int>(2 * kMaxRememberedEndpoints);
    for (int endpoint = 1; endpoint <= many; ++endpoint) count(endpoint, 2);
    count(many + 1, 3);
    count(many, 3);
    count(many - 1, 1000);
    EXPECT_EQ(shown().at("e" + std::to_string(many + 1)).at("sent"), 3);
    EXPECT_EQ(shown().at("e" + std::to_string(many - 1)).at("sent"), 1000) << "it was forgotten, and begins again";
}

TEST_F(BusiestEndpointsTest, LeavesOutEndpointsThatWereDeleted) {
    endpoints_.add({{.endpoint = 7, .sent = 1}}, now_);
    EXPECT_TRUE(endpoints_.collect().empty());
}

}  // namespace
}  // namespace messaging::telemetry
