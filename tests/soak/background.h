// Background: repeats a step on a thread of its own, with a session to the database, and outlives PostgreSQL's absence.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "pg/session.h"

namespace messaging::test {

void wait(std::chrono::milliseconds time);

class Background {
public:
    // Answers the pause before the next step; nullopt: the session is of no use any more.
    using Step = std::function<std::optional<std::chrono::milliseconds>(pg::Session&)>;

    Background(std::string database_url, std::string name, Step step);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

private:
    void run();

    std::string database_url_;
    std::string name_;
    Step step_;
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

}  // namespace messaging::test
