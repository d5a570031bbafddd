// Receivers that misbehave in every way we know: each has its outcome and a reason that an operator can read.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <functional>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "engine/endpoint_queues.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/raw_tcp.h"
#include "support/stores.h"
#include "support/tally.h"
#include "support/tcp_gate.h"
#include "support/tls_receiver.h"
#include "support/world.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;

constexpr const char* kSent = "sent";
constexpr const char* kDead = "dead";
// Seconds. On a machine that does nothing else it is under 50 ms; a receiver that blocks a loop costs its deadline, a second or
// two.
constexpr double kMaxLag = 0.9;

constexpr const char* kIpv6Only = "lives on IPv6 only";

// Containers often have none.
bool has_ipv6() {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_addr = in6addr_loopback;
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool bound = fd >= 0 && bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    if (fd >= 0) close(fd);
    return bound;
}

struct Misbehaviour {
    std::string name;
    std::string url;  // empty: that of a raw server which runs `answer`
    std::function<void(RawPeer&)> answer;
    std::string outcome;              // kSent or kDead, with a single attempt
    std::string reason;               // part of what is stored
    std::string receiver_message_id;  // what is stored of a receiver that accepted
};

std::string ok(const std::string& body, const std::string& headers = "") {
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
}

std::function<void(RawPeer&)> says(std::string bytes) {
    return [bytes = std::move(bytes)](RawPeer& peer) {
        peer.read_request();
        peer.send(bytes);
    };
}

// The first part at once, then a byte a second until nobody listens any more.
std::function<void(RawPeer&)> trickles(std::string at_once, std::string slowly) {
    return [at_once = std::move(at_once), slowly = std::move(slowly)](RawPeer& peer) {
        peer.read_request();
        peer.send(at_once);
        for (const char byte : slowly) {
            const auto next = std::chrono::steady_clock::now() + std::chrono::seconds(1);
            if (!peer.send(std::string(1, byte))) return;
            wait_until([&] { return std::chrono::steady_clock::now() >= next; }, std::chrono::seconds(2));
        }
    };
}

