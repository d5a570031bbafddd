// The primary dies, its synchronous standby is promoted: what was committed is there, and sending goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <thread>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Commits one message after the other, whatever happens in between; counts those whose commit was confirmed.
class Producer {
public:
    explicit Producer(std::string url) : thread_([this, url = std::move(url)] { run(url); }) {}
    ~Producer() { stop(); }
    long stop() {
        ending_ = true;
        if (thread_.joinable()) thread_.join();
        return confirmed_;
    }

private:
    void run(const std::string& url) {
        while (!ending_) {
            auto session = pg::Session::connect(url, "producer");
            while (session && !ending_) {
                if (!session->execute("INSERT INTO messages (recipient, content) VALUES ('a', 'b')")) break;
                ++confirmed_;
            }
        }
    }
    std::atomic<bool> ending_{false};
    std::atomic<long> confirmed_{0};
    std::thread thread_;
};

TEST(Failover, ToASynchronousStandbyLosesNothing) {
    ScriptedAnswer answer;
    answer.delay = milliseconds(10);
    ScriptedReceiver receiver(ScriptedReceiver::always(answer));
    PrivatePostgres primary;
    const auto standby = PrivatePostgres::standby_of(primary);
    primary.run_sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.run_sql("SELECT pg_reload_conf()");
    ASSERT_TRUE(wait_until([&] { return primary.run_sql("SELECT sync_state FROM pg_stat_replication") == "sync"; }));
    migrated(primary.create_database("messages"));
    const std::string either = "postgresql://postgres@/messages?host=" + primary.socket_directory() + "," +
                               standby->socket_directory() + "&port=" + std::to_string(primary.port()) + "," +
                               std::to_string(standby->port()) + "&target_session_attrs=read-write";
    Tally tally("failover to a synchronous standby", either, receiver);
    const Service service({{"WEBHOOK_URL", receiver.url()}}, either);
    commit_messages(either, 5000);
    Producer producer(either);
    ASSERT_TRUE(receiver.wait_for(1000));
    primary.stop(SIGQUIT);
    const SteadyTime promoted = std::chrono::steady_clock::now();
    standby->run_sql("SELECT pg_promote()");
    tally.expect_sending_resumes(promoted, seconds(10));
    standby->run_sql("ALTER SYSTEM SET synchronous_standby_names = ''");
    standby->run_sql("SELECT pg_reload_conf()");
    ASSERT_TRUE(receiver.wait_for(receiver.count() + 2000));
    const long confirmed = producer.stop();
    tally.expect_settled();
    tally.expect_recovered();
    EXPECT_GE(tally.committed(), 5000 + confirmed) << "a confirmed commit is gone";
    tally.expect_none_lost(64);
}

}  // namespace
}  // namespace messaging::test
