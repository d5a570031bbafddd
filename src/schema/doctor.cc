// Runs the checks: the statements of doctor_checks.cc, and those that take more than one statement.
#include "schema/doctor.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "core/sqlstate.h"
#include "schema/doctor_checks.h"
#include "schema/rights.h"
#include "schema/start_check.h"

namespace messaging::schema {
namespace {

// Followed by the milliseconds of a statement's timeout.
constexpr const char* kSettings =
    "SET search_path = pg_catalog; SET row_security = off; SET lock_timeout = '1s'; SET jit = off; SET statement_timeout = ";
constexpr const char* kMisplaced =
    "SELECT id, is_sent, array_to_string(places, ' and ') FROM messaging.misplaced() ORDER BY id LIMIT 100000";
constexpr std::size_t kIdsShown = 10;

using Report = std::function<void(const CheckResult&)>;

Finding ok(std::string text) { return {FindingLevel::kOk, std::move(text), ""}; }
Finding problem(std::string text, std::string advice = "") { return {FindingLevel::kError, std::move(text), std::move(advice)}; }
Finding unchecked(const core::Error& error) { return problem("cannot be checked: " + error.message); }

FindingLevel read_level(std::string_view word) {
    return word == "ok" ? FindingLevel::kOk : word == "warning" ? FindingLevel::kWarning : FindingLevel::kError;
}

// A statement may say kOk beside its findings: it stands only where there are none.
std::vector<Finding> without_idle_ok(std::vector<Finding> findings) {
    const auto is_ok = [](const Finding& finding) { return finding.level == FindingLevel::kOk; };
    if (!std::all_of(findings.begin(), findings.end(), is_ok)) std::erase_if(findings, is_ok);
    return findings;
}

CheckResult run_check(pg::Session& session, const SqlCheck& check) {
    const auto rows = session.execute(check.sql, check.params);
    if (!rows) return {check.name, {unchecked(rows.error())}};
    std::vector<Finding> findings;
    findings.reserve(static_cast<std::size_t>(rows->size()) + 1);
    for (int row = 0; row < rows->size(); ++row) {
        findings.push_back({read_level(rows->text(row, 0)), std::string(rows->text(row, 1)), std::string(rows->text(row, 2))});
    }
    if (findings.empty()) findings.push_back(ok(check.all_well));
    return {check.name, without_idle_ok(std::move(findings))};
}

// Nothing may be set in a session of a pooler, because somebody else gets it next.
Finding check_connection(pg::Session& session, const DoctorLimits& limits) {
    const auto pid = session.execute("SELECT pg_backend_pid()");
    if (!pid) return unchecked(pid.error());
    if (pid->integer(0, 0) != session.backend_pid()) {
        return problem(pooler_error().message);
    }
    const auto set = session.execute_script(kSettings + std::to_string(limits.patience.count()));
    return set ? ok("PostgreSQL answers, without a pooler between") : unchecked(set.error());
}

Finding check_rights(pg::Session& session) {
    const auto rows = session.execute(kMissingRights.sql);
    if (!rows) return unchecked(rows.error());
    const std::string missing = read_missing_rights(rows.value());
    return missing.empty() ? ok("the role has what `messaging serve` needs") : problem(missing);
}

Finding check_migrations(pg::Session& session, const SchemaFiles& files) {
    const auto exists = session.execute(kLookForSchema.sql);
    if (!exists) return unchecked(exists.error());
    const auto found = read_existence(exists.value());
    if (!found) return problem(found.error().message);
    if (!found.value()) return problem("the schema is not there", "messaging migrate up");
    const auto rows = session.execute(kCompareSchema.sql, compare_params(files.migrations));
    if (!rows) return unchecked(rows.error());
    const auto all = read_comparison(rows.value());
    if (!all) return problem(all.error().message);
    const auto pending = std::find_if(all->begin(), all->end(), [](const MigrationStatus& one) { return !one.applied; });
    if (pending != all->end()) return problem("migrations are pending, from " + pending->name + " on", "messaging migrate up");
    pg::Params functions;
    functions.text(files.functions);
    const auto same = session.execute(kCompareFunctions.sql, functions);
    if (!same) return unchecked(same.error());
    if (!same->boolean(0, 0)) return problem("the functions are those of another version", "messaging migrate up");
    return ok(std::to_string(all->size()) + " migrations and the functions are applied");
}

// An id, and what is wrong with it.
using Misplaced = std::map<std::pair<std::int64_t, std::string>, FindingLevel>;

core::Result<Misplaced> look_for_misplaced(pg::Session& session) {
    const auto rows = session.execute(kMisplaced);
    if (!rows) return rows.error();
    Misplaced found;
    for (int row = 0; row < rows->size(); ++row) {
        const std::string places(rows->text(row, 2));
        const bool sent = rows->boolean(row, 1);
        const std::string what = sent             ? "sent, and still in " + places
                                 : places.empty() ? "unsent and in no place"
                                                  : "in " + places;
        found.emplace(std::pair(rows->bigint(row, 0), what),
                      sent || !places.empty() ? FindingLevel::kWarning : FindingLevel::kError);
    }
    return found;
}

std::string advice_for(const std::string& what) {
    if (what == "unsent and in no place") {
        return "reconcile queues them by itself while the service is running (see reconcile for its pace); please report it";
    }
    if (what == "sent, and still in dead")
        return "DELETE FROM messaging._dead d USING messages m WHERE m.id = d.id AND m.is_sent";
    if (what.starts_with("sent")) return "nothing: they leave at their next claim, and are not sent again";
    return "nothing: they may be sent twice, with the same webhook-id";
}

// A message that is on its way from one place to the next can be seen twice, so only what is still there after a moment counts.
std::vector<Finding> check_messages(pg::Session& session, const DoctorLimits& limits) {
    auto found = look_for_misplaced(session);
    if (found && !found->empty()) {
        std::this_thread::sleep_for(limits.second_look);
        const auto again = look_for_misplaced(session);
        if (again) std::erase_if(found.value(), [&](const auto& one) { return again->count(one.first) == 0; });
    }
    if (!found && found.error().sqlstate == core::kQueryCanceled) {
        return {{FindingLevel::kWarning,
                 "not checked: reading all messages takes more than " + std::to_string(limits.patience.count() / 1000) + " s",
                 "SELECT * FROM messaging.misplaced() at a quiet hour; no row = all is well"}};
    }
    if (!found) return {unchecked(found.error())};
    if (found->empty()) return {ok("each unsent message is in exactly one place, and no sent one waits")};
    std::map<std::string, std::vector<std::int64_t>> ids;
    std::map<std::string, FindingLevel> levels;
    for (const auto& [one, level] : found.value()) {
        ids[one.second].push_back(one.first);
        levels[one.second] = level;
    }
    std::vector<Finding> findings;
    for (const auto& [what, all] : ids) {
        std::string text = std::to_string(all.size()) + " message(s) are " + what + ": ";
        for (std::size_t i = 0; i < std::min(all.size(), kIdsShown); ++i) text += (i == 0 ? "" : ", ") + std::to_string(all[i]);
        findings.push_back({levels[what], text + (all.size() > kIdsShown ? ", …" : ""), advice_for(what)});
    }
    return findings;
}

}  // namespace

void examine(pg::Session& session, const SchemaFiles& files, const DoctorLimits& limits, const Report& report) {
    const auto ends = [&report](const std::string& name, Finding finding) {
        const bool bad = finding.level == FindingLevel::kError;
        report({name, {std::move(finding)}});
        return bad;
    };
    if (ends("connection", check_connection(session, limits))) return;
    for (const SqlCheck& check : server_checks()) report(run_check(session, check));
    ends("rights", check_rights(session));
    if (ends("schema", check_migrations(session, files))) return;
    report({"messages", check_messages(session, limits)});
    for (const SqlCheck& check : schema_checks(limits)) report(run_check(session, check));
}

}  // namespace messaging::schema
