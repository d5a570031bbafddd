// The checks of `messaging doctor`: whether the database is as the service needs it, and what an operator should do where it is
// not.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pg/session.h"
#include "schema/schema_files.h"

namespace messaging::schema {

enum class FindingLevel { kOk, kWarning, kError };

struct Finding {
    FindingLevel level = FindingLevel::kOk;
    std::string text;    // what was found
    std::string advice;  // what to do; empty = nothing
};

struct CheckResult {
    std::string name;
    std::vector<Finding> findings;  // at least one; kOk stands alone
};

// The limits of the checks.
struct DoctorLimits {
    std::chrono::seconds long_transaction{300};    // open for longer: a warning
    std::chrono::seconds stuck_transaction{3600};  // an error
    std::chrono::seconds instance_silence{60};
    std::chrono::seconds reconcile_silence{120};
    // Dead rows of one of the queue's tables ten minutes after its last vacuum; at any other time ten times as many.
    std::int64_t dead_rows = 200'000;
    std::int64_t xid_age = 1'000'000'000;         // of 2.1 thousand million; an error at 1.8 times as many
    std::int64_t retained_wal_bytes = 1 << 30;    // by a replication slot that nobody uses
    int process_sessions = 7;                     // connections that one more process opens
    std::chrono::milliseconds second_look{1000};  // after which a misplaced message is looked for again
    std::chrono::milliseconds patience{60'000};   // for a statement; it is a finding where it takes longer
};

// Blocking. Changes nothing in the database; sets session parameters. `report` is called once for each check, as soon as its
// result is there. A connection pooler, or a schema that is not this program's, ends the examination: the other checks need both.
// A check whose statement fails is an error that says so.
void examine(pg::Session& session, const SchemaFiles& files, const DoctorLimits& limits,
             const std::function<void(const CheckResult&)>& report);

}  // namespace messaging::schema
