// The HTTP server where requests are screened: bodies are read only when their heads are good, and nobody holds a connection for
// ever.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>

#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/raw_tcp.h"
#include "support/running_server.h"

namespace messaging {
namespace {

using http::Request;
using http::Response;
using http_server::Responder;
using std::chrono::milliseconds;
using test::kBodyLimit;
using test::raw_exchange;
using test::RunningServer;

class Screening : public testing::Test {
protected:
    explicit Screening(const std::function<void(http_server::ServerOptions&)>& change = {}) : change_(change) {}

    http_server::ServerOptions options() {
        http_server::ServerOptions options;
        options.max_bodies_bytes = 2500;
        options.body_step = 100;
        options.body_step_timeout = milliseconds(300);
        options.request_timeout = milliseconds(400);
        options.answer_timeout = milliseconds(400);
        options.screen = [this](const Request& request) -> std::optional<Response> {
            ++screened_;
            if (request.header("authorization") == "yes") return std::nullopt;
            return Response{401, "text/plain", {{"X-Path", request.path}}, "no"};
        };
        if (change_) change_(options);
        return options;
    }
    static std::string post(const std::string& headers, const std::string& body = "") {
        return "POST /hook?a=b HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n" + body;
    }
    static std::string good(const std::string& body) {
        return post("Authorization: yes\r\nContent-Length: " + std::to_string(body.size()) + "\r\n", body);
    }
    static std::size_t count_of(const std::string& text, const std::string& part) {
        std::size_t count = 0;
        for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
        return count;
    }
    static bool has_status(const std::string& answer, int status) {
        return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
    }

    std::function<void(http_server::ServerOptions&)> change_;
    std::atomic<int> screened_{0};
    std::atomic<int> handled_{0};
    RunningServer server_{
        [this](Request request, Responder responder) {
            ++handled_;
            if (request.path == "/never") return waiting_.push_back(std::move(responder));
            if (request.path == "/headers") {
                std::string text;
                for (const auto& [name, value] : request.headers)
                    text += std::string("[").append(name).append("=").append(value) + "]";
                return responder.send({200, "text/plain", {}, text});
            }
            const std::size_t size = request.path == "/large" ? 16u << 20 : request.path == "/huge" ? 64u << 20 : 0;
            responder.send({200, "text/plain", {}, std::string(size, 'x') + "<" + request.body + ">"});
        },
        options()};
    std::vector<Responder> waiting_;  // of the server's thread
};

TEST_F(Screening, WhatIsRefusedIsRefusedUnread) {
    const std::string answer = raw_exchange(server_.port(), post("Content-Length: 900\r\n"));
    EXPECT_TRUE(has_status(answer, 401)) << answer;
    EXPECT_NE(answer.find("X-Path: /hook\r\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\nno"));
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, ATooLongBodyIsRefusedUnread) {
    EXPECT_TRUE(has_status(raw_exchange(server_.port(), post("Authorization: yes\r\nContent-Length: 1001\r\n")), 413));
    EXPECT_TRUE(has_status(raw_exchange(server_.port(), post("Content-Length: 999999999999999\r\n")), 401))
        << "a client without the token is not even told the limit";
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, ARefusalIsReadAlsoByAClientThatGoesOnSending) {
    const std::string much(8u << 20, 'x');
    for (int i = 0; i < 5; ++i) {
        const std::string answer =
            raw_exchange(server_.port(), post("Content-Length: " + std::to_string(much.size()) + "\r\n", much));
        EXPECT_TRUE(has_status(answer, 401)) << answer;
    }
}

TEST_F(Screening, AGoodBodyArrivesInWhateverPieces) {
    const std::string request = good("the body") + good("another") + good(std::string(kBodyLimit, 'y'));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100}, request.size()}) {
        const std::string answers = test::raw_exchange_in_pieces(
            server_.port(), request, piece, [](const std::string& so_far) { return count_of(so_far, ">") == 3; });
        EXPECT_EQ(count_of(answers, "HTTP/1.1 200 OK\r\n"), 3u) << answers;
        EXPECT_NE(answers.find("<the body>"), std::string::npos);
        EXPECT_NE(answers.find("<another>"), std::string::npos);
        EXPECT_NE(answers.find("<" + std::string(kBodyLimit, 'y') + ">"), std::string::npos);
    }
}

