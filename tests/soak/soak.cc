// Random faults under load, for SOAK_MINUTES; SOAK_SEED repeats their order. Nothing committed may be lost.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "pg/session.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kProcesses = 3;
// Sent and not yet recorded when an engine dies: MAX_IN_FLIGHT at the most, under a load as light as this.
constexpr long kExposedPerEngine = 512;

unsigned long from_environment(const char* name, unsigned long fallback) {
    const char* const text = std::getenv(name);
    const unsigned long value = text == nullptr ? 0 : std::strtoul(text, nullptr, 10);
    return value == 0 ? fallback : value;
}

void wait(milliseconds time) {
    const SteadyTime end = std::chrono::steady_clock::now() + time;
    wait_until([&] { return std::chrono::steady_clock::now() >= end; }, time * 2);
}

// Inserts some messages every now and then on a thread of its own, and does not mind PostgreSQL's absence.
class Load {
public:
    Load(std::string database_url, unsigned seed) : database_url_(std::move(database_url)), random_(seed) {
        thread_ = std::thread([this] { run(); });
    }
    ~Load() {
        ended_ = true;
        thread_.join();
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;

private:
    void run() {
        while (!ended_) {
            if (auto session = pg::Session::connect(database_url_, "load")) {
                while (!ended_ && insert(session.value())) wait(milliseconds(20 + random_() % 500));
            }
            wait(milliseconds(100));
        }
    }
    bool insert(pg::Session& session) {
        const bool slow = random_() % 8 == 0;
        const auto count = (slow ? 3 : 1) * (1 + random_() % 120);
        return session
            .execute(("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'r', 'c' || g, id FROM messaging.endpoints, "
                      "generate_series(1, " +
                      std::to_string(count) + ") g WHERE name = '" + (slow ? "slow" : "default") + "'")
                         .c_str())
            .ok();
    }

    std::string database_url_;
    std::mt19937 random_;
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

// Rows of every odd kind, by a role with nothing but INSERT: what the table accepts is sent, or dead-lettered with a reason.
class Strangers {
public:
    Strangers(std::string database_url, unsigned seed) : database_url_(std::move(database_url)), random_(seed + 1) {
        thread_ = std::thread([this] { run(); });
    }
    ~Strangers() {
        ended_ = true;
        thread_.join();
    }
    Strangers(const Strangers&) = delete;
    Strangers& operator=(const Strangers&) = delete;

private:
    void run() {
        static constexpr std::array kRows{"created_at) VALUES ('odd', 'x', 'infinity')",
                                          "created_at) VALUES ('odd', 'x', '1970-01-02')",
                                          "attempts) VALUES ('odd', 'x', 2147483647)",
                                          "attempts) VALUES ('odd', 'x', 31999)",
                                          "endpoint_id) VALUES ('odd', 'x', -1)",
                                          "endpoint_id) SELECT 'odd', 'x', 999 FROM generate_series(1, 50)",
                                          "last_error) VALUES ('odd', 'x', repeat('e', 1000000))",
                                          "generation) VALUES ('odd', 'x', 2147483647)",
                                          "abandoned) VALUES ('odd', 'x', 1000)",
                                          "receiver_message_id) VALUES ('odd', 'x', repeat('r', 1024))"};
        while (!ended_) {
            auto session = pg::Session::connect(database_url_, "stranger");
            while (session && !ended_) {
                const bool in_role = session->execute_script("SET ROLE soak_writer").ok();
                const auto ignored = session->execute_script("INSERT INTO messages (recipient, content, " +
                                                             std::string(kRows[random_() % kRows.size()]));
                if (!in_role || (!ignored.ok() && ignored.error().kind == core::ErrorKind::kUnavailable)) break;
                wait(milliseconds(random_() % 1000));
            }
            wait(milliseconds(100));
        }
    }

    std::string database_url_;
    std::mt19937 random_;
    std::atomic<bool> ended_{false};
    std::thread thread_;
};

// Looks every second, in one snapshot, for an unsent message that is not in exactly one place.
class Watch {
public:
    explicit Watch(std::string database_url) : database_url_(std::move(database_url)) {
        thread_ = std::thread([this] { run(); });
    }
    ~Watch() {
        ended_ = true;
        thread_.join();
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    long looks() const { return looks_; }
    long broken() const { return broken_; }    // looks that have found some
    long holding() const { return holding_; }  // looks at which messages were held

private:
    void run() {
        while (!ended_) {
            auto session = pg::Session::connect(database_url_, "watch");
            while (session && !ended_) {
                const auto found = session->execute(
                    "SELECT count(*), coalesce(string_agg(id || ' in ' || places::text, ', '), '') FROM (SELECT * FROM "
                    "messaging.misplaced() WHERE NOT is_sent LIMIT 10) m");
                const auto held = session->execute("SELECT count(*) FROM (SELECT FROM messaging._hold LIMIT 1) h");
                if (!found || !held) break;
                ++looks_;
                if (held->bigint(0, 0) > 0) ++holding_;
                if (found->bigint(0, 0) > 0) {
                    ++broken_;
                    std::printf("      misplaced: %s\n", std::string(found->text(0, 1)).c_str());
                    std::fflush(stdout);
                }
                wait(seconds(1));
            }
            wait(milliseconds(200));
        }
    }

    std::string database_url_;
    std::atomic<bool> ended_{false};
    std::atomic<long> looks_{0};
    std::atomic<long> broken_{0};
    std::atomic<long> holding_{0};
    std::thread thread_;
};

class Soak : public testing::Test {
protected:
    struct Fault {
        const char* name;
        std::function<void()> begin;
        std::function<void()> end;
    };

    void SetUp() override {
        database_ = migrated(shared_postgres().create_database("soak"));
        // Moves and records last as long as a slow disk or a standby would make them, at random.
        auto session = connect_or_abort(database_);
        ASSERT_TRUE(session.execute_script(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF random() < 0.1 THEN PERFORM "
            "pg_catalog.pg_sleep(random() * 0.2); END IF; RETURN NULL; END';"
            "CREATE TRIGGER slow AFTER UPDATE OF instance_id ON messaging._claim FOR EACH STATEMENT EXECUTE FUNCTION slow();"
            "CREATE TRIGGER slow AFTER INSERT ON messaging._sent_batch FOR EACH STATEMENT EXECUTE FUNCTION slow();"
            "CREATE TRIGGER slow AFTER INSERT ON messaging._attempt FOR EACH STATEMENT EXECUTE FUNCTION slow();"
            "CREATE ROLE soak_writer; GRANT INSERT ON messages TO soak_writer;"
            "INSERT INTO messaging.endpoints (name, url, max_in_flight) VALUES ('slow', '" +
            receiver_.url("/slow") + "', 4)"));
        receiver_.set_script(accept);
        for (auto& process : processes_) process = start();
    }
    std::unique_ptr<Service> start() {
        return std::make_unique<Service>(Environment{{"WEBHOOK_URL", receiver_.url()},
                                                     {"REDIS_URL", redis_.url()},
                                                     {"BACKOFF_BASE", "500ms"},
                                                     {"BACKOFF_CAP", "5s"},
                                                     {"MAX_ATTEMPTS", "1000"},
                                                     {"REQUEST_TIMEOUT", "3s"},
                                                     {"CONNECT_TIMEOUT", "2s"}},
                                         database_);
    }
    // The slow endpoint takes less than often comes for it, so that its messages are held.
    static ScriptedAnswer accept(const http::Request& request, std::size_t) {
        ScriptedAnswer answer;
        if (request.path == "/slow") answer.delay = milliseconds(100);
        return answer;
    }
    void receiver_does(ScriptedAnswer answer) {
        receiver_.set_script([this, answer](const http::Request& request, std::size_t count) {
            if (++asked_ % 3 != 0) return accept(request, count);
            ++refused_;
            return answer;
        });
    }
    void terminate_sessions(const std::string& like) {
        shared_postgres().run_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '" +
                                  like + "' AND datname = 'soak'");
    }
    // Sessions end one after the other, each with a chance, for as long as it takes.
    void cut_at_random(const std::string& like, double chance, int times) {
        for (int i = 0; i < times; ++i) {
            shared_postgres().run_sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '" + like +
                "' AND datname = 'soak' AND random() < " + std::to_string(chance));
            wait(milliseconds(100 + random_() % 300));
        }
    }
    // Rows of unsent messages that somebody looks at too long.
    void lock_rows() {
        auto session = pg::Session::connect(database_, "editor");
        if (!session) return;
        const auto locked = session->execute_script("BEGIN; SELECT FROM messages WHERE NOT is_sent LIMIT 20 FOR UPDATE");
        wait(milliseconds(500 + random_() % 4000));
    }
    // A process that leaves; one that is not asked to may have sent what it has not recorded.
    void end(int signal_number) {
        victim_ = &processes_[random_() % kProcesses];
        (*victim_)->send(signal_number);
        if (signal_number != SIGTERM) ++deaths_;
        if (signal_number == SIGSTOP) return;
        EXPECT_TRUE((*victim_)->wait().has_value());
    }

    // After a fault's end the processes, PostgreSQL, Redis and the receiver are what they were.
    std::vector<Fault> faults() {
        const auto nothing = [] {};
        const auto restart_victim = [this] { *victim_ = start(); };
        ScriptedAnswer failing;
        failing.status = 503;
        ScriptedAnswer closing;
        closing.close = true;
        ScriptedAnswer hanging;
        hanging.hang = true;
        const auto accepts = [this] { receiver_.set_script(accept); };
        return {{"kill -9", [this] { end(SIGKILL); }, restart_victim},
                {"SIGTERM", [this] { end(SIGTERM); }, restart_victim},
                {"SIGSTOP", [this] { end(SIGSTOP); }, [this] { (*victim_)->send(SIGCONT); }},
                {"PostgreSQL crash", [] { shared_postgres().stop(SIGQUIT); }, [] { shared_postgres().start(); }},
                {"PostgreSQL restart", [] { shared_postgres().restart(SIGINT); }, nothing},
                {"listen sessions ended", [this] { terminate_sessions("messaging listen%"); }, nothing},
                {"claim sessions ended", [this] { terminate_sessions("messaging claim%"); }, nothing},
                {"record sessions ended", [this] { terminate_sessions("messaging record%"); }, nothing},
                {"all sessions ended", [this] { terminate_sessions("%"); }, nothing},
                {"listening sessions cut at random", [this] { cut_at_random("messaging listen%", 1, 10); }, nothing},
                {"sessions cut at random", [this] { cut_at_random("messaging %", 0.2, 20); }, nothing},
                {"rows locked", [this] { lock_rows(); }, nothing},
                {"rows locked while a receiver fails",
                 [this, failing] {
                     receiver_does(failing);
                     lock_rows();
                 },
                 accepts},
                {"Redis away", [this] { redis_.stop(); }, [this] { redis_.start(); }},
                {"Redis hangs", [this] { redis_.pause(); }, [this] { redis_.resume(); }},
                {"receiver fails", [this, failing] { receiver_does(failing); }, accepts},
                {"receiver closes", [this, closing] { receiver_does(closing); }, accepts},
                {"receiver hangs", [this, hanging] { receiver_does(hanging); }, accepts}};
    }

    std::mt19937 random_;
    std::atomic<long> asked_{0};
    std::atomic<long> refused_{0};
    long deaths_ = 0;
    PrivateRedis redis_;
    ScriptedReceiver receiver_;
    std::string database_;
    std::array<std::unique_ptr<Service>, kProcesses> processes_;
    std::unique_ptr<Service>* victim_ = nullptr;
};

TEST_F(Soak, RandomFaultsLoseNothing) {
    const unsigned long minutes = from_environment("SOAK_MINUTES", 10);
    const auto seed = static_cast<unsigned>(from_environment("SOAK_SEED", std::random_device{}() % 100000 + 1));
    random_.seed(seed);
    std::printf("soak: %lu minutes, seed %u\n", minutes, seed);
    Tally tally("soak, seed " + std::to_string(seed), database_, receiver_);
    {
        const Load load(database_, seed);
        const Strangers unknown(database_, seed);
        const Watch watch(database_);
        const std::vector<Fault> all = faults();
        const SteadyTime end = std::chrono::steady_clock::now() + std::chrono::minutes(minutes);
        for (int round = 1; std::chrono::steady_clock::now() < end && !HasFailure(); ++round) {
            const Fault& fault = all[random_() % all.size()];
            const milliseconds lasting(random_() % 12000);
            const milliseconds rest(random_() % 3000);
            std::printf("%4d  %s, %.1f s\n", round, fault.name, static_cast<double>(lasting.count()) / 1000);
            std::fflush(stdout);
            fault.begin();
            wait(lasting);
            fault.end();
            const SteadyTime ended = std::chrono::steady_clock::now();
            EXPECT_TRUE(wait_until([&] { return receiver_.first_arrival_after(ended).has_value(); }, seconds(20)))
                << fault.name << ": nothing is sent";
            wait(rest);
            EXPECT_EQ(watch.broken(), 0) << fault.name;
        }
        std::printf("%ld looks for misplaced messages, %ld of them found some; at %ld messages were held\n", watch.looks(),
                    watch.broken(), watch.holding());
        EXPECT_GT(watch.holding(), 0);
    }
    tally.expect_settled(seconds(90));
    EXPECT_EQ(shared_postgres().run_sql("SELECT count(*) FROM messaging.misplaced()", "soak"), "0");
    tally.expect_recovered();
    tally.expect_none_lost(refused_ + deaths_ * kExposedPerEngine);
    std::printf("%ld killed or stopped; sent again: %ld refused on purpose, %ld because of a fault\n", deaths_, refused_.load(),
                tally.duplicated() - refused_);
    EXPECT_EQ(shared_postgres().run_sql(
                  "SELECT count(*) FROM messaging._dead d JOIN messages m USING (id) WHERE recipient <> 'odd'", "soak"),
              "0");
    EXPECT_TRUE(wait_until([] {
        return shared_postgres().run_sql("SELECT count(*) FROM messaging._receipt_backlog", "soak") == "0";
    })) << "receipts are owed";
}

}  // namespace
}  // namespace messaging::test
