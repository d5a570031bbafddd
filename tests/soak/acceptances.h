// Acceptances: which messages a receiver of the soak has answered with 2xx, and how often.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

namespace messaging::test {

// All calls from any thread.
class Acceptances {
public:
    void add(const std::string& webhook_id, const std::string& body) {
        const std::lock_guard lock(mutex_);
        const auto [found, is_new] = counts_.try_emplace(webhook_id, One{std::hash<std::string>{}(body), 0});
        ++found->second.count;
        ++total_;
        if (found->second.body != std::hash<std::string>{}(body)) ++changed_;
    }
    bool has(const std::string& webhook_id) const {
        const std::lock_guard lock(mutex_);
        return counts_.contains(webhook_id);
    }
    long repeated() const {
        const std::lock_guard lock(mutex_);
        return total_ - static_cast<long>(counts_.size());
    }
    long distinct() const {
        const std::lock_guard lock(mutex_);
        return static_cast<long>(counts_.size());
    }
    // Repeats whose body was not that of the first time.
    long changed() const {
        const std::lock_guard lock(mutex_);
        return changed_;
    }

private:
    struct One {
        std::size_t body = 0;
        long count = 0;
    };
    mutable std::mutex mutex_;
    std::unordered_map<std::string, One> counts_;
    long total_ = 0;
    long changed_ = 0;
};

}  // namespace messaging::test
