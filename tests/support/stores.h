// Stores: sessions to a test database with what the repositories are told at their start, and a way to wait for their answers.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "loop/event_loop.h"
#include "pg/connection.h"
#include "pg/session.h"
#include "repository/session_settings.h"
#include "support/fixed_random.h"
#include "support/loop_runner.h"

namespace messaging::test {

// Each open_session() is a session of its own on one loop, which runs only while something is waited for.
class Stores {
public:
    explicit Stores(std::string url);
    Stores(const Stores&) = delete;
    Stores& operator=(const Stores&) = delete;

    // Connected when it returns; the notifications of its channels end up in notified().
    pg::Connection& open_session(const repository::SessionSettings& settings);
    // Ends the sessions opened so far, as the death of their process would.
    void close_sessions() { sessions_.clear(); }

    // Runs the loop until `start`, given a completion, has had it called.
    template <typename T>
    core::Result<T> answer(const std::function<void(std::function<void(core::Result<T>)>)>& start) {
        std::optional<core::Result<T>> result;
        start([&result](core::Result<T> answered) { result.emplace(std::move(answered)); });
        if (!run_until(loop_, [&] { return result.has_value(); })) {
            return core::Error{core::ErrorKind::kTimeout, "the test has waited in vain", ""};
        }
        return std::move(*result);
    }
    // The same where only success will do.
    template <typename T>
    T value(const std::function<void(std::function<void(core::Result<T>)>)>& start) {
        core::Result<T> result = answer<T>(start);
        if (result) return std::move(result.value());
        ADD_FAILURE() << result.error().sqlstate << " " << result.error().message;
        return T{};
    }

    // SQL as an application would send it. An error fails the test; rows come as one text, columns by '|', rows by ' '.
    std::string sql(const std::string& text);
    // The same as the service's own sessions send it, which the triggers of messages leave alone.
    void as_engine(const std::string& text) {
        sql("SET messaging.session = 'engine'");
        sql(text);
        sql("RESET messaging.session");
    }
    // The number in the one column of the one row.
    std::int64_t number(const std::string& text) { return std::stoll(sql(text)); }

    const std::string& url() const { return url_; }
    loop::EventLoop& loop() { return loop_; }
    core::Random& random() { return random_; }
    const std::vector<std::string>& notified() const { return notified_; }

private:
    std::string url_;
    FixedRandom random_;
    loop::EventLoop loop_;
    pg::Session blocking_;
    std::vector<std::string> notified_;
    std::vector<std::unique_ptr<pg::Connection>> sessions_;  // depends-on: loop_, random_, notified_
};

// A session that ends the test when it cannot be opened.
pg::Session connect_or_abort(const std::string& url);

}  // namespace messaging::test
