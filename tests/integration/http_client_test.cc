// The HTTP client against receivers that behave, and against those that do not.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <future>
#include <mutex>
#include <optional>
#include <thread>

#include "http_client/client.h"
#include "support/loop_runner.h"
#include "support/loopback.h"
#include "support/raw_tcp.h"
#include "support/scripted_receiver.h"

namespace messaging {
namespace {

using core::AttemptFault;
using http_client::Client;
using http_client::PostRequest;
using http_client::PostResult;
using std::chrono::milliseconds;
using test::RawPeer;
using test::RawServer;
using test::ScriptedAnswer;
using test::ScriptedReceiver;

constexpr const char* kRefused = "HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno";
constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

class HttpClientTest : public testing::Test {
protected:
    static http_client::ClientOptions options() {
        http_client::ClientOptions options;
        options.addresses = test::allowing(test::kLoopbackNetworks);
        options.max_response_bytes = 1000;
        options.max_received_bytes = 100'000;
        return options;
    }

    PostResult post(PostRequest request) {
        std::optional<PostResult> result;
        client_->start_post(std::move(request), [&](PostResult done) { result = std::move(done); });
        EXPECT_FALSE(result) << "completed inside start_post";
        EXPECT_TRUE(test::run_until(loop_, [&] { return result.has_value(); }));
        return result.value_or(PostResult{});
    }
    PostResult post(const std::string& url, milliseconds timeout = milliseconds(10000)) { return post({url, {}, "{}", timeout}); }

    // The loop goes on for so long.
    void pause(milliseconds time) {
        bool over = false;
        const auto timer = loop_.make_timer([&] { over = true; });
        timer->start(time);
        EXPECT_TRUE(test::run_until(loop_, [&] { return over; }));
    }

    // What comes of an answer with these bytes, after which the connection is closed.
    PostResult post_to_raw(const std::string& answer) {
        RawServer server([&](RawPeer& peer) {
            peer.read_request();
            peer.send(answer);
        });
        return post(server.url());
    }

    loop::EventLoop loop_;
    std::unique_ptr<Client> client_ = std::make_unique<Client>(loop_, options());
};

TEST_F(HttpClientTest, SendsTheRequestAndReadsTheAnswer) {
    ScriptedReceiver receiver(ScriptedReceiver::always({202, "accepted", {{"Retry-After", "7"}}}));
    const PostResult result =
        post({receiver.url("/hook?a=b"), {{"webhook-id", "msg_1"}, {"X-Empty", ""}}, "the body", milliseconds(10000)});
    EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
    EXPECT_EQ(result.status, 202);
    EXPECT_EQ(result.body, "accepted");
    EXPECT_FALSE(result.body_truncated);
    EXPECT_EQ(result.retry_after, "7");
    EXPECT_GT(result.duration.count(), 0);
    const auto request = receiver.requests().at(0).request;
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/hook");
    EXPECT_EQ(request.query_parameter("a"), "b");
    EXPECT_EQ(request.body, "the body");
    EXPECT_EQ(request.header("webhook-id"), "msg_1");
    EXPECT_EQ(request.header("x-empty"), "");
    EXPECT_EQ(request.header("user-agent"), "messaging-system");
    EXPECT_EQ(request.header("accept-encoding"), std::nullopt);
}

TEST_F(HttpClientTest, KeepsNothingOfTheRequestBefore) {
    ScriptedReceiver receiver([](const http::Request&, std::size_t nth) {
        return nth == 1 ? ScriptedAnswer{429, "first", {{"Retry-After", "7"}}} : ScriptedAnswer{200, ""};
    });
    post({receiver.url(), {{"webhook-id", "a"}, {"X-Once", "1"}}, "long body", milliseconds(10000)});
    const PostResult second = post({receiver.url(), {{"webhook-id", "a"}}, "", milliseconds(10000)});
    EXPECT_EQ(second.status, 200);
    EXPECT_EQ(second.body, "");
    EXPECT_EQ(second.retry_after, "");
    const auto request = receiver.requests().at(1).request;
    EXPECT_EQ(request.header("X-Once"), std::nullopt);
    EXPECT_EQ(request.body, "");
}

TEST_F(HttpClientTest, UsesAConnectionAgain) {
    RawServer server([](RawPeer& peer) {
        while (!peer.read_request().empty()) peer.send(kOk);
    });
    for (int i = 0; i < 20; ++i) EXPECT_EQ(post(server.url()).status, 200);
    EXPECT_EQ(server.connections(), 1u);
}

TEST_F(HttpClientTest, SendsAgainOnANewConnectionWhenAnIdleOneWasClosed) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send(kOk);
    });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(post(server.url()).status, 200);
    EXPECT_EQ(server.connections(), 3u);
}

