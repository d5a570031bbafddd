// What PostgreSQL sessions are told at their start, the advisory-lock keys, and the channels: shared words of the SQL.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace messaging::repository {

using SessionSettings = std::vector<std::pair<std::string, std::string>>;

// Two-key advisory locks: the first key is ours, the second the instance's id. Users of the same database keep clear of it.
inline constexpr int kInstanceLock = 772;

inline constexpr const char* kReadyChannel = "messaging_ready";
inline constexpr const char* kControlChannel = "messaging_control";

// Without these the planner, which sees an almost empty queue, turns to sequential scans and hash joins as soon as its
// statistics are old (measured; src/README.md).
inline SessionSettings planner_settings() {
    return {{"plan_cache_mode", "force_generic_plan"},
            {"enable_seqscan", "off"},
            {"enable_hashjoin", "off"},
            {"enable_mergejoin", "off"},
            {"jit", "off"},
            {"statement_timeout", "5s"},
            {"lock_timeout", "1s"},
            {"idle_in_transaction_session_timeout", "10s"}};
}

// A lost claim only exposes its rows again, so the claim need not wait for the disk.
inline SessionSettings claim_session_settings() {
    auto settings = planner_settings();
    settings.emplace_back("synchronous_commit", "off");
    return settings;
}

inline SessionSettings record_session_settings() { return planner_settings(); }

inline SessionSettings bell_session_settings() { return {{"jit", "off"}, {"statement_timeout", "4s"}, {"lock_timeout", "1s"}}; }

// A round reads the whole queue once, which is what hash joins are for.
inline SessionSettings audit_session_settings() { return {{"jit", "off"}, {"statement_timeout", "30s"}, {"lock_timeout", "1s"}}; }

// Lists are pages of an index, joined row by row: a hash join would read the whole archive for one page.
inline SessionSettings api_session_settings() {
    return {{"plan_cache_mode", "force_generic_plan"},
            {"enable_hashjoin", "off"},
            {"enable_mergejoin", "off"},
            {"jit", "off"},
            {"statement_timeout", "5s"},
            {"lock_timeout", "2s"}};
}

}  // namespace messaging::repository
