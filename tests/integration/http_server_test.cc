// The HTTP server on a real socket.
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>

#include "commands/delayed_responses.h"
#include "http_server/server.h"
#include "loop/event_loop.h"
#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/raw_tcp.h"
#include "support/running_server.h"

namespace messaging {
namespace {

using http::Request;
using http::Response;
using http_server::Responder;
using test::http_call;
using test::http_get;
using test::http_post;
using test::kBodyLimit;
using test::RunningServer;

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
    return count;
}

Response text(std::string body) { return {200, "text/plain", {}, std::move(body)}; }

TEST(HttpServer, HandsOverTheWholeRequest) {
    Request seen;
    RunningServer server([&](Request request, Responder responder) {
        seen = std::move(request);
        responder.send({201, "application/json", {{"X-Own", "yes"}}, "{}"});
    });
    const auto reply = http_call({"POST", server.url("/a%20b?x=1%2B1&y"), {{"X-Test", "value"}}, "the body", test::kPatience});
    EXPECT_EQ(reply.status, 201);
    EXPECT_EQ(reply.body, "{}");
    EXPECT_EQ(reply.header("content-type"), "application/json");
    EXPECT_EQ(reply.header("X-Own"), "yes");
    EXPECT_EQ(seen.method, "POST");
    EXPECT_EQ(seen.path, "/a b");
    EXPECT_EQ(seen.query_parameter("x"), "1+1");
    EXPECT_EQ(seen.query_parameter("y"), "");
    EXPECT_EQ(seen.header("x-test"), "value");
    EXPECT_EQ(seen.body, "the body");
    EXPECT_EQ(seen.peer, "127.0.0.1");
}

std::string libevent_said;

// Review by use: libevent wrote to standard error by itself, and the reason was "Inappropriate ioctl for device".
TEST(HttpServer, AnAddressThatIsNoneIsSaidInWordsAndInOneLog) {
    libevent_said.clear();
    loop::set_libevent_log([](const char* message) { libevent_said += message; });
    loop::EventLoop loop;
    http_server::ServerOptions options;
    options.address = "127.example.invalid";
    testing::internal::CaptureStderr();
    const auto server = http_server::Server::listen(loop, std::move(options), [](Request, Responder) {});
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
    loop::set_libevent_log(nullptr);
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(server.error().message.find("ioctl"), std::string::npos) << server.error().message;
    EXPECT_NE(libevent_said.find("getaddrinfo"), std::string::npos) << libevent_said;
}

TEST(HttpServer, HandsOverEveryMethodAlsoUnknownOnes) {
    RunningServer server([](Request request, Responder responder) { responder.send(text(request.method)); });
    for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}) {
        EXPECT_EQ(http_call({method, server.url(), {}, "", test::kPatience}).body, method);
    }
    EXPECT_EQ(http_call({"BREW", server.url(), {}, "", test::kPatience}).body, "UNKNOWN");
}