// libcurl takes whatever lies on a kept connection for the answer to the next request: 182 of 200 messages that a receiver had
// refused were marked as sent, because it sent an unasked 200 later.
TEST_F(HttpClientTest, CountsTheRequestsThatLibcurlRepeatsByItself) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send(kOk);
        peer.read_request();  // and closes without an answer
    });
    EXPECT_EQ(post(server.url()).repeats, 0);
    const PostResult second = post(server.url());
    EXPECT_EQ(second.status, 200);
    EXPECT_EQ(second.repeats, 1);
    EXPECT_EQ(second.connections, 1);
}

TEST_F(HttpClientTest, AnAnswerThatNobodyAskedForIsTakenForNone) {
    std::atomic<int> closed{0};
    for (const bool closes : {false, true}) {
        RawServer server([&](RawPeer& peer) {
            while (!peer.read_request().empty()) {
                peer.send(kRefused);
                std::this_thread::sleep_for(milliseconds(5));
                peer.send(kOk);
                if (closes) break;
            }
            ++closed;
        });
        for (int i = 0; i < 100; ++i) {
            EXPECT_EQ(post(server.url()).status, 500);
            pause(milliseconds(10));
        }
        EXPECT_EQ(server.connections(), 100u) << "a connection on which something came is not used again";
    }
}

// The loop has not seen yet what lies there when the next request is started.
TEST_F(HttpClientTest, AnUnaskedAnswerThatTheLoopHasNotSeenIsTakenForNone) {
    std::mutex turn;
    std::condition_variable sent;
    int strays = 0;
    RawServer server([&](RawPeer& peer) {
        while (!peer.read_request().empty()) {
            peer.send(kRefused);
            std::this_thread::sleep_for(milliseconds(2));
            peer.send(kOk);
            const std::lock_guard lock(turn);
            ++strays;
            sent.notify_all();
        }
    });
    for (int i = 1; i <= 50; ++i) {
        EXPECT_EQ(post(server.url()).status, 500);
        std::unique_lock lock(turn);
        ASSERT_TRUE(sent.wait_for(lock, test::kPatience, [&] { return strays == i; }));
    }
}

TEST_F(HttpClientTest, AReceiverThatSpeaksFirstHasAcceptedNothing) {
    RawServer server([](RawPeer& peer) {
        peer.send(kOk);
        peer.read_request();
    });
    for (int i = 0; i < 20; ++i) {
        const PostResult result = post(server.url());
        // Or it is taken for the answer: what comes after the request is written cannot be told from one.
        if (result.fault == AttemptFault::kNone) continue;
        EXPECT_EQ(result.fault, AttemptFault::kProtocol);
        EXPECT_EQ(result.fault_detail, "the receiver sent data before the request");
    }
}

