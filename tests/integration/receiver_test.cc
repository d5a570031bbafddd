// The built-in receiver, as a process of its own.
#include "commands/receiver.h"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <regex>

#include "support/http_call.h"
#include "support/loop_runner.h"

namespace messaging {
namespace {

using std::chrono::milliseconds;
using test::http_call;
using test::http_get;
using test::HttpReply;

class RunningReceiver {
public:
    explicit RunningReceiver(commands::ReceiverOptions options = {}) {
        int ends[2] = {};
        if (pipe(ends) != 0) std::abort();
        options.port = 0;
        std::fflush(stdout);  // the child would write it a second time, into the pipe
        child_ = fork();
        if (child_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            dup2(ends[1], STDOUT_FILENO);
            close(ends[0]);
            close(ends[1]);
            _exit(commands::run_receiver(options));
        }
        close(ends[1]);
        output_ = fdopen(ends[0], "r");
        const std::string first = line();
        std::smatch match;
        if (std::regex_match(first, match, std::regex("receiver listening on (http://127\\.0\\.0\\.1:[0-9]+)/"))) url_ = match[1];
    }
    ~RunningReceiver() {
        if (child_ > 0) end(SIGKILL);
        std::fclose(output_);
    }
    RunningReceiver(const RunningReceiver&) = delete;
    RunningReceiver& operator=(const RunningReceiver&) = delete;

    int end(int signal_number) {
        kill(child_, signal_number);
        int status = 0;
        waitpid(child_, &status, 0);
        child_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    std::string line() {
        char buffer[1000] = {};
        std::string text = std::fgets(buffer, sizeof(buffer), output_) != nullptr ? buffer : "";
        if (text.ends_with('\n')) text.pop_back();
        return text;
    }
    std::string url(const std::string& path = "/") const { return url_ + path; }
    HttpReply post(const std::string& path, const std::string& id, milliseconds timeout = test::kPatience) const {
        return http_call({"POST", url(path), {{"webhook-id", id}}, R"({"to":"+905551111111","content":"Hello"})", timeout});
    }
    bool says(const std::string& part) const { return http_get(url("/stats")).body.find(part) != std::string::npos; }

private:
    pid_t child_ = -1;
    std::FILE* output_ = nullptr;
    std::string url_;
};

TEST(Receiver, AcceptsAndGivesEachMessageAnIdOfItsOwn) {
    RunningReceiver receiver;
    const HttpReply first = receiver.post("/any/path", "msg_1");
    EXPECT_EQ(first.status, 200);
    EXPECT_EQ(first.header("Content-Type"), "application/json");
    const std::regex expected(
        R"(\{"message":"Accepted","messageId":"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"\})");
    EXPECT_TRUE(std::regex_match(first.body, expected)) << first.body;
    EXPECT_NE(receiver.post("/any/path", "msg_2").body, first.body);
}

TEST(Receiver, CountsByIdAndForgetsOnReset) {
    RunningReceiver receiver;
    for (const char* id : {"msg_1", "msg_2", "msg_1"}) receiver.post("/", id);
    EXPECT_TRUE(receiver.says(R"({"received":3,"distinct":2,"duplicates":1,)")) << http_get(receiver.url("/stats")).body;
    EXPECT_NE(http_get(receiver.url("/recent")).body.find(R"("id":"msg_2","to":"+905551111111")"), std::string::npos);
    EXPECT_EQ(receiver.post("/reset", "").status, 200);
    EXPECT_TRUE(receiver.says(R"({"received":0,"distinct":0,)"));
}

TEST(Receiver, PrintsALineForEachRequest) {
    RunningReceiver receiver;
    receiver.post("/?status=503", "msg_7");
    const std::string line = receiver.line();
    EXPECT_NE(line.find(R"("to":"+905551111111","bytes":40,"status":503)"), std::string::npos) << line;
}

TEST(Receiver, AnswersAsItsOptionsSay) {
    commands::ReceiverOptions options;
    options.status = 429;
    options.retry_after = std::chrono::seconds(3);
    options.quiet = true;
    RunningReceiver receiver(options);
    const HttpReply reply = receiver.post("/", "msg_1");
    EXPECT_EQ(reply.status, 429);
    EXPECT_EQ(reply.header("Retry-After"), "3");
}

TEST(Receiver, AnswersAsTheUrlSays) {
    RunningReceiver receiver;
    EXPECT_EQ(receiver.post("/?status=503&retry_after=2", "a").header("Retry-After"), "2");
    EXPECT_EQ(receiver.post("/?status=204", "a").status, 204);
    EXPECT_EQ(receiver.post("/?fail=1", "a").status, 500);
    EXPECT_EQ(receiver.post("/?fail=0", "a").status, 200);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(receiver.post("/?delay=150ms", "a").status, 200);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(150));
    EXPECT_EQ(receiver.post("/?hang=1", "a", milliseconds(100)).status, 0);
    EXPECT_TRUE(receiver.says(R"("in_flight":1)"));
    EXPECT_EQ(receiver.post("/", "a").status, 200);
}

TEST(Receiver, RefusesSettingsThatMakeNoSense) {
    RunningReceiver receiver;
    for (const char* query : {"status=abc", "status=99", "delay=5", "fail=2", "hang=maybe", "retry_after=-1"}) {
        EXPECT_EQ(receiver.post("/?" + std::string(query), "a").status, 400) << query;
    }
    EXPECT_TRUE(receiver.says(R"("received":0)"));
}

TEST(Receiver, AnswersOtherMethodsAndPathsInWords) {
    RunningReceiver receiver;
    EXPECT_EQ(http_get(receiver.url()).status, 200);
    EXPECT_EQ(http_get(receiver.url("/nothing")).status, 404);
    const HttpReply reply = http_call({"PUT", receiver.url(), {}, "x", test::kPatience});
    EXPECT_EQ(reply.status, 405);
    EXPECT_EQ(reply.header("Allow"), "GET, HEAD, POST");
}

TEST(Receiver, EndsWellOnSignalsAlsoWithPendingResponses) {
    RunningReceiver idle;
    EXPECT_EQ(idle.end(SIGINT), 0);
    RunningReceiver busy;
    busy.post("/?hang=1", "a", milliseconds(50));
    EXPECT_EQ(busy.end(SIGTERM), 0);
}

TEST(Receiver, SaysWhyItCannotListen) {
    commands::ReceiverOptions options;
    options.address = "192.0.2.1";  // of documentation: no machine has it
    testing::internal::CaptureStderr();
    EXPECT_EQ(commands::run_receiver(options), 1);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("192.0.2.1:9090"), std::string::npos);
}

}  // namespace
}  // namespace messaging