TEST(HttpServer, AnswersHeadWithTheLengthAndNoBody) {
    RunningServer server([](Request, Responder responder) { responder.send(text("twelve bytes")); });
    // Both on one connection: a body would be taken for the beginning of the second answer.
    const std::string answers = test::raw_exchange(
        server.port(), "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_EQ(count_of(answers, "HTTP/1.1 200 OK\r\n"), 2u) << answers;
    EXPECT_EQ(count_of(answers, "Content-Length: 12\r\n"), 2u) << answers;
    EXPECT_EQ(count_of(answers, "twelve bytes"), 1u) << answers;
}

TEST(HttpServer, SendsNoBodyWith204) {
    RunningServer server([](Request, Responder responder) { responder.send({204, "", {}, "must not be seen"}); });
    const std::string answer = test::raw_exchange(server.port(), "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 204")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << answer;
}

TEST(HttpServer, RefusesABodyOverItsLimitInItsOwnWords) {
    RunningServer server([](Request request, Responder responder) { responder.send(text(std::to_string(request.body.size()))); });
    EXPECT_EQ(http_post(server.url(), std::string(kBodyLimit, 'x')).body, "1000");
    const auto refused = http_post(server.url(), std::string(kBodyLimit + 1, 'x'));
    EXPECT_EQ(refused.status, 413);
    EXPECT_EQ(refused.body, R"({"code":413})");
}

// What evhttp itself refuses, in an HTML page of its own if nobody replaces it.
TEST(HttpServer, RefusesInItsOwnWordsWhatIsNoRequest) {
    RunningServer server([](Request, Responder responder) { responder.send(text("never")); });
    const std::string far_over_the_limit = std::to_string(kBodyLimit * 1000);
    for (const auto& [request, status] : std::vector<std::pair<std::string, std::string>>{
             {"NONSENSE\r\n\r\n", "400"},
             {"GET / HTTP/1.1\r\nno colon here\r\n\r\n", "400"},
             {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", "400"},
             {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + far_over_the_limit + "\r\n\r\n", "413"}}) {
        const std::string answer = test::raw_exchange(server.port(), request);
        EXPECT_EQ(answer.find("HTML"), std::string::npos) << answer;
        EXPECT_NE(answer.find(" " + status + " "), std::string::npos) << request << answer;
        EXPECT_NE(answer.find("Content-Type: application/json\r\nX-Mine: yes\r\n"), std::string::npos) << answer;
        EXPECT_NE(answer.find("\r\nContent-Length: 12\r\n"), std::string::npos) << answer;
        EXPECT_TRUE(answer.ends_with(R"({"code":)" + status + "}")) << answer;
    }
}

TEST(HttpServer, LeavesAPageOfTheHandlersOwnAlone) {
    const std::string page = "<HTML><HEAD>\n<TITLE>404 mine</TITLE>\n</HEAD><BODY></BODY></HTML>\n";
    RunningServer server([&](Request, Responder responder) { responder.send({200, "text/html", {}, page}); });
    EXPECT_EQ(http_get(server.url()).body, page);
}

TEST(HttpServer, ReadsAChunkedBody) {
    RunningServer server([](Request request, Responder responder) { responder.send(text("<" + request.body + ">")); });
    const std::string answer =
        test::raw_exchange(server.port(),
                           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                           "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    EXPECT_TRUE(answer.ends_with("<hello world>")) << answer;
}

TEST(HttpServer, AnswersAForgottenRequest) {
    RunningServer server([](Request, Responder) {});
    const auto reply = http_get(server.url());
    EXPECT_EQ(reply.status, 500);
    EXPECT_EQ(reply.body, R"({"code":500})");
    EXPECT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 0; }));
}

TEST(HttpServer, AnswersAResponderThatIsReplaced) {
    Responder kept;  // used on the server's thread only
    RunningServer server([&](Request, Responder responder) { kept = std::move(responder); });
    auto first = std::async(std::launch::async, [&] { return http_get(server.url()); });
    ASSERT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 1; }));
    auto second = std::async(std::launch::async, [&] { return http_get(server.url()); });
    EXPECT_EQ(first.get().status, 500);
    server.run([&] { kept.send(text("late")); });
    EXPECT_EQ(second.get().body, "late");
}

TEST(HttpServer, AnswersOnceHoweverOftenItIsTold) {
    RunningServer server([](Request, Responder responder) {
        responder.send(text("first"));
        responder.send(text("second"));
        responder.abort();
    });
    EXPECT_EQ(http_get(server.url()).body, "first");
}

TEST(HttpServer, TellsTheStatusThatWasSent) {
    std::atomic<int> forgotten{0};
    std::atomic<int> sent{0};
    RunningServer server([&](Request request, Responder responder) {
        auto& status = request.path == "/forget" ? forgotten : sent;
        responder.on_sent([&](int value) { status = value; });
        if (request.path != "/forget") responder.send({202, "", {}, ""});
    });
    http_get(server.url("/forget"));
    http_get(server.url("/"));
    EXPECT_EQ(forgotten, 500);
    EXPECT_EQ(sent, 202);
}

