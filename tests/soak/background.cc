// The loop around the step.
#include "soak/background.h"

#include <utility>

#include "support/loop_runner.h"

namespace messaging::test {

using std::chrono::milliseconds;

void wait(milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    wait_until([&] { return std::chrono::steady_clock::now() >= end; }, time * 2);
}

Background::Background(std::string database_url, std::string name, Step step)
    : database_url_(std::move(database_url)), name_(std::move(name)), step_(std::move(step)) {
    thread_ = std::thread([this] { run(); });
}

Background::~Background() {
    ended_ = true;
    thread_.join();
}

void Background::run() {
    while (!ended_) {
        if (auto session = pg::Session::connect(database_url_, name_)) {
            while (!ended_) {
                const auto pause = step_(session.value());
                if (!pause) break;
                wait(*pause);
            }
        }
        wait(milliseconds(100));
    }
}

}  // namespace messaging::test