// libcurl 7.88 keeps a pointer into the headers of a handle's last answer, and joins a header line that begins with a blank to
// it.
TEST_F(HttpClientTest, AHeaderThatBeginsWithABlankTouchesNothingOfTheAnswerBefore) {
    std::atomic<unsigned> count{0};
    RawServer server([&](RawPeer& peer) {
        while (!peer.read_request().empty()) {
            peer.send(++count % 3 == 0 ? "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n"
                                       : "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
        }
    });
    int done = 0;
    for (int i = 0; i < 400; ++i) {
        client_->start_post({server.url(), {}, "{}", milliseconds(10000)}, [&](const PostResult& result) {
            EXPECT_EQ(result.status, 200) << result.fault_detail;
            ++done;
        });
        if (i % 64 != 63) continue;
        EXPECT_TRUE(test::run_until(loop_, [&] { return done == i + 1; }));
    }
    EXPECT_TRUE(test::run_until(loop_, [&] { return done == 400; }));
}

TEST_F(HttpClientTest, HasManyRequestsInFlight) {
    ScriptedReceiver receiver(ScriptedReceiver::always({.hang = true}));
    int completed = 0;
    for (int i = 0; i < 64; ++i) {
        client_->start_post({receiver.url(), {}, "{}", milliseconds(20000)}, [&](const PostResult& result) {
            EXPECT_EQ(result.status, 200) << result.fault_detail;
            ++completed;
        });
    }
    EXPECT_EQ(client_->in_flight(), 64u);
    ASSERT_TRUE(test::run_until(loop_, [&] { return receiver.count() == 64; }));
    EXPECT_EQ(completed, 0);
    EXPECT_EQ(receiver.most_in_flight(), 64u);
    receiver.release();
    ASSERT_TRUE(test::run_until(loop_, [&] { return completed == 64; }));
    EXPECT_EQ(client_->in_flight(), 0u);
}

TEST_F(HttpClientTest, StartsTheNextRequestFromACompletion) {
    ScriptedReceiver receiver;
    int left = 500;
    std::function<void()> next = [&] {
        client_->start_post({receiver.url(), {}, "{}", milliseconds(20000)}, [&](const PostResult& result) {
            EXPECT_EQ(result.status, 200);
            if (--left > 0) next();
        });
    };
    next();
    EXPECT_TRUE(test::run_until(loop_, [&] { return left == 0; }));
    EXPECT_EQ(receiver.count(), 500u);
}

TEST_F(HttpClientTest, GivesUpAtTheDeadline) {
    ScriptedReceiver receiver(ScriptedReceiver::always({.hang = true}));
    const PostResult result = post(receiver.url(), milliseconds(100));
    EXPECT_EQ(result.fault, AttemptFault::kTimeout);
    EXPECT_NE(result.fault_detail, "");
    EXPECT_EQ(result.status, 0);
    EXPECT_GE(result.duration, milliseconds(90));
    receiver.set_script(ScriptedReceiver::accept_all());
    EXPECT_EQ(post(receiver.url()).status, 200);
}

TEST_F(HttpClientTest, TellsARefusedConnection) {
    std::string url;
    {
        RawServer server([](RawPeer&) {});
        url = server.url();
    }
    const PostResult result = post(url);
    EXPECT_EQ(result.fault, AttemptFault::kConnect);
    EXPECT_NE(result.fault_detail, "");
}

TEST_F(HttpClientTest, TellsANameThatIsNone) {
    // A label may have 63 characters: the resolver refuses this one without asking anybody.
    EXPECT_EQ(post("http://" + std::string(64, 'a') + ".invalid/").fault, AttemptFault::kDns);
}

TEST_F(HttpClientTest, TellsAReceiverWithoutTls) {
    RawServer server([](RawPeer& peer) { peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"); });
    EXPECT_EQ(post("https" + server.url().substr(4)).fault, AttemptFault::kTls);
}

TEST_F(HttpClientTest, TellsAnAnswerThatIsNotHttp) {
    EXPECT_EQ(post_to_raw("220 mail.example.com ESMTP\r\n").fault, AttemptFault::kProtocol);
}

TEST_F(HttpClientTest, TellsAConnectionThatEndsBeforeTheAnswer) {
    EXPECT_EQ(post_to_raw("").fault, AttemptFault::kReset);
    EXPECT_EQ(post_to_raw("HTTP/1.1 20").fault, AttemptFault::kReset);
    ScriptedReceiver receiver(ScriptedReceiver::always({.close = true}));
    EXPECT_EQ(post(receiver.url()).fault, AttemptFault::kReset);
}

// curl reads a status out of each of these, and a message was marked as sent for it.
TEST_F(HttpClientTest, TakesNoStatusOutOfALineThatIsNone) {
    for (const std::string line :
         {"HTTP/1.1 204x", "HTTP/1.1 2040", "HTTP/2.0 200 OK", "HTTP/2 200", "HTTP/3 200", "HTTP/1.1  200 OK", "HTTP/1.1\t200 OK",
          "HTTP/1.10 200 OK", "HTTP/1 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 +20 OK", "HTTP/1.1 099 OK", "http/1.1 200 OK",
          " HTTP/1.1 200 OK", "HTTP/1.1 200 O\x01K", "HTTP/1.1 200OK"}) {
        for (const std::string interim : {"", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"}) {
            const PostResult result = post_to_raw(interim + line + "\r\nContent-Length: 0\r\n\r\n");
            EXPECT_EQ(result.fault, AttemptFault::kProtocol) << interim << line;
            EXPECT_EQ(result.status, 0) << interim << line;
        }
    }
    EXPECT_EQ(post_to_raw("HTTP/1.1 204x\r\n\r\n").fault_detail, "the answer is no valid HTTP: it begins with \"HTTP/1.1 204x\"");
}

TEST_F(HttpClientTest, TakesAStatusLineWithoutAReasonOrWithOneOfAnyLanguage) {
    for (const std::string line : {"HTTP/1.1 204", "HTTP/1.1 204 ", "HTTP/1.0 204 No Content", "HTTP/1.1 204 \xc3\xa7\xfc",
                                   "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204"}) {
        const PostResult result = post_to_raw(line + "\r\nContent-Length: 0\r\n\r\n");
        EXPECT_EQ(result.fault, AttemptFault::kNone) << line << result.fault_detail;
        EXPECT_EQ(result.status, 204) << line;
    }
    EXPECT_EQ(post_to_raw("HTTP/1.1 204 No Content\n\n").status, 204) << "lines that end without CR";
}

TEST_F(HttpClientTest, TakesTheStatusOfAnAnswerThatBreaksOff) {
    for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "HTTP/1.1 200 OK\r\nContent-Le"}) {
        const PostResult result = post_to_raw(answer);
        EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
        EXPECT_EQ(result.status, 200);
    }
    EXPECT_TRUE(post_to_raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").body_truncated);
}

TEST_F(HttpClientTest, TakesTheStatusOfAnAnswerThatOutlastsTheDeadline) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\nhalf");
        peer.wait_for_close();
    });
    const PostResult result = post(server.url(), milliseconds(300));
    EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
    EXPECT_EQ(result.status, 202);
    EXPECT_TRUE(result.body_truncated);
}