TEST_F(Screening, AChunkedBodyIsReadAndEndsTheConnection) {
    const std::string answer =
        raw_exchange(server_.port(), post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n") +
                                         good("is not looked at"));
    EXPECT_NE(answer.find("<hello>"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Connection: close\r\n"), std::string::npos) << answer;
    EXPECT_EQ(count_of(answer, "HTTP/1.1"), 1u) << answer;
    EXPECT_TRUE(has_status(raw_exchange(server_.port(), post("Transfer-Encoding: chunked\r\n", "5\r\nhel")), 401));
    const std::string long_chunk = "800\r\n" + std::string(0x800, 'x') + "\r\n0\r\n\r\n";
    EXPECT_TRUE(
        has_status(raw_exchange(server_.port(), post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", long_chunk)), 413));
}

TEST_F(Screening, CrookedChunksAreRefusedWithWhatIsWrong) {
    for (const std::string body :
         {"5;a=b\r\nhello\r\n0\r\n\r\n", "5 ;a\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "+5\r\nhello\r\n0\r\n\r\n",
          "0x5\r\nhello\r\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "\r\n", "five\r\n",
          "5\r\nhello\r\n0;a\r\n\r\n", "0000000000000000000000005\r\nhello\r\n0\r\n\r\n"}) {
        for (const std::size_t piece : {std::size_t{1}, body.size() + 1000}) {
            const std::string answer = test::raw_exchange_in_pieces(
                server_.port(), post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", body), piece);
            EXPECT_TRUE(has_status(answer, 400)) << body << answer;
            EXPECT_NE(answer.find("without extensions"), std::string::npos) << answer;
        }
    }
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, AChunkedBodyInPiecesIsReadWhole) {
    std::string body;
    for (int i = 0; i < 90; ++i) body += "00A\r\n0123456789\r\n";
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{5000}}) {
        const std::string answer = test::raw_exchange_in_pieces(
            server_.port(), post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", body + "0\r\nX-Trailer: a\r\n\r\n"),
            piece);
        EXPECT_TRUE(has_status(answer, 200)) << answer;
        EXPECT_EQ(count_of(answer, "0123456789"), 90u);
    }
}

TEST_F(Screening, AHostIsANameOrAnAddressOrNothing) {
    for (const std::string host : {"x", "a.example:80", "127.0.0.1:80", "[::1]", "[::1]:80", "", "my_host:", "b\xc3\xbc"}) {
        const std::string answer =
            raw_exchange(server_.port(), "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n");
        EXPECT_TRUE(has_status(answer, host.size() == 3 && host[0] == 'b' ? 400 : 200)) << host << answer;
    }
}

// A tab before a value was the gate's to remove, and not the handler's; and the handler took trailers for headers.
TEST_F(Screening, GateAndHandlerReadTheSameHeaders) {
    for (const std::string around : {" ", "\t", " \t \t", ""}) {
        for (const std::string head : {"", "Content-Length: 2\r\n", "Transfer-Encoding:\tchunked\r\n"}) {
            const std::string body = head.empty()     ? ""
                                     : head[0] == 'C' ? "{}"
                                                      : "2\r\n{}\r\n0\r\nX-Value: other\r\nX-More: a\r\n\r\n";
            const std::string answer =
                raw_exchange(server_.port(), "POST /headers HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization:" + around +
                                                 "yes" + around + "\r\nX-Value:" + around + "a \t b" + around +
                                                 "\r\nX-Empty:" + around + "\r\n" + head + "\r\n" + body);
            EXPECT_TRUE(has_status(answer, 200)) << answer;
            EXPECT_NE(answer.find("[Authorization=yes][X-Value=a \t b][X-Empty=]"), std::string::npos) << answer;
            EXPECT_EQ(answer.find("other"), std::string::npos) << "trailers are no headers";
            EXPECT_EQ(answer.find("X-More"), std::string::npos);
        }
    }
}

// What two readers could understand differently.
TEST_F(Screening, CrookedHeadsAreRefused) {
    const std::vector<std::string> heads = {
        "NONSENSE\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        post("Authorization: yes\r\nContent-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 2\r\nContent-Length: 2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 2, 2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: +2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 0x2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 99999999999999999999999\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length : 2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("Authorization: yes\r\nTransfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("Authorization: yes\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n", "{}"),
        post("Authorization: yes\r\nX: a\r\n folded\r\n"),
        post("Authorization: yes\r\nX: a\nY: b\r\n"),
        post(std::string("X: a\0b\r\n", 8)),
        post("Authorization: yes\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n"),
        post("Authorization: yes\r\nidempotency-key: a\r\nIdempotency-Key: a\r\nContent-Length: 2\r\n", "{}"),
        post("Authorization: yes\r\nAuthorization: yes\r\n"),
        "GET / HTTP/1.1\r\nHost: [\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: []\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80:90\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: http://a/\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: yes\r\nContent-Length: 2\r\n\r\n{}",
        "DELETE / HTTP/1.1\r\nHost: x\r\nAuthorization: yes\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET  HTTP/1.1\r\nHost: x\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        post("X: " + std::string(20'000, 'x') + "\r\n"),
        post("X: " + std::string(20'000, 'x')),
    };
    for (const std::string& head : heads) {
        const std::string answer = raw_exchange(server_.port(), head);
        EXPECT_TRUE(has_status(answer, 400)) << head.substr(0, 100) << "\n" << answer;
        EXPECT_TRUE(answer.ends_with(R"({"code":400})")) << answer;
    }
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, AMethodThatIsNotServedIsRefusedAsSuchAlsoWithABody) {
    const std::string answer = raw_exchange(server_.port(), "TRACE /there HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
    EXPECT_TRUE(has_status(answer, 401)) << answer;
    EXPECT_NE(answer.find("X-Path: /there"), std::string::npos) << "the answer of the screen: " << answer;
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, WhatIsCrookedBehindAGoodRequestEndsTheConnectionAfterItsAnswer) {
    const std::string answers = raw_exchange(server_.port(), good("first") + "NONSENSE\r\n\r\n" + good("never"));
    EXPECT_EQ(count_of(answers, "<first>"), 1u) << answers;
    EXPECT_EQ(count_of(answers, "<never>"), 0u) << answers;
}

TEST_F(Screening, ABodyThatIsOnlyAnnouncedTakesNoCapacityFromOthers) {
    std::vector<std::thread> silent;
    for (const char* const length : {"Content-Length: 1000", "Transfer-Encoding: chunked"}) {
        for (int i = 0; i < 4; ++i) {
            silent.emplace_back(
                [&, length] { raw_exchange(server_.port(), post(std::string("Authorization: yes\r\n") + length + "\r\n")); });
        }
    }
    EXPECT_TRUE(test::wait_until([&] { return screened_ == 8; }));
    EXPECT_TRUE(has_status(
        raw_exchange(server_.port(), good(std::string(1000, 'x')), [](auto& text) { return text.ends_with(">"); }), 200));
    for (std::thread& one : silent) one.join();
}

class ScreeningPatiently : public Screening {
protected:
    ScreeningPatiently() : Screening([](http_server::ServerOptions& options) { options.request_timeout = test::kPatience; }) {}
};

class ScreeningUnreadAnswers : public Screening {
protected:
    ScreeningUnreadAnswers()
        : Screening([](http_server::ServerOptions& options) {
              options.request_timeout = options.answer_timeout = test::kPatience;
              options.max_bodies_bytes = 1u << 20;
          }) {}
    // A connection on which a long answer has begun, and is not read.
    std::unique_ptr<test::RawClient> client() {
        auto client = std::make_unique<test::RawClient>(server_.port(), 4096);
        const int before = handled_;
        client->send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        EXPECT_TRUE(test::wait_until([&] { return handled_ > before; }));
        return client;
    }
    // All that was sent before has been seen by the server.
    void let_it_read() {
        for (int i = 0; i < 2; ++i) {
            EXPECT_TRUE(
                has_status(raw_exchange(server_.port(), good("turn"), [](auto& text) { return text.ends_with("<turn>"); }), 200));
        }
    }
};

// Each was handled once the answer had been read.
TEST_F(ScreeningUnreadAnswers, WhatIsRefusedBehindAnAnswerIsNeverHandled) {
    const std::vector<std::string> refused = {
        "POST /hook HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: yes\r\n\r\n",
        "POST /hook HTTP/1.1\nHost: a\nAuthorization: yes\n\n",
        "POST /hook HTTP/1.1\nHost: a\nAuthorization: yes\nContent-Length: 1\n\nx",
        post("Content-Length: 2\r\n", "{}"),
        post("Authorization: yes\r\nContent-Length: 2\r\nContent-Length: 2\r\n", "{}"),
        post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", "1;a\r\nx\r\n0\r\n\r\n"),
        post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", "1\r\nx\r\n0\r\nA: b\n\n"),
        "NONSENSE\r\n\r\n",
    };
    for (const std::string& request : refused) {
        for (const std::size_t piece : {std::size_t{1}, request.size()}) {
            const auto slow = client();
            for (std::size_t at = 0; at < request.size(); at += piece) {
                ASSERT_TRUE(slow->send(request.substr(at, piece)));
                if (at == 0) let_it_read();
            }
            slow->send(good("behind"));
            let_it_read();
            const int before = handled_;
            const std::string answers = slow->receive_all();
            EXPECT_EQ(count_of(answers, "HTTP/1.1 "), 1u) << request << answers.substr(answers.size() - 300);
            EXPECT_GT(answers.size(), 16u << 20);
            EXPECT_TRUE(answers.ends_with("<>"));
            let_it_read();
            EXPECT_EQ(handled_, before + 2) << request;
        }
    }
}

TEST_F(ScreeningUnreadAnswers, WhatIsGoodBehindAnAnswerIsHandledOnceThatHasBeenRead) {
    std::string requests;
    for (int i = 0; i < 500; ++i) requests += good("one") + good(std::string(kBodyLimit, 'x'));
    requests += post("Authorization: yes\r\nConnection: close\r\nContent-Length: 4\r\n", "last");
    const auto slow = client();
    std::thread sender([&] { slow->send(requests); });
    let_it_read();
    const std::string answers = slow->receive_all();
    sender.join();
    EXPECT_EQ(count_of(answers, "<one>"), 500u);
    EXPECT_EQ(count_of(answers, "HTTP/1.1 200"), 1002u);
    EXPECT_TRUE(answers.ends_with("<last>"));
}

TEST_F(ScreeningUnreadAnswers, BehindAnAnswerTheRequestsBeforeTheRefusedOneAreAnswered) {
    const auto slow = client();
    slow->send(good("first") + good("second") + "NONSENSE\r\n\r\n" + good("never"));
    let_it_read();
    const std::string answers = slow->receive_all();
    EXPECT_EQ(count_of(answers, "<first>"), 1u);
    EXPECT_TRUE(answers.ends_with("<second>"));
}

TEST_F(ScreeningUnreadAnswers, BehindAnAnswerTheLastOneIsReadWholeWhateverFollows) {
    const auto slow = client();
    slow->send(post("Authorization: yes\r\nTransfer-Encoding:\tchunked\r\n", "1\r\nx\r\n0\r\nA: b\r\n\r\n"));
    for (int i = 0; i < 100; ++i) slow->send(good(std::string(kBodyLimit, 'y')));
    let_it_read();
    const std::string answers = slow->receive_all();
    EXPECT_GT(answers.size(), 16u << 20) << "the connection was not reset";
    EXPECT_EQ(count_of(answers, "HTTP/1.1 200"), 2u);
    EXPECT_TRUE(answers.ends_with("<x>"));
}

// 64 MiB went into the memory of the server.
TEST_F(ScreeningUnreadAnswers, WhatIsSentBehindAnAnswerWaitsOutsideTheServer) {
    constexpr std::size_t kMuch = 64u << 20;
    std::string heads;
    while (heads.size() < 1u << 20) heads += "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(16'000, 'a') + "\r\n\r\n";
    std::string bodies;
    while (bodies.size() < 1u << 20) bodies += good(std::string(kBodyLimit, 'x'));
    for (const std::string& block : {heads, bodies}) {
        const auto slow = client();
        EXPECT_LT(slow->flood(block, kMuch, milliseconds(300)), kMuch / 2) << "the kernel takes some";
        let_it_read();
    }
}

class ScreeningASlowBody : public Screening {
protected:
    ScreeningASlowBody() : Screening([](http_server::ServerOptions& options) { options.answer_timeout = test::kPatience; }) {}
};

TEST_F(ScreeningASlowBody, ABodyThatFollowsAnAnswerHasItsDeadlineToo) {
    const auto began = std::chrono::steady_clock::now();
    const std::string begun = post("Authorization: yes\r\nContent-Length: 1000\r\n", "a");
    const std::string answers = raw_exchange(server_.port(), "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + begun);
    EXPECT_TRUE(answers.ends_with("<>")) << answers;
    EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(3000)) << "and not the idle timeout";
}

TEST_F(ScreeningPatiently, AllBodiesTogetherHaveABudgetAndWhoStallsReleasesIt) {
    std::atomic<int> cut{0};
    std::vector<std::thread> holders;
    for (const std::string& begun :
         {post("Authorization: yes\r\nContent-Length: 1000\r\n", std::string(200, 'x')),
          post("Authorization: yes\r\nTransfer-Encoding: chunked\r\n", "3e8\r\n" + std::string(200, 'x'))}) {
        holders.emplace_back([&, begun] {
            EXPECT_EQ(raw_exchange(server_.port(), begun), "");
            ++cut;
        });
    }
    EXPECT_TRUE(test::wait_until([&] { return screened_ == 2; }));
    const auto try_one = [&] {
        return raw_exchange(server_.port(), good(std::string(1000, 'x')),
                            [](auto& text) { return text.ends_with(">") || text.ends_with("}"); });
    };
    EXPECT_TRUE(has_status(try_one(), 503)) << "both have come a step further right now";
    EXPECT_TRUE(test::wait_until([&] { return has_status(try_one(), 200); }));
    EXPECT_TRUE(test::wait_until([&] { return cut == 2; }));
    for (std::thread& holder : holders) holder.join();
}

// The request before it stays with the handler, whose answer comes when the connection has gone.
TEST_F(ScreeningPatiently, ABodyThatStallsBehindARequestWithoutAnAnswerReleasesItsBudget) {
    const std::string begun = post("Authorization: yes\r\nContent-Length: 1000\r\n", std::string(200, 'x'));
    std::vector<std::thread> holders;
    for (int i = 0; i < 2; ++i) {
        holders.emplace_back(
            [&] { EXPECT_EQ(raw_exchange(server_.port(), "GET /never HTTP/1.1\r\nHost: x\r\n\r\n" + begun), ""); });
    }
    EXPECT_TRUE(test::wait_until([&] { return screened_ == 2 && handled_ == 2; }));
    EXPECT_TRUE(test::wait_until([&] {
        return has_status(raw_exchange(server_.port(), good(std::string(1000, 'x')),
                                       [](auto& text) { return text.ends_with(">") || text.ends_with("}"); }),
                          200);
    }));
    for (std::thread& holder : holders) holder.join();
    server_.run([&] {
        for (Responder& responder : waiting_) responder.send({200, "text/plain", {}, "late"});
        waiting_.clear();
    });
    EXPECT_TRUE(test::wait_until([&] { return server_.run([&] { return server_.server().pending_responses() == 0; }); }));
}

TEST_F(Screening, WhoDripsIsClosed) {
    const auto began = std::chrono::steady_clock::now();
    const std::string answer = test::raw_exchange_in_pieces(server_.port(), good(std::string(900, 'x')), 1, {}, milliseconds(5));
    EXPECT_EQ(answer, "");
    EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(3000));
    EXPECT_EQ(handled_, 0);
}

TEST_F(Screening, ARequestThatIsUnderWayIsNotHurried) {
    std::thread client([&] {
        EXPECT_EQ(raw_exchange(server_.port(), "GET /never HTTP/1.1\r\nHost: x\r\n\r\n",
                               [](auto& text) { return text.ends_with("late"); })
                      .substr(0, 12),
                  "HTTP/1.1 200");
    });
    EXPECT_TRUE(test::wait_until([&] { return handled_ == 1; }));
    std::this_thread::sleep_for(milliseconds(800));
    server_.run([&] { waiting_.front().send({200, "text/plain", {}, "late"}); });
    client.join();
    server_.run([&] { waiting_.clear(); });
}

TEST_F(Screening, WhoDoesNotReadHisAnswerIsClosed) {
    const auto began = std::chrono::steady_clock::now();
    const std::size_t read = test::raw_read_slowly(server_.port(), "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", milliseconds(1500));
    EXPECT_LT(read, 16u << 20);
    EXPECT_LT(std::chrono::steady_clock::now() - began, milliseconds(6000));
    EXPECT_TRUE(test::wait_until([&] { return server_.run([&] { return server_.server().pending_responses() == 0; }); }));
}

TEST_F(Screening, AnswersThatNobodyReadsHaveABudget) {
    const std::string huge = "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n";
    const std::string answer = raw_exchange(server_.port(), huge, [](auto& text) { return text.size() > 100; });
    EXPECT_TRUE(has_status(answer, 503)) << "64 MiB are more than the budget";
    EXPECT_TRUE(has_status(raw_exchange(server_.port(), good("small"), [](auto& text) { return text.ends_with(">"); }), 200));
}

}  // namespace
}  // namespace messaging