TEST(HttpServer, SurvivesAClientThatHasGoneBeforeTheAnswer) {
    Responder kept;
    RunningServer server([&](Request request, Responder responder) {
        if (request.path == "/slow") {
            kept = std::move(responder);
        } else {
            responder.send(text("well"));
        }
    });
    EXPECT_EQ(http_call({"GET", server.url("/slow"), {}, "", std::chrono::milliseconds(50)}).status, 0);
    server.run([&] { kept.send(text(std::string(100'000, 'x'))); });
    EXPECT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 0; }));
    EXPECT_EQ(http_get(server.url()).body, "well");
}

TEST(HttpServer, HangsUpWithoutAnAnswer) {
    RunningServer server([](Request request, Responder responder) {
        if (request.path == "/break") {
            responder.abort();
        } else {
            responder.send(text("well"));
        }
    });
    EXPECT_EQ(test::raw_exchange(server.port(), "GET /break HTTP/1.1\r\nHost: x\r\n\r\n"), "");
    EXPECT_EQ(http_get(server.url()).body, "well");
    EXPECT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 0; }));
}

TEST(HttpServer, KeepsLineBreaksOutOfAnswerHeaders) {
    RunningServer server([](Request, Responder responder) {
        responder.send({200, "text/plain", {{"X-Bad", "a\r\nX-Injected: yes"}, {"X-Good", "b"}}, ""});
    });
    const auto reply = http_get(server.url());
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.header("X-Injected"), std::nullopt);
    EXPECT_EQ(reply.header("X-Good"), "b");
}

TEST(HttpServer, NamesAddressAndPortThatAreTaken) {
    RunningServer first([](Request, Responder responder) { responder.send(text("")); });
    loop::EventLoop loop;
    http_server::ServerOptions options;
    options.port = first.port();
    const auto second = http_server::Server::listen(loop, std::move(options), [](Request, Responder) {});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().kind, core::ErrorKind::kUnavailable);
    EXPECT_NE(second.error().message.find("127.0.0.1:" + std::to_string(first.port())), std::string::npos);
    EXPECT_NE(second.error().message.find("in use"), std::string::npos) << second.error().message;
}

TEST(HttpServer, FinishesPendingResponsesAfterItStopsAccepting) {
    Responder kept;
    RunningServer server([&](Request, Responder responder) { kept = std::move(responder); });
    auto pending = std::async(std::launch::async, [&] { return http_get(server.url()); });
    ASSERT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 1; }));
    server.run([&] { server.server().stop_accepting(); });
    EXPECT_EQ(http_get(server.url()).status, 0);
    const std::string large(8u << 20, 'x');  // more than the kernel takes at once
    EXPECT_EQ(server.run([&] {
        kept.send(text(large));
        return server.server().pending_responses();
    }),
              1u);  // not yet written
    EXPECT_EQ(pending.get().body.size(), large.size());
    EXPECT_TRUE(test::wait_until([&] { return server.run([&] { return server.server().pending_responses(); }) == 0; }));
}

TEST(HttpServer, CanBeDestroyedWhileResponsesArePending) {
    std::vector<Responder> kept;
    RunningServer server([&](Request, Responder responder) { kept.push_back(std::move(responder)); });
    auto pending = std::async(std::launch::async, [&] { return http_get(server.url()); });
    ASSERT_TRUE(test::wait_until([&] { return server.run([&] { return kept.size(); }) == 1; }));
    server.drop_server();
    EXPECT_NE(pending.get().error, "");
    server.run([&] { kept[0].send(text("too late")); });
}

TEST(HttpServer, GivesDelayedAnswersInOrderOfTheirTime) {
    std::vector<std::string> given;
    RunningServer* running = nullptr;
    RunningServer server([&](Request request, Responder responder) {
        responder.on_sent([&given, path = request.path](int) { given.push_back(path); });
        const std::chrono::milliseconds delay(request.path == "/long" ? 120 : 40);
        running->delayed().start(delay, std::move(responder), text(request.path));
    });
    running = &server;
    const auto begin = std::chrono::steady_clock::now();
    auto longer = std::async(std::launch::async, [&] { return http_get(server.url("/long")); });
    ASSERT_TRUE(test::wait_until([&] { return server.run([&] { return server.delayed().size(); }) == 1; }));
    EXPECT_EQ(http_get(server.url("/short")).body, "/short");
    EXPECT_EQ(longer.get().body, "/long");
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(120));
    EXPECT_EQ(server.run([&] { return given; }), (std::vector<std::string>{"/short", "/long"}));
}

}  // namespace
}  // namespace messaging
