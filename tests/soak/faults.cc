// Beginnings and ends of faults.
#include "soak/faults.h"

#include <gtest/gtest.h>

#include <csignal>
#include <utility>

#include "pg/session.h"
#include "soak/background.h"
#include "support/private_postgres.h"

namespace messaging::test {

using std::chrono::milliseconds;

Faults::Faults(std::string database_url, GoodReceiver& receiver, unsigned seed)
    : database_url_(std::move(database_url)), receiver_(receiver), chance_(seed), all_(make_all()) {
    for (auto& process : processes_) process = start();
}

std::unique_ptr<Service> Faults::start() {
    return std::make_unique<Service>(Environment{{"WEBHOOK_URL", receiver_.url("default")},
                                                 {"REDIS_URL", redis_.url()},
                                                 {"BACKOFF_BASE", "500ms"},
                                                 {"BACKOFF_CAP", "5s"},
                                                 {"MAX_ATTEMPTS", "1000"},
                                                 {"REQUEST_TIMEOUT", "3s"},
                                                 {"CONNECT_TIMEOUT", "2s"}},
                                     database_url_);
}

void Faults::terminate_sessions(const std::string& like) {
    shared_postgres().run_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '" +
                              like + "' AND datname = 'soak'");
}

// Sessions end one after the other, each with a chance, for as long as it takes.
void Faults::cut_at_random(const std::string& like, double chance, int times) {
    for (int i = 0; i < times; ++i) {
        shared_postgres().run_sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE '" +
                                  like + "' AND datname = 'soak' AND random() < " + std::to_string(chance));
        wait(chance_.pause(100, 400));
    }
}

// Rows of unsent messages that somebody looks at too long.
void Faults::lock_rows() {
    auto session = pg::Session::connect(database_url_, "editor");
    if (!session) return;
    const auto locked = session->execute_script("BEGIN; SELECT FROM messages WHERE NOT is_sent LIMIT 20 FOR UPDATE");
    wait(chance_.pause(500, 4500));
}

// A process that leaves; one that is not asked to may have sent what it has not recorded.
void Faults::end(int signal_number) {
    victim_ = &processes_[chance_.below(kProcesses)];
    (*victim_)->send(signal_number);
    if (signal_number != SIGTERM) ++deaths_;
    if (signal_number == SIGSTOP) return;
    EXPECT_TRUE((*victim_)->wait().has_value());
}

std::vector<Fault> Faults::make_all() {
    const auto nothing = [] {};
    const auto restart_victim = [this] { *victim_ = start(); };
    ScriptedAnswer failing;
    failing.status = 503;
    ScriptedAnswer closing;
    closing.close = true;
    ScriptedAnswer hanging;
    hanging.hang = true;
    const auto accepts = [this] { receiver_.misbehave(std::nullopt); };
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
                 receiver_.misbehave(failing);
                 lock_rows();
             },
             accepts},
            {"Redis away", [this] { redis_.stop(); }, [this] { redis_.start(); }},
            {"Redis hangs", [this] { redis_.pause(); }, [this] { redis_.resume(); }},
            {"receiver fails", [this, failing] { receiver_.misbehave(failing); }, accepts},
            {"receiver closes", [this, closing] { receiver_.misbehave(closing); }, accepts},
            {"receiver hangs", [this, hanging] { receiver_.misbehave(hanging); }, accepts}};
}

}  // namespace messaging::test