// The same again and again until nobody listens any more.
std::function<void(RawPeer&)> never_ends(std::string first, const std::string& then) {
    std::string much;
    while (much.size() < 16'000) much += then;
    return [first = std::move(first), much = std::move(much)](RawPeer& peer) {
        peer.read_request();
        bool listens = peer.send(first);
        while (listens) listens = peer.send(much);
    };
}

std::vector<Misbehaviour> misbehaviours(const std::string& self_signed, const std::string& ipv6) {
    const std::string id = R"("messageId":)";
    const std::string long_id(1 << 20, 'a');
    std::string headers_without_end = "HTTP/1.1 200 OK\r\n";
    for (int i = 0; i < 20'000; ++i)
        headers_without_end += "X-Flood-" + std::to_string(i) + ": 0123456789012345678901234567890123456789\r\n";
    return {
        {"refuses the connection", "http://127.0.0.1:" + std::to_string(free_port()) + "/", {}, kDead, "connect", ""},
        {"takes the request and hangs", "", [](RawPeer& peer) { peer.wait_for_close(); }, kDead, "timed out", ""},
        {"trickles its headers", "", trickles("HTTP/1.1 2", "00 OK\r\nContent-Length: 2\r\n\r\n{}"), kDead, "timed out", ""},
        {"trickles its body", "", trickles("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", "01234567890123456789"), kSent, "",
         ""},
        {"resets before the answer", "",
         [](RawPeer& peer) {
             peer.read_request();
             peer.reset();
         },
         kDead, "reset by peer", ""},
        {"resets in the body", "",
         [](RawPeer& peer) {
             peer.read_request();
             peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
             peer.reset();
         },
         kSent, "", ""},
        {"breaks off in the body", "", says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), kSent, "", ""},
        {"closes before the answer", "", [](RawPeer& peer) { peer.read_request(); }, kDead, "Empty reply", ""},
        {"speaks no HTTP", "", says("SSH-2.0-OpenSSH_9.2\r\n"), kDead, "HTTP/0.9", ""},
        {"answers with a status of its own", "", says("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), kDead, "HTTP 999", ""},
        {"sends 10 MB", "", says(ok(std::string(10 << 20, 'x'))), kSent, "", ""},
        {"sends a body without end", "", never_ends("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nword\r\n"),
         kSent, "", ""},
        {"sends a gzip bomb", "", says(ok(std::string(100'000, '\x1f'), "Content-Encoding: gzip\r\n")), kSent, "", ""},
        {"sends headers without end", "", never_ends("HTTP/1.1 200 OK\r\n", "X-Flood: 0123456789\r\n"), kSent, "", ""},
        {"floods with headers", "", says(headers_without_end), kSent, "", ""},
        {"NUL in its id", "", says(ok("{" + id + R"("a\u0000b"})")), kSent, "",
         "a\xEF\xBF\xBD"
         "b"},
        {"a bare NUL in its answer", "", says(ok("{" + id + "\"a" + std::string(1, '\0') + "\"}")), kSent, "", ""},
        {"invalid UTF-8 in its answer", "", says(ok("{" + id + "\"a\xFF\"}")), kSent, "", ""},
        {"a number as its id", "", says(ok("{" + id + "12345678901234567890}")), kSent, "", "12345678901234567890"},
        {"the number that overflows RapidJSON", "", says(ok("{" + id + "1." + std::string(100, '7') + "e-2147483638}")), kSent,
         "", "1." + std::string(100, '7') + "e-2147483638"},
        {"an object as its id", "", says(ok("{" + id + R"({"a":1}})")), kSent, "", ""},
        {"1 MB as its id", "", says(ok("{" + id + "\"" + long_id + "\"}")), kSent, "", ""},
        {"JSON without end", "", says(ok(std::string(50'000, '['))), kSent, "", ""},
        {"redirects", "", says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), kDead,
         "HTTP 302", ""},
        {"says 100 and 103 first", "",
         says("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok("{" + id + "\"early\"}")), kSent,
         "", "early"},
        {"says 100 and closes", "", says("HTTP/1.1 100 Continue\r\n\r\n"), kDead, "Empty reply", ""},
        {"says 100 for ever", "", never_ends("", "HTTP/1.1 100 Continue\r\n\r\n"), kDead, "64 KiB of interim answers", ""},
        {"answers 204", "", says("HTTP/1.1 204 No Content\r\n\r\n"), kSent, "", ""},
        {"says 204x", "", says("HTTP/1.1 204x\r\nContent-Length: 0\r\n\r\n"), kDead, "no valid HTTP", ""},
        {"says HTTP 2.0 without TLS", "", says("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"), kDead, "no valid HTTP", ""},
        {"is gone 410", "", says("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), kDead, "HTTP 410", ""},
        {"fails 500", "", says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"), kDead, "HTTP 500", ""},
        {"has a certificate of its own making", self_signed, {}, kDead, "certificate", ""},
        {"speaks no TLS where TLS is asked for", "https", [](RawPeer& peer) { peer.send("HTTP/1.1 400 Bad Request\r\n\r\n"); },
         kDead, "SSL", ""},
        {"has a name that nobody knows", "http://no-such-host.invalid/", {}, kDead, "resolve", ""},
        {kIpv6Only, ipv6, {}, kSent, "", "-"},
    };
}

void make_certificate(const std::string& key, const std::string& certificate) {
    ProcessOptions make;
    make.arguments = {"openssl", "req", "-x509", "-newkey",       "rsa:2048", "-nodes",
                      "-days",   "2",   "-subj", "/CN=localhost", "-addext",  "subjectAltName=IP:127.0.0.1",
                      "-keyout", key,   "-out",  certificate};
    const CommandResult made = run_command(make);
    EXPECT_EQ(made.exit_code, 0) << made.output;
}

// `openssl s_server` with a certificate that nobody has signed.
class SelfSigned {
public:
    SelfSigned() {
        const std::string key = directory_.path() + "/key.pem";
        const std::string certificate = directory_.path() + "/certificate.pem";
        make_certificate(key, certificate);
        ProcessOptions serve;
        serve.arguments = {"openssl", "s_server",  "-accept", "127.0.0.1:" + std::to_string(port_), "-key", key,
                           "-cert",   certificate, "-www"};
        serve.output_file = directory_.path() + "/log";
        server_ = std::make_unique<Process>(serve);
        EXPECT_TRUE(wait_until([&] { return read_text_file(serve.output_file).find("ACCEPT") != std::string::npos; }))
            << read_text_file(serve.output_file);
    }
    std::string url() const { return "https://127.0.0.1:" + std::to_string(port_) + "/"; }

private:
    TemporaryDirectory directory_;
    int port_ = free_port();
    std::unique_ptr<Process> server_;
};

// Takes a request over TLS, and runs `then` on its connection.
class TlsPeers {
public:
    // `protocol`: what it chooses among those that are offered; empty = it chooses none, and HTTP/1.1 is spoken.
    explicit TlsPeers(std::function<void(SSL*)> then, const std::string& protocol = "")
        : then_(std::move(then)), protocol_(static_cast<char>(protocol.size()) + protocol) {
        if (!protocol.empty()) SSL_CTX_set_alpn_select_cb(context_.get(), &choose, this);
        std::signal(SIGPIPE, SIG_IGN);
        const std::string key = directory_.path() + "/key.pem";
        make_certificate(key, certificate());
        EXPECT_EQ(SSL_CTX_use_certificate_file(context_.get(), certificate().c_str(), SSL_FILETYPE_PEM), 1);
        EXPECT_EQ(SSL_CTX_use_PrivateKey_file(context_.get(), key.c_str(), SSL_FILETYPE_PEM), 1);
    }
    std::string certificate() const { return directory_.path() + "/certificate.pem"; }
    std::string url() const { return "https" + server_.url().substr(4); }
    std::size_t connections() const { return server_.connections(); }

private:
    static int choose(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered, unsigned int size,
                      void* self) noexcept {
        const std::string& ours = static_cast<TlsPeers*>(self)->protocol_;
        unsigned char* found = nullptr;
        if (SSL_select_next_proto(&found, length, reinterpret_cast<const unsigned char*>(ours.data()),
                                  static_cast<unsigned int>(ours.size()), offered, size) != OPENSSL_NPN_NEGOTIATED) {
            return SSL_TLSEXT_ERR_NOACK;
        }
        *chosen = found;
        return SSL_TLSEXT_ERR_OK;
    }
    void serve(RawPeer& peer) {
        const std::unique_ptr<SSL, decltype(&SSL_free)> tls(SSL_new(context_.get()), &SSL_free);
        SSL_set_fd(tls.get(), peer.fd());
        if (SSL_accept(tls.get()) == 1) then_(tls.get());
    }

    TemporaryDirectory directory_;
    std::function<void(SSL*)> then_;
    std::string protocol_;  // as ALPN lists it
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_server_method()), &SSL_CTX_free};
    RawServer server_{[this](RawPeer& peer) { serve(peer); }};  // depends-on: all
};

// OpenSSL takes no notice of an end while it writes a ticket.
bool send_ticket(SSL* tls) {
    char byte = 0;
    if (recv(SSL_get_fd(tls), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN) return false;
    return SSL_new_session_ticket(tls) == 1 && SSL_do_handshake(tls) == 1;
}

// The next request's head and body, as far as they come in one record.
bool read_tls_request(SSL* tls) {
    std::array<char, 16384> request{};
    return SSL_read(tls, request.data(), request.size()) > 0;
}

// The preface, settings and headers may come in records of their own, and the body comes as it is.
bool read_http2_request(SSL* tls) {
    std::array<char, 16384> bytes{};
    std::string all;
    while (all.find("content\"") == std::string::npos) {
        const int count = SSL_read(tls, bytes.data(), bytes.size());
        if (count <= 0) return false;
        all.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return true;
}

std::string http2_frame(char type, char flags, char stream, const std::string& payload) {
    std::string frame{'\0', '\0', static_cast<char>(payload.size()), type, flags, '\0', '\0', '\0', stream};
    return frame + payload;
}

// Speaks HTTP/2: the first frames once, and the other one without end.
std::function<void(SSL*)> floods_with(const std::string& first, const std::string& frame) {
    std::string much;
    while (much.size() < 16'000) much += frame;
    return [first = http2_frame('\4', '\0', '\0', "") + first, much](SSL* tls) {
        const auto write = [tls](const std::string& bytes) {
            return SSL_write(tls, bytes.data(), static_cast<int>(bytes.size())) > 0;
        };
        bool listens = read_http2_request(tls) && write(first);
        while (listens) listens = write(much);
    };
}

class Receivers : public testing::Test {
protected:
    // An endpoint for this URL, with one message for it; answers the message's id.
    std::string message_for(const std::string& name, const std::string& url) {
        const std::string endpoint =
            service_->sql("INSERT INTO messaging.endpoints (name, url) VALUES ('" + name + "', '" + url + "') RETURNING id");
        return service_->sql("INSERT INTO messages (recipient, content, endpoint_id) VALUES ('a', 'b', " + endpoint +
                             ") RETURNING id");
    }
    std::string column(const std::string& what, const std::string& id) {
        return service_->sql("SELECT " + what +
                             " FROM messages m LEFT JOIN messaging._dead d USING (id) LEFT JOIN messaging._attempt a ON "
                             "a.message_id = m.id LEFT JOIN messaging._schedule s USING (id) WHERE m.id = " +
                             id + " ORDER BY a.at DESC LIMIT 1");
    }
    void serve(const std::string& attempts, Environment more = {}) {
        more.insert({{"WEBHOOK_URL", default_.url()},
                     {"REQUEST_TIMEOUT", "2s"},
                     {"CONNECT_TIMEOUT", "1s"},
                     {"MAX_ATTEMPTS", attempts},
                     {"BACKOFF_BASE", "1s"}});
        service_ = std::make_unique<Service>(more);
    }
    // Of any loop, as /metrics tells it.
    double longest_lag() const {
        const std::string metrics = call("GET", service_->url("/metrics")).body;
        double lag = 0;
        for (std::size_t at = metrics.find("messaging_loop_lag_seconds{"); at != std::string::npos;
             at = metrics.find("messaging_loop_lag_seconds{", at + 1)) {
            lag = std::max(lag, std::strtod(metrics.c_str() + metrics.find(' ', at), nullptr));
        }
        return lag;
    }
    long threads() const {
        const std::string status = read_text_file("/proc/" + std::to_string(service_->pid()) + "/status");
        return std::atol(status.c_str() + status.find("Threads:") + std::string("Threads:").size());
    }

    Receiver default_;
    std::unique_ptr<Service> service_;
};

TEST_F(Receivers, EachMisbehaviourHasItsOutcomeAndAReadableReason) {
    serve("1");
    const SelfSigned self_signed;
    std::optional<Receiver> ipv6;
    if (has_ipv6()) ipv6.emplace(std::vector<std::string>{"--addr", "::1"});
    std::vector<Misbehaviour> cases = misbehaviours(self_signed.url(), ipv6 ? ipv6->url() : "");
    if (!ipv6) {
        std::erase_if(cases, [](const Misbehaviour& one) { return one.name == kIpv6Only; });
        std::printf("NOT RUN: a receiver that lives on IPv6 only: this machine has no IPv6 loopback\n");
    }
    std::deque<RawServer> servers;
    std::vector<std::string> ids;
    for (const Misbehaviour& one : cases) {
        std::string url = one.url;
        if (one.answer) {
            const std::string raw = servers.emplace_back(one.answer).url();
            url = url.empty() ? raw : url + raw.substr(raw.find(':'));
        }
        ids.push_back(message_for(one.name, url));
    }
    double lag = 0;
    EXPECT_TRUE(wait_until([&] {
        lag = std::max(lag, longest_lag());
        return service_->sql(
                   "SELECT count(*) FROM messages m WHERE NOT is_sent AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = "
                   "m.id)") == "0";
    }));
    for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(cases[i].name);
        const HttpReply reply = call("GET", service_->url("/messages/" + ids[i]));  // held against the OpenAPI document
        EXPECT_EQ(reply.status, 200);
        const std::string reason = column("d.reason", ids[i]);
        EXPECT_EQ(column("m.is_sent", ids[i]), cases[i].outcome == kSent ? "t" : "f") << reason;
        EXPECT_EQ(column("m.attempts", ids[i]), "1");
        if (cases[i].outcome == kDead) {
            EXPECT_NE(reason, "");
            EXPECT_NE(reason.find(cases[i].reason), std::string::npos) << reason;
            EXPECT_LE(reason.size(), 500u);
            EXPECT_LT(std::stol(column("a.duration_ms", ids[i])), 4000) << "the deadline is 2 s";
        } else if (cases[i].receiver_message_id != "-") {
            EXPECT_EQ(column("m.receiver_message_id", ids[i]), cases[i].receiver_message_id);
        }
        std::printf("%s: %s%s\n", cases[i].name.c_str(), cases[i].outcome.c_str(), reason.empty() ? "" : (", " + reason).c_str());
    }
    std::printf("the longest a loop was late: %.1f ms\n", lag * 1e3);
    EXPECT_LT(lag, kMaxLag);
    EXPECT_LT(service_->resident_bytes(), 100 << 20);
}

// OpenSSL read all of it in one call: the engine stood still, REQUEST_TIMEOUT had no effect, and no signal ended the process.
TEST_F(Receivers, OneThatSendsTlsMessagesWithoutEndHoldsUpNobodyElse) {
    const TlsPeers key_updates([](SSL* tls) {
        bool listens = read_tls_request(tls);
        while (listens) listens = SSL_key_update(tls, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(tls) == 1;
    });
    const TlsPeers tickets([](SSL* tls) {
        bool listens = read_tls_request(tls);
        while (listens) listens = send_ticket(tls);
    });
    const RawServer hello_requests([](RawPeer& peer) {
        std::string record("\x16\x03\x03\x40\x00", 5);
        record.append(0x4000, '\0');
        for (bool listens = true; listens;) listens = peer.send(record);
    });
    const std::vector<std::pair<std::string, std::string>> kinds = {
        {"key updates", key_updates.url()},
        {"tickets", tickets.url()},
        {"HelloRequests in the place of a handshake", "https" + hello_requests.url().substr(4)}};
    constexpr int kMessages = 100;
    int others = 0;
    for (const auto& [name, url] : kinds) {
        SCOPED_TRACE(name);
        const std::string& trusted = name == "tickets" ? tickets.certificate() : key_updates.certificate();
        serve("1", {{"CA_CERTIFICATES", trusted}});
        const std::string id = message_for(name, url);
        const auto began = std::chrono::steady_clock::now();
        service_->sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, " +
                      std::to_string(kMessages) + ")");
        others += kMessages;
        EXPECT_TRUE(wait_until([&] { return default_.stat("received") == others; }, std::chrono::seconds(10)));
        EXPECT_TRUE(wait_until([&] { return !column("d.reason", id).empty(); }, std::chrono::seconds(10)));
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
        std::printf("%s without end: %d others received, %.2f s; %s\n", name.c_str(), kMessages, elapsed.count(),
                    column("d.reason", id).c_str());
        const auto told = std::chrono::steady_clock::now();
        service_->send(SIGTERM);
        EXPECT_EQ(service_->wait(), 0);
        EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(5));
    }
}

// Such frames reach none of curl's callbacks, and curl read up to a hundred TLS records of them in one call: others waited for
// seconds, and requests outlasted their deadlines.
TEST_F(Receivers, OneThatSendsFramesOfHttp2WithoutEndHoldsUpNobodyElse) {
    const std::string accepted = http2_frame('\1', '\4', '\1', "\x88");
    struct Flood {
        const char* name;
        std::string first;
        std::string frame;
        const char* outcome;
    };
    const std::vector<Flood> floods = {
        {"pings", "", http2_frame('\6', '\0', '\0', std::string(8, 'p')), "f"},
        {"answers to pings", "", http2_frame('\6', '\1', '\0', std::string(8, 'p')), "f"},
        {"window updates", "", http2_frame('\10', '\0', '\0', std::string("\0\0\0\1", 4)), "f"},
        {"frames of no known type", "", http2_frame('\x7e', '\0', '\0', ""), "f"},
        {"empty data behind a 200", accepted, http2_frame('\0', '\0', '\1', ""), "t"},
    };
    constexpr int kMessages = 100;
    int others = 0;
    for (const Flood& flood : floods) {
        SCOPED_TRACE(flood.name);
        const TlsPeers peers(floods_with(flood.first, flood.frame), "h2");
        serve("1", {{"CA_CERTIFICATES", peers.certificate()}, {"HTTP2", "true"}, {"REQUEST_TIMEOUT", "30s"}});
        const std::string id = message_for(flood.name, peers.url());
        ASSERT_TRUE(wait_until([&] { return peers.connections() > 0; }));
        service_->sql("INSERT INTO messages (recipient, content) SELECT 'a', 'b' FROM generate_series(1, " +
                      std::to_string(kMessages) + ")");
        others += kMessages;
        EXPECT_TRUE(wait_until([&] { return default_.stat("received") == others; }));
        // Long before the deadline.
        EXPECT_TRUE(wait_until([&] { return column("m.is_sent OR d.reason IS NOT NULL", id) == "t"; }, std::chrono::seconds(10)));
        EXPECT_EQ(column("m.is_sent", id), flood.outcome);
        if (flood.first.empty()) {
            EXPECT_NE(column("d.reason", id).find("belong to no answer"), std::string::npos) << column("d.reason", id);
        }
        const double lag = longest_lag();
        std::printf("%s: event loops %.0f ms late at most\n", flood.name, lag * 1000);
        EXPECT_LT(lag, kMaxLag);
    }
}

// With tickets in the way, and after key updates: what OpenSSL has read must not be forgotten, and the connection stays in use.
TEST_F(Receivers, TlsMessagesBetweenAnswersDoNotEndTheConnection) {
    const TlsPeers busy([](SSL* tls) {
        while (read_tls_request(tls)) {
            for (int i = 0; i < 5; ++i) {
                if (SSL_key_update(tls, SSL_KEY_UPDATE_NOT_REQUESTED) != 1 || SSL_do_handshake(tls) != 1) return;
                if (!send_ticket(tls)) return;
            }
            const std::string answer = ok("{}");
            if (SSL_write(tls, answer.data(), static_cast<int>(answer.size())) <= 0) return;
        }
    });
    serve("1", {{"CA_CERTIFICATES", busy.certificate()}});
    message_for("busy", busy.url());
    service_->sql("UPDATE messaging.endpoints SET max_in_flight = 1 WHERE name = 'busy'");
    service_->sql(
        "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints, "
        "generate_series(1, 20) WHERE name = 'busy'");
    EXPECT_TRUE(wait_until([&] { return service_->sql("SELECT count(*) FROM messages WHERE is_sent") == "21"; }));
    EXPECT_EQ(service_->sql("SELECT max(attempts) FROM messages"), "1");
    std::printf("21 requests on %zu connections\n", busy.connections());
    EXPECT_LE(busy.connections(), 4u);
}

// Framing is not counted by curl: such an answer went on until the deadline, at hundreds of MiB a second.
TEST_F(Receivers, AnAnswerThatIsAllFramingEndsLongBeforeTheDeadline) {
    serve("1", {{"REQUEST_TIMEOUT", "20s"}});
    const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
    RawServer extensions(never_ends("HTTP/1.1 200 OK\r\n" + chunked + "1;", std::string(1000, 'a')));
    RawServer small_chunks(never_ends("HTTP/1.1 200 OK\r\n" + chunked, "1\r\na\r\n"));
    RawServer refusals(never_ends("HTTP/1.1 500 No\r\n" + chunked, "1\r\na\r\n"));
    RawServer refused_extensions(never_ends("HTTP/1.1 500 No\r\n" + chunked + "1;", std::string(1000, 'a')));
    RawServer blank_lines(never_ends("", "\r\n"));
    const std::vector<std::pair<std::string, std::string>> kinds = {{"200 with a chunk extension", extensions.url()},
                                                                    {"200 with chunks of a byte", small_chunks.url()},
                                                                    {"500 with chunks of a byte", refusals.url()},
                                                                    {"500 with a chunk extension", refused_extensions.url()},
                                                                    {"blank lines", blank_lines.url()}};
    int others = 0;
    for (const auto& [name, url] : kinds) {
        SCOPED_TRACE(name);
        const auto began = std::chrono::steady_clock::now();
        const std::string id = message_for(name, url);
        EXPECT_TRUE(wait_until([&] { return column("m.is_sent OR d.id IS NOT NULL", id) == "t"; }, std::chrono::seconds(30)));
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
        std::printf("%s without end: %.2f s, %s\n", name.c_str(), elapsed.count(), column("d.reason", id).c_str());
        EXPECT_LT(elapsed.count(), 5);
        EXPECT_EQ(column("m.is_sent", id), name.starts_with("200") ? "t" : "f");
        EXPECT_EQ(column("d.reason", id).ends_with("HTTP 500"), name.starts_with("500"));
        service_->sql(
            "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', id FROM messaging.endpoints, "
            "generate_series(1, 500) WHERE name = '" +
            name + "'");
        std::chrono::duration<double> longest{0};
        for (int i = 0; i < 5; ++i) {
            service_->sql("INSERT INTO messages (recipient, content) VALUES ('a', 'b')");
            const auto committed = std::chrono::steady_clock::now();
            ++others;
            EXPECT_TRUE(wait_until([&] { return default_.stat("received") == others; }));
            longest = std::max<std::chrono::duration<double>>(longest, std::chrono::steady_clock::now() - committed);
        }
        std::printf("beside 500 such answers another endpoint's message takes %.0f ms at most\n", longest.count() * 1e3);
        EXPECT_LT(longest.count(), 3) << "most of it is the flood of this very process, which takes both cores";
        service_->sql("DELETE FROM messages WHERE NOT is_sent");
    }
}

struct Asked {
    std::string name;
    std::string status_and_headers;
    double from_seconds;
    double to_seconds;
};

// Each look-up of its name stays on a thread of its own: curl gives them up at the deadline, they linger until the resolver does.
TEST_F(Receivers, ANameServerThatNeverAnswersHoldsUpNobodyElse) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "the sanitizer must be the first library, and the resolver is preloaded";
#endif
    constexpr int kMessages = 200;
    serve("1", {{"LD_PRELOAD", hanging_resolver()}});
    const std::string endpoint = service_->sql(
        "INSERT INTO messaging.endpoints (name, url) VALUES ('black hole', 'http://a.black-hole.test/') RETURNING id");
    constexpr int kLookUps = static_cast<int>(engine::kFirstLimit);  // as many as begin at once
    const auto insert = [&](const std::string& to, int count) {
        service_->sql("INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', " + to +
                      " FROM generate_series(1, " + std::to_string(count) + ")");
    };
    const long before = threads();
    insert(endpoint, kLookUps);
    ASSERT_TRUE(wait_until([&] { return threads() >= before + kLookUps; })) << "look-ups are under way";
    const auto began = std::chrono::steady_clock::now();
    insert("1", kMessages);
    ASSERT_TRUE(wait_until([&] { return default_.stat("distinct") == kMessages; }));
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
    double lag = 0;
    ASSERT_TRUE(wait_until([&] {
        lag = std::max(lag, longest_lag());
        return service_->sql("SELECT count(*) FROM messaging._dead") == std::to_string(kLookUps);
    }));
    EXPECT_EQ(service_->sql(
                  "SELECT string_agg(DISTINCT reason, '; ') FROM messaging._dead WHERE reason NOT LIKE 'Resolving timed out%'"),
              "");
    std::printf(
        "a name server that never answers: %d others sent after %.2f s, the longest a loop was late %.1f ms, %ld threads, "
        "resident memory %ld MB\n",
        kMessages, elapsed.count(), lag * 1e3, threads(), service_->resident_bytes() >> 20);
    EXPECT_LT(elapsed.count(), 5);
    EXPECT_LT(lag, kMaxLag);
    EXPECT_LT(service_->resident_bytes(), 100 << 20);
    const auto told = std::chrono::steady_clock::now();
    service_->send(SIGTERM);
    EXPECT_EQ(service_->wait(), 0);
    EXPECT_LT(std::chrono::steady_clock::now() - told, std::chrono::seconds(5)) << "lingering look-ups do not hold up the end";
}

TEST_F(Receivers, RetryAfterIsHonouredWithinReason) {
    serve("5");
    const std::string unavailable = "503 Service Unavailable\r\n";
    const std::vector<Asked> cases = {
        {"no Retry-After", unavailable, 0.4, 1.6},
        {"seconds", unavailable + "Retry-After: 100\r\n", 99, 101},
        {"429 with seconds", "429 Too Many Requests\r\nRetry-After: 200\r\n", 199, 201},
        {"a date long gone", unavailable + "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0.4, 1.6},
        {"a date far away", unavailable + "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n", 60, 86'401},
        {"absurd seconds", unavailable + "Retry-After: 99999999999999999999\r\n", 0.4, 86'401},
        {"negative seconds", unavailable + "Retry-After: -5\r\n", 0.4, 1.6},
        {"nonsense", unavailable + "Retry-After: soon\r\n", 0.4, 1.6},
    };
    std::deque<RawServer> servers;
    std::vector<std::string> ids;
    for (const Asked& one : cases) {
        servers.emplace_back(says("HTTP/1.1 " + one.status_and_headers + "Content-Length: 0\r\n\r\n"));
        ids.push_back(message_for(one.name, servers.back().url()));
    }
    for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(cases[i].name);
        const std::string delay = "round(extract(epoch FROM s.due_at - a.at), 2)";
        std::string asked;
        ASSERT_TRUE(wait_until([&] { return !(asked = column(delay, ids[i])).empty(); }));
        EXPECT_GE(std::stod(asked), cases[i].from_seconds);
        EXPECT_LE(std::stod(asked), cases[i].to_seconds * 2) << "the wait after a second attempt is twice as long";
        std::printf("%s: next attempt after %s s\n", cases[i].name.c_str(), asked.c_str());
    }
}

// A receiver that writes down what it accepts, and does everything else as well: refuses, sends what is no HTTP, resets, adds an
// acceptance that nobody asked for.
class MoodyReceiver {
public:
    std::string url() const { return server_.url(); }
    std::set<std::string> accepted() const {
        const std::lock_guard lock(mutex_);
        return accepted_;
    }

private:
    void serve(RawPeer& peer) {
        const std::string refusal = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
        for (std::string request = peer.read_request(); !request.empty(); request = peer.read_request()) {
            switch (count_++ % 8) {
                case 0: peer.send(refusal); break;
                case 1: peer.send("HTTP/1.1 204x\r\nContent-Length: 0\r\n\r\n"); break;
                case 2: peer.send("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"); break;
                case 3: peer.send(refusal + ok("{}")); break;
                case 4: return peer.reset();
                case 5:
                    write_down(request);
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                    return;
                default: write_down(request); peer.send(ok("{}"));
            }
        }
    }
    void write_down(const std::string& request) {
        const std::string name = "\r\nwebhook-id: ";
        const std::size_t begin = request.find(name) + name.size();
        const std::lock_guard lock(mutex_);
        accepted_.insert(request.substr(begin, request.find("\r\n", begin) - begin));
    }

    mutable std::mutex mutex_;
    std::set<std::string> accepted_;
    std::atomic<unsigned> count_{0};
    RawServer server_{[this](RawPeer& peer) { serve(peer); }};  // depends-on: all
};

// What a receiver has accepted, by its own account, is what is marked as sent, whoever lies and whatever is cut.
TEST(MoodyReceivers, WhatTheyAcceptedIsWhatIsMarkedAsSentBesideALyingRedisAndConnectionsThatAreCut) {
    constexpr int kMessages = 300;
    const std::string database = migrated(empty_database());
    TcpGate to_postgres(shared_postgres().port());
    const TlsReceiver tls("http/1.1");
    TcpGate to_tls(std::stoi(tls.url().substr(tls.url().rfind(':') + 1)));
    RawServer redis([](RawPeer& peer) {
        if (peer.read_until("PING\r\n")) peer.send("+PONG\r\n");
        while (peer.read_until("\r\n")) peer.send("+hello\r\n*1\r\n");
    });
    const RawServer never([](RawPeer& peer) {
        while (!peer.read_request().empty()) peer.send("HTTP/1.1 200\tOK\r\nContent-Length: 0\r\n\r\n");
    });
    MoodyReceiver moody;
    const std::string name = database.substr(database.find("@/") + 2, database.find('?') - database.find("@/") - 2);
    Service service({{"WEBHOOK_URL", moody.url()},
                     {"DATABASE_URL", "postgresql://postgres:" + std::string(PrivatePostgres::kPassword) +
                                          "@127.0.0.1:" + std::to_string(to_postgres.port()) + "/" + name},
                     {"REDIS_URL", "redis://127.0.0.1:" + std::to_string(redis.port())},
                     {"CA_CERTIFICATES", tls.certificate()},
                     {"API_TOKEN", "right"},
                     {"MAX_ATTEMPTS", "40"},
                     {"BACKOFF_BASE", "50ms"},
                     {"BACKOFF_CAP", "200ms"}},
                    database);
    const std::string to_all =
        "INSERT INTO messages (recipient, content, endpoint_id) SELECT 'a', 'b', e.id FROM "
        "messaging.endpoints e, generate_series(1, " +
        std::to_string(kMessages) + ")";
    service.sql("INSERT INTO messaging.endpoints (name, url) VALUES ('tls', 'https://127.0.0.1:" + std::to_string(to_tls.port()) +
                "/'), ('never', '" + never.url() + "')");
    service.sql(to_all);
    const std::string one = R"({"recipient":"a","content":"b"})";
    EXPECT_EQ(call("POST", service.url("/messages"), one).status, 401);
    for (int i = 0; i < 10; ++i) {
        EXPECT_EQ(call("POST", service.url("/messages"), one, {{"Authorization", "Bearer wrong"}}).status, 401);
        call("POST", service.url("/messages"), one, {{"Authorization", "Bearer right"}});  // 503 where it is cut, too
        to_postgres.cut();
        to_tls.cut();
        const auto next = std::chrono::steady_clock::now() + milliseconds(300);
        wait_until([&] { return std::chrono::steady_clock::now() >= next; });
    }
    EXPECT_TRUE(wait_until(
        [&] {
            return service.sql(
                       "SELECT count(*) FROM messages m JOIN messaging.endpoints e ON e.id = m.endpoint_id WHERE NOT m.is_sent "
                       "AND "
                       "e.name <> 'never' AND NOT EXISTS (SELECT FROM messaging._dead d WHERE d.id = m.id)") == "0";
        },
        std::chrono::minutes(2)))
        << service.output();
    const auto sent_to = [&](const std::string& endpoint) {
        std::istringstream ids(
            service.sql("SELECT string_agg(messaging.webhook_id(m.id), ' ') FROM messages m JOIN messaging.endpoints e ON e.id = "
                        "m.endpoint_id WHERE m.is_sent AND e.name = '" +
                        endpoint + "'"));
        return std::set<std::string>(std::istream_iterator<std::string>(ids), {});
    };
    EXPECT_EQ(sent_to("default"), moody.accepted());
    EXPECT_GE(moody.accepted().size(), static_cast<std::size_t>(kMessages));
    EXPECT_EQ(sent_to("never").size(), 0u);
    EXPECT_EQ(sent_to("tls").size(), static_cast<std::size_t>(kMessages));
    EXPECT_EQ(tls.stat("distinct"), kMessages);
    EXPECT_EQ(service.sql("SELECT count(*) FROM messaging.misplaced()"), "0");
    EXPECT_TRUE(service.running());
}

// 182 to 191 of 200 were marked as sent, and none was accepted.
TEST_F(Receivers, WhatIsSentUnaskedAfterARefusalMarksNothingAsSent) {
    RawServer liar([](RawPeer& peer) {
        while (!peer.read_request().empty()) {
            peer.send("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno");
            std::this_thread::sleep_for(milliseconds(100));  // the receiver's own pace: the connection is idle by then
            peer.send(ok(R"({"messageId":"unasked"})"));
        }
    });
    const std::string database = migrated(empty_database());
    const Service service({{"WEBHOOK_URL", liar.url()},
                           {"BACKOFF_BASE", "300ms"},
                           {"BACKOFF_CAP", "300ms"},
                           {"MAX_ATTEMPTS", "6"},
                           {"ENDPOINT_MAX_IN_FLIGHT", "4"}},
                          database);
    commit_messages(database, 200);
    auto session = connect_or_abort(database);
    const auto number = [&](const char* sql) { return session.execute(sql)->bigint(0, 0); };
    EXPECT_TRUE(wait_until([&] { return number("SELECT count(*) FROM messaging._dead") == 200; }, std::chrono::seconds(60)));
    EXPECT_EQ(number("SELECT count(*) FROM messages WHERE is_sent"), 0);
}

// The service died within 70 answers, and at each start again.
TEST_F(Receivers, AFirstHeaderThatBeginsWithABlankIsAnAnswerLikeAnyOther) {
    std::atomic<unsigned> answers{0};
    RawServer odd([&](RawPeer& peer) {
        while (!peer.read_request().empty()) {
            peer.send(++answers % 2 == 0 ? "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 0\r\n\r\n"
                                         : "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n");
        }
    });
    const std::string database = migrated(empty_database());
    Service service({{"WEBHOOK_URL", odd.url()}}, database);
    commit_messages(database, 2000);
    auto session = connect_or_abort(database);
    EXPECT_TRUE(wait_until([&] { return session.execute("SELECT count(*) FROM messages WHERE is_sent")->bigint(0, 0) == 2000; },
                           std::chrono::seconds(30)));
    EXPECT_EQ(http_get(service.url("/livez")).status, 200);
}

}  // namespace
}  // namespace messaging::test
