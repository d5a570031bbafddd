// curl's sockets on the loop: which are watched, and for how long.
#include <arpa/inet.h>
#include <event2/event.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <memory>

#include "http_client/sockets.h"
#include "support/loop_runner.h"
#include "support/raw_tcp.h"

namespace messaging {
namespace {

class HttpSocketsTest : public testing::Test {
protected:
    // A socket of ours, connected to a server that says a word and closes.
    curl_socket_t connected() {
        curl_sockaddr address{};
        address.family = AF_INET;
        address.socktype = SOCK_STREAM;
        const curl_socket_t fd = sockets_.open(address);
        EXPECT_NE(fd, CURL_SOCKET_BAD);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(static_cast<in_port_t>(server_.port()));
        EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
        return fd;
    }
    bool hears_something() {
        const int before = ready_;
        return test::run_until(loop_, [&] { return ready_ > before; });
    }
    // As curl does right before it writes a request. (Over TLS, so that what the server has said already is no reason to refuse.)
    void carry_a_request(curl_socket_t fd) {
        sockaddr_in own{};
        socklen_t length = sizeof own;
        ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length), 0);
        const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
        const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context.get()), &SSL_free);
        ASSERT_TRUE(sockets_.fit_for_request({"127.0.0.1", server_.port(), ntohs(own.sin_port)}, {fd}, tls.get()));
    }
    int watched() { return event_base_get_num_events(loop_.base(), EVENT_BASE_COUNT_ADDED); }

    test::RawServer server_{[](test::RawPeer& peer) { peer.send("word"); }};
    loop::EventLoop loop_;
    int ready_ = 0;
    http_client::Sockets sockets_{loop_, [this](curl_socket_t, int) { ++ready_; }};
};

TEST_F(HttpSocketsTest, AnEventOfARestingConnectionIsKeptFromCurlAndEndsTheWatch) {
    const curl_socket_t fd = connected();
    carry_a_request(fd);
    const int without = watched();
    sockets_.watch(fd, CURL_POLL_IN);
    ASSERT_TRUE(hears_something());
    sockets_.watch(fd, CURL_POLL_REMOVE);
    EXPECT_EQ(watched(), without + 1) << "it is still watched, for the next request";
    const int before = ready_;
    EXPECT_TRUE(test::run_until(loop_, [&] { return watched() == without; }))
        << "what came meanwhile would wake the loop for ever";
    EXPECT_EQ(ready_, before);
    sockets_.watch(fd, CURL_POLL_IN);
    EXPECT_TRUE(hears_something());
    sockets_.close(fd);
}

TEST_F(HttpSocketsTest, ANumberThatIsUsedAgainIsWatchedAnew) {
    curl_socket_t first = CURL_SOCKET_BAD;
    curl_socket_t second = CURL_SOCKET_BAD;
    for (int i = 0; i < 20 && (second == CURL_SOCKET_BAD || second != first); ++i) {  // others can be given the number first
        if (second != CURL_SOCKET_BAD) sockets_.close(second);
        first = connected();
        carry_a_request(first);
        sockets_.watch(first, CURL_POLL_IN);
        ASSERT_TRUE(hears_something());
        sockets_.watch(first, CURL_POLL_REMOVE);
        sockets_.close(first);
        second = connected();
    }
    ASSERT_EQ(second, first);
    sockets_.watch(second, CURL_POLL_IN);
    EXPECT_TRUE(hears_something());
    sockets_.close(second);
}

// Where connecting fails curl closes the socket without a word: the watch that stayed behind belonged to whoever got the number.
TEST_F(HttpSocketsTest, ASocketThatHasCarriedNoRequestIsNotWatchedWhileItRests) {
    const curl_socket_t fd = connected();
    const int without = watched();
    sockets_.watch(fd, CURL_POLL_IN);
    EXPECT_EQ(watched(), without + 1);
    sockets_.watch(fd, CURL_POLL_REMOVE);
    EXPECT_EQ(watched(), without);
    sockets_.watch(fd, CURL_POLL_IN);
    EXPECT_TRUE(hears_something()) << "it can be used all the same";
    sockets_.close(fd);
}

TEST_F(HttpSocketsTest, WhatCurlMadeForItselfIsLetGoAtOnce) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const int without = watched();
    sockets_.watch(ends[0], CURL_POLL_IN);
    EXPECT_EQ(watched(), without + 1);
    sockets_.watch(ends[0], CURL_POLL_REMOVE);
    EXPECT_EQ(watched(), without);
    close(ends[0]);
    close(ends[1]);
}

TEST_F(HttpSocketsTest, ADescriptorThatCannotBeHadIsSaidSo) {
    curl_sockaddr address{};
    address.family = AF_INET;
    address.socktype = 999;
    EXPECT_EQ(sockets_.open(address), CURL_SOCKET_BAD);
}

}  // namespace
}  // namespace messaging