TEST_F(HttpClientTest, KeepsTheBeginningOfALongBody) {
    ScriptedReceiver receiver(ScriptedReceiver::always({200, std::string(50'000, 'x')}));
    const PostResult result = post(receiver.url());
    EXPECT_EQ(result.status, 200);
    EXPECT_EQ(result.body, std::string(1000, 'x'));
    EXPECT_TRUE(result.body_truncated);
}

TEST_F(HttpClientTest, StopsReadingABodyWithoutEnd) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while (peer.send("1000\r\n" + std::string(0x1000, 'x') + "\r\n")) continue;
    });
    const PostResult result = post(server.url());
    EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
    EXPECT_EQ(result.status, 200);
    EXPECT_EQ(result.body.size(), 1000u);
    EXPECT_TRUE(result.body_truncated);
    EXPECT_LT(result.duration, std::chrono::seconds(9));
}

TEST_F(HttpClientTest, StopsReadingHeadersWithoutEnd) {
    RawServer server([](RawPeer& peer) {
        peer.read_request();
        peer.send("HTTP/1.1 200 OK\r\n");
        while (peer.send("X-More: " + std::string(1000, 'x') + "\r\n")) continue;
    });
    const PostResult result = post(server.url());
    EXPECT_EQ(result.fault, AttemptFault::kNone) << result.fault_detail;
    EXPECT_EQ(result.status, 200);
    EXPECT_LT(result.duration, std::chrono::seconds(9));
}

TEST_F(HttpClientTest, DoesNotUnpackACompressedBody) {
    const std::string packed = "\x1f\x8b not really gzip";
    EXPECT_EQ(post_to_raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: " + std::to_string(packed.size()) +
                          "\r\n\r\n" + packed)
                  .body,
              packed);
}

