// PostgreSQL's file system runs full and has space again: the service waits, keeps what it knows, and goes on.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "support/private_postgres.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::seconds;

// A file system of 160 MB, seen by this process and its children only; the kernel takes it away with the last of them.
class SmallDisk {
public:
    SmallDisk() {
        const bool mounted = unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
                             mount("tmpfs", path().c_str(), "tmpfs", 0, "size=160m,mode=0755") == 0;
        if (!mounted) why_not_ = std::strerror(errno);
    }
    ~SmallDisk() {
        if (why_not_.empty()) umount2(path().c_str(), MNT_DETACH);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

    const std::string& path() const { return directory_.path(); }
    const std::string& why_not() const { return why_not_; }  // empty = it is there

    // Leaves not a page free.
    void fill() const {
        const std::string zeros(4096, '\0');
        const int ballast = open(ballast_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        ASSERT_GE(ballast, 0);
        while (write(ballast, zeros.data(), zeros.size()) > 0) continue;
        EXPECT_EQ(errno, ENOSPC);
        close(ballast);
    }
    void give_space() const { EXPECT_EQ(unlink(ballast_path().c_str()), 0); }

private:
    std::string ballast_path() const { return path() + "/ballast"; }

    TemporaryDirectory directory_;
    std::string why_not_;
};

class DiskFull : public testing::Test {
protected:
    void SetUp() override {
        if (!disk_.why_not().empty()) GTEST_SKIP() << "NOT RUN: no small file system can be mounted here: " << disk_.why_not();
        postgres_ = std::make_unique<PrivatePostgres>(disk_.path());
        database_ = migrated(postgres_->create_database("small"));
        ScriptedAnswer slow;
        slow.delay = std::chrono::milliseconds(30);
        receiver_.set_script(ScriptedReceiver::always(slow));
        service_ = std::make_unique<Service>(Environment{{"WEBHOOK_URL", receiver_.url()}}, database_);
    }
    void fill_while_it_sends() {
        commit_messages(database_, 8000);
        ASSERT_TRUE(receiver_.wait_for(500));
        // WAL has 16 MB of its own before it, or PostgreSQL would die at once.
        postgres_->run_sql("SELECT pg_switch_wal()");
        postgres_->run_sql("SELECT pg_logical_emit_message(true, 'test', 'x')");
        disk_.fill();
        ASSERT_TRUE(
            wait_until([this] { return service_->metric("messaging_dependency_errors_total{operation=\"record\"}") > 0; }));
    }
    static void wait(std::chrono::milliseconds time) {
        const SteadyTime end = std::chrono::steady_clock::now() + time;
        wait_until([&] { return std::chrono::steady_clock::now() >= end; }, time * 2);
    }
    void expect_unharmed(Tally& tally) {
        tally.expect_settled();
        tally.expect_recovered();
        tally.expect_none_lost(0);
        EXPECT_EQ(service_->sql("SELECT max(attempts) FROM messages"), "1") << "no fault of ours counts as an attempt";
    }

    SmallDisk disk_;
    std::unique_ptr<PrivatePostgres> postgres_;  // depends-on: disk_
    std::string database_;
    ScriptedReceiver receiver_;
    std::unique_ptr<Service> service_;
};

TEST_F(DiskFull, WhatCannotBeRecordedIsKeptUntilThereIsSpace) {
    Tally tally("disk full for 5 s", database_, receiver_);
    fill_while_it_sends();
    wait(seconds(5));
    disk_.give_space();
    tally.expect_sending_resumes(std::chrono::steady_clock::now(), seconds(5));
    expect_unharmed(tally);
}

TEST_F(DiskFull, AServerThatDiesOfItIsOutlived) {
    Tally tally("disk full until PostgreSQL dies", database_, receiver_);
    fill_while_it_sends();
    {
        auto session = connect_or_abort(database_);
        const auto next_segment = [&] {
            return session.execute("SELECT pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()").ok();
        };
        EXPECT_TRUE(wait_until([&] { return !next_segment(); })) << "there is no space for another WAL segment";
    }
    wait(seconds(5));
    disk_.give_space();
    postgres_->restart(SIGQUIT);
    tally.expect_sending_resumes(std::chrono::steady_clock::now(), seconds(5));
    expect_unharmed(tally);
}

}  // namespace
}  // namespace messaging::test
