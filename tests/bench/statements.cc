// The claim and record statements of the service, timed in several databases by turns.
//   bench_statements PLAN_CACHE_MODE BATCH ROUNDS DATABASE_URL...
// One round inserts BATCH messages in one transaction, claims them, and records them as sent with their claim finished, in each
// database. It runs test::EngineStores with the service's session settings; only plan_cache_mode is as given. No other process
// may claim in these databases. Prints JSON, one object for each database: the milliseconds of every round, the CPU time of the
// three server processes in microseconds per round, and the locks on tables and indexes that each statement holds at its end.
#include <event2/event.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/claim_store.h"
#include "engine/queue_position.h"
#include "engine/record_store.h"
#include "loop/event_loop.h"
#include "pg/connection.h"
#include "repository/claim_statements.h"
#include "repository/session_settings.h"
#include "support/engine_stores.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace messaging;  // NOLINT(google-build-using-namespace)

constexpr core::InstanceId kInstance = 1'000'000'000;  // no service has it
constexpr int kWarmUp = 10;                            // rounds before those that count
constexpr const char* kReceiverId = "67f2f8a8-ea58-4ed0-a6f9-ff217df4d849";

constexpr pg::Statement kInsertOne{"insert_one",
                                   "INSERT INTO public.messages (recipient, content) VALUES ('+905551111111', repeat('x', 64))"};
constexpr pg::Statement kInsertMany{"insert_many", R"sql(
INSERT INTO public.messages (recipient, content) SELECT '+905551111111', repeat('x', 64) FROM generate_series(1, $1::int))sql"};
constexpr pg::Statement kText{"text", "SELECT statement FROM pg_catalog.pg_prepared_statements WHERE name = $1::text"};
constexpr pg::Statement kLocks{"locks", R"sql(
SELECT count(*), count(*) FILTER (WHERE NOT fastpath) FROM pg_catalog.pg_locks
WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation <> 'pg_catalog.pg_locks'::regclass)sql"};

class Tokens : public core::Random {
public:
    double next_unit() override { return 0.5; }
    std::int64_t next_token() override { return static_cast<std::int64_t>(engine_() >> 1U) | 1; }

private:
    std::mt19937_64 engine_{std::random_device{}()};
};

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "bench_statements: %s\n", what.c_str());
    std::exit(1);
}

void run_until(loop::EventLoop& loop, const bool& done) {
    while (!done) event_base_loop(loop.base(), EVLOOP_ONCE);
}

// How long the process has been running on a core, in microseconds: Linux counts it in nanoseconds.
double cpu_us(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
    double nanoseconds = 0;
    if (!(file >> nanoseconds))
        fail("cannot read the CPU time of the server process " + std::to_string(pid) + ": is it on this machine?");
    return nanoseconds / 1000;
}

struct Locks {
    std::int64_t all = 0;
    std::int64_t shared_table = 0;  // beyond the backend's 16 fast-path places: each takes a spin through the shared lock table
};

struct Timings {
    std::vector<double> insert, claim, record;
};

repository::SessionSettings with_plan_cache_mode(repository::SessionSettings settings, const std::string& mode) {
    for (auto& [name, value] : settings) {
        if (name == "plan_cache_mode") value = mode;
    }
    return settings;
}

class Database {
public:
    Database(loop::EventLoop& loop, core::Random& random, const std::string& url, const std::string& mode)
        : loop_(loop),
          random_(random),
          inserter_(loop, random, {.url = url, .application_name = "bench inserter", .settings = {}}, events()),
          claim_(loop, random,
                 {.url = url,
                  .application_name = "bench claim",
                  .settings = with_plan_cache_mode(repository::claim_session_settings(), mode)},
                 events()),
          record_(loop, random,
                  {.url = url,
                   .application_name = "bench record",
                   .settings = with_plan_cache_mode(repository::record_session_settings(), mode)},
                  events()),
          store_(claim_, record_) {
        for (pg::Connection* each : {&inserter_, &claim_, &record_}) each->start();
        while (!(inserter_.up() && claim_.up() && record_.up())) event_base_loop(loop_.base(), EVLOOP_ONCE);
    }

