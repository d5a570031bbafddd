// The service's state and the numbers of its status page.
#include "repository/control_store.h"

#include "repository/endpoint_store.h"
#include "service/control_store.h"
#include "support/private_postgres.h"
#include "support/stores.h"

namespace messaging::repository {
namespace {

using service::ServiceState;
using service::StatusView;
using test::Stores;

class ControlStore : public testing::Test {
protected:
    ServiceState set_running(bool running, const std::string& by) {
        return db_.value<ServiceState>([&](auto done) { store_.set_running(running, by, std::move(done)); });
    }
    StatusView status() {
        return db_.value<StatusView>([&](auto done) { store_.read_status(std::move(done)); });
    }

    Stores db_{test::fresh_database()};
    PgControlStore store_{db_.open_session(api_session_settings())};
    PgEndpointStore endpoints_{db_.open_session(api_session_settings())};
};

TEST_F(ControlStore, ANewDatabaseIsRunningAndEmpty) {
    const StatusView view = status();
    EXPECT_TRUE(view.state.running);
    EXPECT_EQ(view.state.changed_by, "nobody yet") << "and no word of ours, such as migration";
    EXPECT_TRUE(view.instances.empty());
    for (const service::Count& count : {view.pending, view.scheduled, view.held, view.dead}) {
        EXPECT_EQ(count.count, 0);
        EXPECT_TRUE(count.exact);
    }
    EXPECT_EQ(view.in_flight, 0);
    EXPECT_EQ(view.sent_per_second, 0);
    EXPECT_FALSE(view.oldest_pending_seconds);
}

TEST_F(ControlStore, SinceAndByChangeOnlyWithTheState) {
    const ServiceState stopped = set_running(false, "first");
    EXPECT_FALSE(stopped.running);
    EXPECT_EQ(stopped.changed_by, "first");
    const ServiceState again = set_running(false, "second");
    EXPECT_EQ(again.changed_by, "first");
    EXPECT_EQ(again.since, stopped.since);
    const ServiceState running = set_running(true, "second");
    EXPECT_TRUE(running.running);
    EXPECT_EQ(running.changed_by, "second");
    EXPECT_NE(running.since, stopped.since);
    EXPECT_EQ(status().state.since, running.since);
}

TEST_F(ControlStore, WhereTheStatesRowWasDeletedTheServiceIsStoppedAndCanBeStarted) {
    db_.sql("DELETE FROM messaging._state");
    EXPECT_FALSE(status().state.running);
    EXPECT_TRUE(set_running(true, "first").running);
    EXPECT_TRUE(status().state.running);
}

TEST_F(ControlStore, TheStatusCountsWhatThereIs) {
    db_.sql(
        "INSERT INTO messages (recipient, content, created_at) SELECT '+1', 'x', now() - interval '90 s' FROM generate_series(1, "
        "5)");
    db_.sql("INSERT INTO messaging._schedule SELECT id, now() FROM generate_series(10, 12) AS id");
    db_.sql("INSERT INTO messaging._dead SELECT id, now(), 'x' FROM generate_series(20, 21) AS id");
    db_.sql("INSERT INTO messaging._hold SELECT id, 1 FROM generate_series(30, 33) AS id");
    db_.sql(
        "INSERT INTO messaging._sent_batch (sent_at, size, ids) VALUES (now() - interval '1 h', 1000, '{}'), (now(), 30, '{}'), "
        "(now() - interval '3 s', 20, '{}')");
    db_.sql(
        "INSERT INTO messaging._instance (name, last_seen, in_flight) VALUES ('a', now() - interval '7 s', 3), ('b', now(), 4)");
    const StatusView view = status();
    EXPECT_EQ(view.pending.count, 5);
    EXPECT_EQ(view.scheduled.count, 3);
    EXPECT_EQ(view.held.count, 4);
    EXPECT_EQ(view.dead.count, 2);
    EXPECT_EQ(view.in_flight, 7);
    EXPECT_DOUBLE_EQ(view.sent_per_second, 5);
    ASSERT_TRUE(view.oldest_pending_seconds);
    EXPECT_NEAR(*view.oldest_pending_seconds, 90, 30);
    ASSERT_EQ(view.instances.size(), 2U);
    EXPECT_EQ(view.instances[0].name, "a");
    EXPECT_NEAR(view.instances[0].last_seen_seconds_ago, 7, 5);
    EXPECT_EQ(view.instances[1].in_flight, 4);
}

// Review E2: dead and scheduled stopped at 5,000 without a word.
TEST_F(ControlStore, EachLargeCountIsEstimatedAndSaysSo) {
    const std::string many = std::to_string(service::kExactCountLimit + 2000);
    db_.sql("INSERT INTO messaging._queue (id) SELECT generate_series(1, " + many + ")");
    db_.sql("INSERT INTO messaging._schedule SELECT id, now() FROM generate_series(1, " + many + ") AS id");
    db_.sql("INSERT INTO messaging._hold SELECT id, 1 FROM generate_series(1, " + many + ") AS id");
    db_.sql("INSERT INTO messaging._dead SELECT id, now(), 'x' FROM generate_series(1, " + many + ") AS id");
    const StatusView view = status();
    for (const service::Count& count : {view.pending, view.scheduled, view.held, view.dead}) {
        EXPECT_FALSE(count.exact);
        EXPECT_GT(count.count, service::kExactCountLimit);
    }
}

TEST_F(ControlStore, TheDefaultEndpointFollowsTheConfiguration) {
    const auto set = [&] {
        db_.value<std::string>([&](auto done) { endpoints_.set_default_endpoint("http://here/", 9, std::move(done)); });
    };
    set();
    EXPECT_EQ(db_.sql("SELECT id, url, max_in_flight FROM messaging.endpoints"), "1|http://here/|9");
    const std::string version = db_.sql("SELECT xmin FROM messaging.endpoints");
    set();
    EXPECT_EQ(db_.sql("SELECT xmin FROM messaging.endpoints"), version) << "nothing is written when nothing changes";
}

}  // namespace
}  // namespace messaging::repository