TEST_F(HttpClientTest, TakesTheLastRetryAfterOfTheFinalAnswer) {
    const PostResult result = post_to_raw(
        "HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\n"
        "HTTP/1.1 503 Unavailable\r\nretry-after: 2\r\nRETRY-AFTER:  Wed, 21 Oct 2026 07:28:00 GMT \r\nContent-Length: "
        "0\r\n\r\n");
    EXPECT_EQ(result.status, 503);
    EXPECT_EQ(result.retry_after, "Wed, 21 Oct 2026 07:28:00 GMT");
    EXPECT_EQ(
        post_to_raw("HTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\nHTTP/1.1 503 U\r\nContent-Length: 0\r\n\r\n").retry_after,
        "");
}

TEST_F(HttpClientTest, FollowsNoRedirect) {
    ScriptedReceiver receiver;
    receiver.set_script([&](const http::Request&, std::size_t) {
        return ScriptedAnswer{302, "", {{"Location", "http://127.0.0.1:" + std::to_string(receiver.port()) + "/elsewhere"}}};
    });
    EXPECT_EQ(post(receiver.url()).status, 302);
    EXPECT_EQ(receiver.count(), 1u);
}

TEST_F(HttpClientTest, DoesNotAskBeforeItSendsALargeBody) {
    ScriptedReceiver receiver;
    const std::string body(2u << 20, 'x');
    EXPECT_EQ(post({receiver.url(), {}, body, milliseconds(20000)}).status, 200);
    EXPECT_EQ(receiver.requests().at(0).request.header("Expect"), std::nullopt);
    EXPECT_EQ(receiver.requests().at(0).request.body.size(), body.size());
}