    void begin_counting() {
        const pg::Connection* const sessions[] = {&inserter_, &claim_, &record_};
        for (std::size_t i = 0; i < 3; ++i) cpu_before_[i] = cpu_us(sessions[i]->backend_pid());
    }

    void end_counting(int rounds) {
        const pg::Connection* const sessions[] = {&inserter_, &claim_, &record_};
        for (std::size_t i = 0; i < 3; ++i) cpu_per_round_[i] = (cpu_us(sessions[i]->backend_pid()) - cpu_before_[i]) / rounds;
    }

    void round(int batch, bool counted) {
        const auto began = Clock::now();
        insert(batch);
        const auto inserted = Clock::now();
        const engine::ClaimBatch claimed = claim(batch);
        const auto claim_answered = Clock::now();
        if (claimed.deliveries.size() != static_cast<std::size_t>(batch))
            fail("a claim took " + std::to_string(claimed.deliveries.size()) + " messages");
        engine::RecordRequest request = outcomes_of(claimed);
        const auto record_began = Clock::now();
        record(std::move(request));
        const auto recorded = Clock::now();
        if (!counted) return;
        const auto ms = [](Clock::duration elapsed) { return std::chrono::duration<double, std::milli>(elapsed).count(); };
        timings_.insert.push_back(ms(inserted - began));
        timings_.claim.push_back(ms(claim_answered - inserted));
        timings_.record.push_back(ms(recorded - record_began));
    }

    // Each statement alone in a transaction, with the locks counted at its end.
    void print(int batch) {
        insert(batch);
        pg::Params params;
        const core::ClaimId claim_id = random_.next_token();
        params.bigint(kInstance).bigint(claim_id).integer(batch).null().text(std::to_string(behind_.xid)).bigint(behind_.id);
        const auto claimed =
            unit(claim_, {{&repository::claim_statement(engine::Source::kReady), std::move(params)}, {&kLocks, {}}});
        std::vector<std::int64_t> ids;
        std::vector<std::int32_t> generations;
        for (int row = 0; row < claimed[0].size(); ++row) {
            ids.push_back(claimed[0].bigint(row, 4));
            generations.push_back(claimed[0].integer(row, 7));
        }
        const std::vector<std::optional<std::string>> receiver_ids(ids.size(), kReceiverId);
        pg::Params sent;
        sent.bigint_array(ids).integer_array(generations).text_array(receiver_ids).bigint(kInstance);
        const Locks mark_sent = locks_of("mark_sent", std::move(sent));
        pg::Params finished;
        finished.bigint_array(std::vector<core::ClaimId>{claim_id});
        const Locks finish_claims = locks_of("finish_claims", std::move(finished));
        const Locks claim_ready{claimed[1].bigint(0, 0), claimed[1].bigint(0, 1)};
        std::printf("{");
        print("insert_ms", timings_.insert);
        print("claim_ms", timings_.claim);
        print("record_ms", timings_.record);
        std::printf("\"cpu_us\": {\"insert\": %.1f, \"claim\": %.1f, \"record\": %.1f}, ", cpu_per_round_[0], cpu_per_round_[1],
                    cpu_per_round_[2]);
        std::printf("\"locks\": {\"claim_ready\": [%ld, %ld], \"mark_sent\": [%ld, %ld], \"finish_claims\": [%ld, %ld]}}",
                    claim_ready.all, claim_ready.shared_table, mark_sent.all, mark_sent.shared_table, finish_claims.all,
                    finish_claims.shared_table);
    }

private:
    static pg::Connection::Events events() {
        const auto refuse = [](const core::Error& error) { fail(error.message); };
        return {[] {}, refuse, refuse, [](const std::string&) {}};
    }

    std::vector<pg::Rows> unit(pg::Connection& connection, const pg::Steps& steps) {
        bool done = false;
        std::vector<pg::Rows> answer;
        connection.execute(steps, [&](core::Result<std::vector<pg::Rows>> rows) {
            if (!rows) fail(rows.error().message);
            answer = std::move(rows.value());
            done = true;
        });
        run_until(loop_, done);
        return answer;
    }

