// The network between the service and PostgreSQL: swallowing everything without a word, or resetting.
#include <gtest/gtest.h>

#include "engine/endpoint_queues.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/tcp_gate.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Network : public testing::Test {
protected:
    static ScriptedReceiver::Script slowly() {
        ScriptedAnswer answer;
        answer.delay = milliseconds(20);
        return ScriptedReceiver::always(answer);
    }
    std::string through_the_gate() const {
        const std::string name = database_.substr(database_.find("@/") + 2, database_.find('?') - database_.find("@/") - 2);
        return "postgresql://postgres:" + std::string(PrivatePostgres::kPassword) + "@127.0.0.1:" + std::to_string(gate_.port()) +
               "/" + name;
    }
    bool lost_all_three() {
        for (const std::string session : {"claim", "record", "listen"}) {
            if (service_.output().find(session + " session: lost") == std::string::npos) return false;
        }
        return true;
    }
    static SteadyTime now() { return std::chrono::steady_clock::now(); }

    ScriptedReceiver receiver_{slowly()};
    std::string database_ = migrated(empty_database());
    TcpGate gate_{shared_postgres().port()};
    Service service_{{{"WEBHOOK_URL", receiver_.url()}, {"DATABASE_URL", through_the_gate()}}, database_};
};

TEST_F(Network, ABlackHoleIsNoticedWithinFifteenSecondsAndLeftAsSoonAsItIsGone) {
    Tally tally("PostgreSQL's connections black-holed", database_, receiver_);
    commit_messages(database_, 4000);
    ASSERT_TRUE(receiver_.wait_for(500));
    gate_.set_mode(GateMode::kBlackHole);
    const SteadyTime begun = now();
    ASSERT_TRUE(wait_until([this] { return lost_all_three(); }, seconds(20))) << service_.output();
    tally.expect_no_longer_than(seconds(15), begun);
    gate_.set_mode(GateMode::kPass);
    tally.expect_sending_resumes(now(), seconds(7));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(0);
    EXPECT_EQ(service_.sql("SELECT max(attempts) FROM messages"), "1") << "no fault of ours counts as an attempt";
    ASSERT_TRUE(wait_until([this] {
        return service_.sql("SELECT count(*) FROM messaging._instance WHERE last_seen > now() - interval '5 s'") == "1";
    }));
}

TEST_F(Network, AnotherProcessReclaimsFromABlackHoledOneThatSendsNothingMore) {
    Tally tally("one of two processes black-holed", database_, receiver_);
    ScriptedAnswer hang;
    hang.hang = true;
    receiver_.set_script(ScriptedReceiver::always(hang));
    commit_messages(database_, 1000);
    ASSERT_TRUE(receiver_.wait_for(engine::kFirstLimit));
    receiver_.set_script(ScriptedReceiver::accept_all());
    gate_.set_mode(GateMode::kBlackHole);
    const SteadyTime begun = now();
    Service other({{"WEBHOOK_URL", receiver_.url()}}, database_);
    ASSERT_TRUE(receiver_.wait_for_distinct(1000, seconds(20)));
    tally.expect_no_longer_than(seconds(15), begun);
    tally.expect_settled();
    gate_.set_mode(GateMode::kPass);
    ASSERT_TRUE(wait_until(
        [&] { return other.sql("SELECT count(*) FROM messaging._instance WHERE last_seen > now() - interval '5 s'") == "2"; }));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(64 + 64);
}

TEST_F(Network, ResetsAgainAndAgainAreOutlived) {
    Tally tally("PostgreSQL's connections reset 20 times", database_, receiver_);
    commit_messages(database_, 10000);
    for (int i = 0; i < 20; ++i) {
        ASSERT_TRUE(receiver_.wait_for(receiver_.count() + 100));
        gate_.cut();
    }
    tally.expect_sending_resumes(now(), seconds(2));
    tally.expect_settled();
    tally.expect_recovered();
    tally.expect_none_lost(0);
    EXPECT_EQ(service_.sql("SELECT max(attempts) FROM messages"), "1");
}

}  // namespace
}  // namespace messaging::test
