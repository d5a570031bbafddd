// RateWindows: how many requests each limited endpoint has got within any 10 s, against its limit. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>

namespace messaging::test {

// libcurl repeats a request by itself, on a new connection, when a kept one is closed before the answer. The service
// learns of it with the answer, and leaves later moments unused for it: until then they are too many, so they are counted apart.
class RateWindows {
public:
    // An attempt that fails is not made again so soon.
    static constexpr std::chrono::milliseconds kRepeatedWithin{200};
    static constexpr std::chrono::seconds kWindow{10};
    static constexpr double kMostExcess = 0.05;

    // `per_second`: the endpoint's limit; `request`: the same for repeats by libcurl. Arrivals come in the order of their times.
    void arrived(const std::string& endpoint, int per_second, const std::string& request,
                 std::chrono::steady_clock::time_point at) {
        const auto [seen, is_new] = seen_.try_emplace(request, at);
        if (!is_new && at - seen->second < kRepeatedWithin) {
            ++repeats_;
            return;
        }
        seen->second = at;
        std::deque<std::chrono::steady_clock::time_point>& last = last_[endpoint];
        last.push_back(at);
        while (last.front() <= at - kWindow) last.pop_front();
        const double allowed = per_second * static_cast<double>(kWindow.count());
        const double excess = static_cast<double>(last.size()) / allowed - 1;
        worst_ = std::max(worst_, excess);
        if (excess > kMostExcess) ++exceeded_;
        ++total_;
    }
    double worst_excess() const { return worst_; }  // 0.02 = 2 % more than the limit; negative: never reached
    long exceeded() const { return exceeded_; }     // requests that came beyond limit and tolerance
    long total() const { return total_; }
    long repeats() const { return repeats_; }

private:
    std::map<std::string, std::deque<std::chrono::steady_clock::time_point>> last_;
    std::unordered_map<std::string, std::chrono::steady_clock::time_point> seen_;
    double worst_ = -1;
    long repeats_ = 0;
    long exceeded_ = 0;
    long total_ = 0;
};

}  // namespace messaging::test
