// The settings of the PostgreSQL sessions, and the channels that the listen session listens on.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace messaging::repository {

using SessionSettings = std::vector<std::pair<std::string, std::string>>;

inline constexpr const char* kReadyChannel = "messaging_ready";
inline constexpr const char* kDueChannel = "messaging_due";
inline constexpr const char* kControlChannel = "messaging_control";

// The settings of every session. They override the settings of the role and of the database.
//   search_path        names are written with their schemas; no other table or function of that name can be used instead
//   row_security       a policy that would hide rows makes a statement fail, instead of letting it lose what it does not see
//   standard_…         literals in functions are read as they are written
//   tcp_…              the server notices within half a minute that this host has vanished, and releases its locks
//   messaging.session  tells the triggers of public.messages that an UPDATE is the service's own ("engine")
inline SessionSettings base_settings(const char* kind) {
    return {{"search_path", "pg_catalog"},         {"row_security", "off"},
            {"standard_conforming_strings", "on"}, {"tcp_keepalives_idle", "10"},
            {"tcp_keepalives_interval", "5"},      {"tcp_keepalives_count", "3"},
            {"tcp_user_timeout", "15000"},         {"default_transaction_isolation", "read committed"},
            {"messaging.session", kind},           {"jit", "off"}};
}

inline SessionSettings with_settings(SessionSettings settings, const SessionSettings& more) {
    settings.insert(settings.end(), more.begin(), more.end());
    return settings;
}

// The common settings of the claim and record sessions: limits of time, and settings of the planner. Without the latter, the
// planner uses sequential scans and hash joins as soon as its statistics are old, because it sees an almost empty queue
// (tests/integration/plans_test.cc).
inline SessionSettings claim_and_record_settings() {
    return with_settings(base_settings("engine"), {{"plan_cache_mode", "force_generic_plan"},
                                                   {"enable_seqscan", "off"},
                                                   {"enable_hashjoin", "off"},
                                                   {"enable_mergejoin", "off"},
                                                   {"statement_timeout", "5s"},
                                                   {"idle_in_transaction_session_timeout", "10s"}});
}

// When a claim is lost, its messages can be claimed again, so the claim need not wait for the disk. Without bitmaps: a plan that
// was made for an almost empty queue would read and sort all of a burst for a claim of 1,000.
inline SessionSettings claim_session_settings() {
    return with_settings(claim_and_record_settings(),
                         {{"synchronous_commit", "off"}, {"lock_timeout", "1s"}, {"enable_bitmapscan", "off"}});
}

// After the lock timeout the recorder asks which rows are free, so the timeout is short.
inline SessionSettings record_session_settings() {
    return with_settings(claim_and_record_settings(), {{"lock_timeout", "250ms"}});
}

inline SessionSettings listen_session_settings() {
    return with_settings(base_settings("engine"), {{"statement_timeout", "4s"}, {"lock_timeout", "1s"}});
}

// A round may read the whole queue once; a hash join does that fastest.
inline SessionSettings reconcile_session_settings() {
    return with_settings(base_settings("engine"), {{"statement_timeout", "30s"}, {"lock_timeout", "1s"}});
}

// Lists are pages of an index, joined row by row: a hash join would read all of messages for one page.
inline SessionSettings api_session_settings() {
    return with_settings(base_settings("api"), {{"plan_cache_mode", "force_generic_plan"},
                                                {"enable_hashjoin", "off"},
                                                {"enable_mergejoin", "off"},
                                                {"statement_timeout", "5s"},
                                                {"lock_timeout", "2s"}});
}

}  // namespace messaging::repository
