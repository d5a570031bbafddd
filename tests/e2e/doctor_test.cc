// `messaging doctor` as an operator runs it: its lines, its exit status, and a healthy service.
#include <gtest/gtest.h>

#include "support/places.h"
#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/world.h"

namespace messaging::test {
namespace {

CommandResult doctor(const std::string& database) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "doctor"};
    options.environment = {{"DATABASE_URL", database}, {"MIGRATIONS_DIR", migrations_dir()}};
    return run_command(options);
}

void expect_line(const CommandResult& result, const std::string& line) {
    EXPECT_NE(("\n" + result.output).find("\n" + line), std::string::npos) << line << "\nis not in\n" << result.output;
}

TEST(Doctor, ExitsZeroBesideARunningService) {
    const Receiver receiver;
    Service service({{"WEBHOOK_URL", receiver.url()}});
    service.sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, 500)");
    EXPECT_TRUE(wait_until([&] { return service.sql("SELECT count(*) FROM messages WHERE NOT is_sent") == "0"; }));
    const CommandResult result = doctor(service.database_url());
    EXPECT_EQ(result.exit_code, 0) << result.output;
    expect_line(result, "ok       messages: each unsent message is in exactly one place, and no sent one waits\n");
    expect_line(result, "ok       instances: 1 instance(s) running\n");
    expect_line(result, "ok       reconcile: the last walk over all messages took ");
    expect_line(result, "0 error(s), 2 warning(s)\n");  // the tests' server does not sync to the disk
}

TEST(Doctor, ExitsOneAndSaysWhatToDo) {
    const std::string database = migrated(empty_database());
    auto session = pg::Session::connect(database, "test");
    ASSERT_TRUE(session->execute_script("ALTER TABLE messages DISABLE TRIGGER messaging_insert"));
    const CommandResult result = doctor(database);
    EXPECT_EQ(result.exit_code, 1);
    expect_line(result,
                "error    triggers: the trigger messaging_insert on public.messages is disabled\n"
                "         do: ALTER TABLE public.messages ENABLE TRIGGER messaging_insert\n");
    expect_line(result, "1 error(s), ");
}

TEST(Doctor, SaysThatThereIsNoConnection) {
    for (const std::string& database :
         {std::string("postgresql:///x?host=/nonexistent"), shared_postgres().tcp_url("postgres", "wrong-secret")}) {
        const CommandResult result = doctor(database);
        EXPECT_EQ(result.exit_code, 1) << result.output;
        expect_line(result, "error    connection: PostgreSQL cannot be reached: ");
        expect_line(result, "1 error(s), 0 warning(s)\n");
        EXPECT_EQ(result.output.find("wrong-secret"), std::string::npos);
    }
}

TEST(Doctor, SaysThatTheSchemaIsNotThere) {
    const CommandResult result = doctor(empty_database());
    EXPECT_EQ(result.exit_code, 1);
    expect_line(result, "error    schema: the schema is not there\n         do: messaging migrate up\n");
}

// The session's socket got the number 1, and the findings were written into it.
TEST(Doctor, SaysTheSameWhereStandardOutputOrInputIsClosed) {
    const std::string database = migrated(empty_database());
    const int open = doctor(database).exit_code;
    ProcessOptions options;
    options.environment = {{"DATABASE_URL", database}, {"MIGRATIONS_DIR", migrations_dir()}};
    for (const char* closed : {">&-", "<&-", "<&- >&-", "<&- >&- 2>&-"}) {
        options.arguments = {"sh", "-c", "exec " + messaging_binary() + " doctor " + closed};
        EXPECT_EQ(run_command(options, std::chrono::seconds(20)).exit_code, open) << closed;
    }
    options.arguments = {"sh", "-c", "exec " + messaging_binary() + " faker --count 1000 >&-"};
    EXPECT_EQ(run_command(options, std::chrono::seconds(20)).exit_code, 0);
    EXPECT_EQ(connect_or_abort(database).execute("SELECT count(*) FROM messages")->bigint(0, 0), 1000);
}

}  // namespace
}  // namespace messaging::test
