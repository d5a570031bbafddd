// Opening sessions and showing rows.
#include "support/stores.h"

#include <cstdio>
#include <cstdlib>

namespace messaging::test {
namespace {

// The last statement's rows as one text, made by PostgreSQL: the blocking session does not tell how many columns there are.
std::string as_lines(const std::string& query) {
    return "SELECT string_agg(line, ' ') FROM (SELECT (SELECT string_agg(coalesce(value, ''), '|') FROM "
           "json_each_text(row_to_json(answer))) AS line FROM (" +
           query + ") answer) lines";
}

bool is_query(const std::string& text) { return text.starts_with("SELECT"); }

}  // namespace

pg::Session connect_or_abort(const std::string& url) {
    auto session = pg::Session::connect(url, "test");
    if (!session) {
        std::fprintf(stderr, "test database: %s\n", session.error().message.c_str());
        std::abort();
    }
    return std::move(session.value());
}

Stores::Stores(std::string url) : url_(std::move(url)), blocking_(connect_or_abort(url_)) {}

pg::Connection& Stores::open_session(const repository::SessionSettings& settings) {
    pg::ConnectionOptions options;
    options.url = url_;
    options.application_name = "test";
    options.settings = settings;
    pg::Connection::Events events;
    events.on_notify = [this](const std::string& channel) { notified_.push_back(channel); };
    sessions_.push_back(std::make_unique<pg::Connection>(loop_, random_, options, std::move(events)));
    pg::Connection& session = *sessions_.back();
    session.start();
    EXPECT_TRUE(run_until(loop_, [&] { return session.up(); }));
    return session;
}

std::string Stores::sql(const std::string& text) {
    const auto rows = blocking_.execute((is_query(text) ? as_lines(text) : text).c_str());
    if (!rows) {
        ADD_FAILURE() << text << ": " << rows.error().message;
        return "";
    }
    return is_query(text) && !rows->is_null(0, 0) ? std::string(rows->text(0, 0)) : "";
}

}  // namespace messaging::test