    void insert(int batch) {
        if (batch == 1) {
            unit(inserter_, {{&kInsertOne, {}}});
        } else {
            unit(inserter_, {{&kInsertMany, std::move(pg::Params().integer(batch))}});
        }
    }

    engine::ClaimBatch claim(int batch) {
        bool done = false;
        engine::ClaimBatch claimed;
        store_.claim_ready(
            {.instance_id = kInstance, .claim_id = random_.next_token(), .behind = behind_, .limit = batch, .only = {}},
            [&](core::Result<engine::ClaimBatch> batch_or_error) {
                if (!batch_or_error) fail(batch_or_error.error().message);
                claimed = std::move(batch_or_error.value());
                done = true;
            });
        run_until(loop_, done);
        behind_ = claimed.last;
        return claimed;
    }

    static engine::RecordRequest outcomes_of(const engine::ClaimBatch& claimed) {
        engine::RecordRequest request;
        request.instance_id = kInstance;
        for (const core::Delivery& delivery : claimed.deliveries) {
            core::Outcome outcome;
            outcome.id = delivery.id;
            outcome.claim_id = delivery.claim_id;
            outcome.attempts = delivery.attempts + 1;
            outcome.generation = delivery.generation;
            outcome.receiver_message_id = kReceiverId;
            request.outcomes.push_back(std::move(outcome));
        }
        request.finished.push_back(claimed.deliveries.front().claim_id);
        return request;
    }

    void record(engine::RecordRequest request) {
        bool done = false;
        const std::size_t expected = request.outcomes.size();
        store_.record(std::move(request), [&](const core::Result<engine::RecordResult>& result) {
            if (!result) fail(result.error().message);
            if (result->sent.size() != expected || !result->kept.empty()) fail("not every message was recorded as sent");
            done = true;
        });
        run_until(loop_, done);
    }

    // The statement's text is the one that the record session has prepared.
    Locks locks_of(const std::string& name, pg::Params params) {
        pg::Params named;
        named.text(name);
        const auto text = unit(record_, {{&kText, std::move(named)}});
        if (text[0].size() != 1) fail("the record session has not prepared " + name);
        const std::string sql(text[0].text(0, 0));
        const std::string again = name + "_again";
        const pg::Statement statement{again.c_str(), sql.c_str()};
        const auto rows = unit(record_, {{&statement, std::move(params)}, {&kLocks, {}}});
        return {rows[1].bigint(0, 0), rows[1].bigint(0, 1)};
    }

    static void print(const char* name, const std::vector<double>& values) {
        std::printf("\"%s\": [", name);
        for (std::size_t i = 0; i < values.size(); ++i) std::printf("%s%.4f", i == 0 ? "" : ", ", values[i]);
        std::printf("], ");
    }

    loop::EventLoop& loop_;
    core::Random& random_;
    pg::Connection inserter_;
    pg::Connection claim_;
    pg::Connection record_;
    test::EngineStores store_;  // depends-on: claim_, record_
    engine::QueuePosition behind_;
    Timings timings_;
    std::array<double, 3> cpu_before_{};  // of the inserting, the claiming and the recording session
    std::array<double, 3> cpu_per_round_{};
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fputs("usage: bench_statements PLAN_CACHE_MODE BATCH ROUNDS DATABASE_URL...\n", stderr);
        return 64;
    }
    const int batch = std::atoi(argv[2]);
    const int rounds = std::atoi(argv[3]);
    loop::EventLoop loop;
    Tokens random;
    std::vector<std::unique_ptr<Database>> databases;
    for (int i = 4; i < argc; ++i) databases.push_back(std::make_unique<Database>(loop, random, argv[i], argv[1]));
    for (int i = -kWarmUp; i < rounds; ++i) {
        for (const auto& database : databases) {
            if (i == 0) database->begin_counting();
            database->round(batch, i >= 0);
        }
    }
    for (const auto& database : databases) database->end_counting(rounds);
    std::printf("[");
    for (std::size_t i = 0; i < databases.size(); ++i) {
        if (i > 0) std::printf(", ");
        databases[i]->print(batch);
    }
    std::printf("]\n");
    return 0;
}
