// A 500 says that the log has the reason: whatever leads to one reports it, under the request id that the client has got.
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <mutex>

#include "handler/api.h"
#include "support/fake_time.h"
#include "support/fixed_random.h"
#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/running_server.h"

namespace messaging::handler {
namespace {

class NoMessages : public service::MessageStore {
public:
    void list(const service::ListQuery&, core::Completion<service::ListPage>) override {}
    void get(const service::MessageRef&, core::Completion<service::MessageDetail>) override {}
    void enqueue(std::vector<service::NewMessage>, core::Completion<std::vector<service::CreatedMessage>>) override {}
    void enqueue_once(std::vector<service::NewMessage>, const service::IdempotencyKey&, const service::ResponseTemplate&,
                      core::Completion<service::StoredResponse>) override {}
    void retry(const service::MessageRef&, core::Completion<service::MessageDetail>) override {}
    void cancel(const service::MessageRef&, const std::optional<std::string>&,
                core::Completion<service::MessageDetail>) override {}
};

class NoEndpoints : public service::EndpointRegistry {
public:
    using View = core::Completion<service::EndpointView>;
    void list(const service::EndpointQuery&, core::Completion<service::EndpointPage>) override {}
    void get(const service::EndpointRef&, View) override {}
    void create(const service::EndpointChanges&, core::Completion<service::CreatedEndpoint>) override {}
    void create_once(const service::EndpointChanges&, const service::IdempotencyKey&, const service::ResponseTemplate&,
                     core::Completion<service::StoredResponse>) override {}
    void change(const service::EndpointRef&, const service::EndpointChanges&, View) override {}
    void remove(const service::EndpointRef&, View) override {}
    void disable(const service::EndpointRef&, const std::optional<std::string>&, View) override {}
    void enable(const service::EndpointRef&, View) override {}
    void find(const std::vector<std::string>&, core::Completion<std::vector<std::optional<core::EndpointId>>>) override {}
};

class NoEvents : public service::EventStore {
public:
    void list(const service::EventQuery&, core::Completion<service::EventPage>) override {}
    void get(core::EventId, core::Completion<service::EventDetail>) override {}
    void publish(const std::vector<service::NewEvent>&, core::Completion<std::vector<service::CreatedEvent>>) override {}
    void publish_once(const std::vector<service::NewEvent>&, const service::IdempotencyKey&, const service::ResponseTemplate&,
                      core::Completion<service::StoredResponse>) override {}
};

class NoReplays : public service::ReplayStore {
public:
    using View = core::Completion<service::ReplayView>;
    void list(const service::ReplayQuery&, core::Completion<service::ReplayPage>) override {}
    void get(core::ReplayId, View) override {}
    void count(const service::ReplayFilter&, core::Completion<service::Count>) override {}
    void create(const service::ReplayFilter&, const std::string&, View) override {}
    void create_once(const service::ReplayFilter&, const std::string&, const service::IdempotencyKey&,
                     const service::ResponseTemplate&, core::Completion<service::StoredResponse>) override {}
    void cancel(core::ReplayId, View) override {}
};

class NoSecrets : public service::SecretStore {
public:
    void read_secrets(core::EndpointId, core::Completion<service::EndpointSecrets>) override {}
    void rotate(core::EndpointId, std::optional<std::string>, std::chrono::seconds,
                core::Completion<service::EndpointSecrets>) override {}
};

class NoTests : public service::EndpointTester {
public:
    void start_test(const service::EndpointRef&, service::EndpointTest, core::Completion<service::EndpointTestResult>) override {}
};

// Forgets the completion of read_status, or keeps it.
class ForgetfulControl : public service::ControlStore {
public:
    bool up() const override { return true; }
    void set_running(bool, const std::string&, core::Completion<service::ServiceState> done) override { kept = std::move(done); }
    void read_status(core::Completion<service::StatusView>) override {}

    core::Completion<service::ServiceState> kept;
};

class InternalErrors : public testing::Test {
protected:
    ApiOptions options() {
        ApiOptions options;
        options.on_request = [](const ServedRequest&) {};
        options.on_fault = [this](const std::string& id, const core::Error& error) {
            const std::lock_guard lock(mutex_);
            reported_[id] = error.message;
        };
        return options;
    }
    std::map<std::string, std::string> reported() {
        const std::lock_guard lock(mutex_);
        return reported_;
    }

    std::mutex mutex_;
    std::map<std::string, std::string> reported_;
    NoMessages messages_;
    NoEndpoints endpoints_;
    NoEvents events_;
    NoReplays replays_;
    NoSecrets secrets_;
    ForgetfulControl control_;
    NoTests tester_;
    test::FakeTime clock_;
    test::FixedRandom random_{0.5};
};

// The client was told that the log has the reason, and the log had nothing.
TEST_F(InternalErrors, ARequestThatNobodyAnswersIsReported) {
    Api api({messages_, endpoints_, events_, replays_, secrets_, control_, tester_}, clock_, random_, options());
    test::RunningServer server(api.handler());
    const auto reply = test::http_get(server.url("/status"));
    EXPECT_EQ(reply.status, 500);
    ASSERT_EQ(reported().size(), 1U);
    EXPECT_EQ(reported().begin()->first, reply.header("x-request-id"));
    EXPECT_EQ(reported().begin()->second, kUnansweredReason);
}

TEST_F(InternalErrors, TheServersOwn500IsReportedAndItsOtherResponsesAreNot) {
    Api api({messages_, endpoints_, events_, replays_, secrets_, control_, tester_}, clock_, random_, options());
    for (const int status : {400, 413, 503}) api.default_response(status, "");
    EXPECT_TRUE(reported().empty());
    const auto response = api.default_response(500, "");
    ASSERT_EQ(reported().size(), 1U);
    EXPECT_NE(response.body.find(reported().begin()->first), std::string::npos);
}

// What is left unanswered when the server goes has got its 500 then; its Reply may outlive the Api.
TEST_F(InternalErrors, AReplyThatOutlivesTheServerReportsNothing) {
    {
        Api api({messages_, endpoints_, events_, replays_, secrets_, control_, tester_}, clock_, random_, options());
        test::RunningServer server(api.handler());
        auto call = std::async(std::launch::async, [&] { return test::http_post(server.url("/stop")); });
        ASSERT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 1; }));
        server.drop_server();
        call.get();
    }
    control_.kept = nullptr;
    EXPECT_TRUE(reported().empty());
}

}  // namespace
}  // namespace messaging::handler