TEST_F(HttpClientTest, IgnoresTheProxiesOfTheEnvironment) {
    ScriptedReceiver receiver;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    EXPECT_EQ(post(receiver.url()).status, 200);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

TEST_F(HttpClientTest, RefusesWhatCannotBeSent) {
    ScriptedReceiver receiver;
    for (const auto& [name, value] : http::Headers{{"X-Bad", "a\r\nX-Injected: b"},
                                                   {"X-Bad", "a\nb"},
                                                   {"X-Bad", std::string("a\0b", 3)},
                                                   {"X\r\nY", "a"},
                                                   {"X Y", "a"},
                                                   {"X:Y", "a"},
                                                   {"Content-Length", "7"},  // the next request would begin in this one's body
                                                   {"transfer-encoding", "chunked"},
                                                   {"Expect", "100-continue"},
                                                   {"", "a"}}) {
        const PostResult result = post({receiver.url(), {{name, value}}, "{}", milliseconds(10000)});
        EXPECT_EQ(result.fault, AttemptFault::kInvalidRequest) << name;
        EXPECT_NE(result.fault_detail, "");
    }
    ASSERT_EQ(post(receiver.url("/first")).status, 200);  // by the handle that is used again
    for (const char* url :
         {"", "/relative", "?relative", "//127.0.0.1/", "http://", "ftp://127.0.0.1/", "file:///etc/passwd", "http://a b/"}) {
        EXPECT_EQ(post(std::string(url)).fault, AttemptFault::kInvalidRequest) << url;
    }
    EXPECT_EQ(receiver.count(), 1u);
    EXPECT_EQ(client_->in_flight(), 0u);
    EXPECT_EQ(post(receiver.url("/second?a=1")).status, 200);
    EXPECT_EQ(receiver.requests().at(1).request.path, "/second");
}

TEST_F(HttpClientTest, TellsItsOwnShortageOfDescriptorsFromTheReceiversFaults) {
    ScriptedReceiver receiver;
    test::run_once(loop_);
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const int lowest_free = dup(STDOUT_FILENO);
    close(lowest_free);
    const rlimit none_left{static_cast<rlim_t>(lowest_free), before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none_left);
    const PostResult result = post(receiver.url());
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(result.fault, AttemptFault::kLocal) << result.fault_detail;
    EXPECT_NE(result.fault_detail.find("open files"), std::string::npos) << result.fault_detail;
    EXPECT_EQ(post(receiver.url()).status, 200);
    receiver.set_script(ScriptedReceiver::always({.hang = true}));
    EXPECT_EQ(post(receiver.url(), milliseconds(50)).fault, AttemptFault::kTimeout);
}

// The resolver says only that there is no such name, and each such failure used up an attempt.
TEST_F(HttpClientTest, ALookUpThatLacksDescriptorsIsNoFaultOfTheReceiver) {
    test::run_once(loop_);
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const int lowest_free = dup(STDOUT_FILENO);
    close(lowest_free);
    for (const int left : {0, 1, 2, 3}) {
        const rlimit few{static_cast<rlim_t>(lowest_free + left), before.rlim_max};
        setrlimit(RLIMIT_NOFILE, &few);
        const PostResult result = post("http://no-such-name.invalid:1/");
        setrlimit(RLIMIT_NOFILE, &before);
        EXPECT_EQ(result.fault, AttemptFault::kLocal) << left << " left: " << result.fault_detail;
    }
}

TEST_F(HttpClientTest, DropsItsCompletionsAtItsEnd) {
    ScriptedReceiver receiver(ScriptedReceiver::always({.hang = true}));
    bool completed = false;
    client_->start_post({receiver.url(), {}, "{}", milliseconds(10000)}, [&](const PostResult&) { completed = true; });
    client_->start_post({"ftp://x/", {{"X\n", ""}}, "{}", milliseconds(10000)}, [&](const PostResult&) { completed = true; });
    ASSERT_TRUE(test::run_until(loop_, [&] { return receiver.count() == 1 || completed; }));
    completed = false;
    client_.reset();
    receiver.release();
    for (int i = 0; i < 10; ++i) test::run_once(loop_);
    EXPECT_FALSE(completed);
}

TEST_F(HttpClientTest, MayBeDestroyedByACompletion) {
    ScriptedReceiver receiver;
    int completed = 0;
    for (int i = 0; i < 3; ++i) {
        client_->start_post({receiver.url(), {}, "{}", milliseconds(10000)}, [&](const PostResult&) {
            ++completed;
            client_.reset();
        });
    }
    ASSERT_TRUE(test::run_until(loop_, [&] { return completed > 0; }));
    for (int i = 0; i < 10; ++i) test::run_once(loop_);
    EXPECT_EQ(completed, 1);

    client_ = std::make_unique<Client>(loop_, options());
    for (int i = 0; i < 2; ++i) {
        client_->start_post({receiver.url(), {{"X\n", ""}}, "", milliseconds(10000)}, [&](const PostResult&) {
            ++completed;
            client_.reset();
        });
    }
    ASSERT_TRUE(test::run_until(loop_, [&] { return completed > 1; }));
    EXPECT_EQ(completed, 2);
}

}  // namespace
}  // namespace messaging
