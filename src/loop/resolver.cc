// Name look-ups by evdns, one base per look-up, so that a changed resolv.conf is seen.
#include "loop/resolver.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <utility>

namespace messaging::loop {
namespace {

bool is_numeric(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    return inet_pton(AF_INET, host.c_str(), address.data()) == 1 || inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

std::vector<std::string> addresses_of(const evutil_addrinfo* first) {
    std::vector<std::string> addresses;
    for (const evutil_addrinfo* info = first; info != nullptr; info = info->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        const int failed = getnameinfo(info->ai_addr, info->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
        if (failed != 0) continue;
        std::string address = text.data();
        if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(std::move(address));
    }
    return addresses;
}

}  // namespace

// Alive while evdns or a posted answer may still call back; `done` is empty once dropped.
struct Resolver::Lookup {
    std::string host;
    Completion done;
    EventLoop* loop = nullptr;
    EvdnsBaseHandle dns;
    evdns_getaddrinfo_request* request = nullptr;
    std::shared_ptr<Lookup> self;  // held while evdns has our address

    static void on_answer(int error, evutil_addrinfo* info, void* argument) noexcept {
        auto* const lookup = static_cast<Lookup*>(argument);
        const std::shared_ptr<Lookup> keep = std::move(lookup->self);
        lookup->request = nullptr;
        lookup->answer = error == 0 ? addresses_of(info) : std::vector<std::string>{};
        lookup->error = error;
        if (info != nullptr) evutil_freeaddrinfo(info);
        // Later: never inside start_resolve(), and never under evdns, whose base goes with the look-up.
        lookup->loop->post([keep] { keep->complete(); });
    }
    void complete() {
        if (!done) return;
        const Completion completion = std::exchange(done, nullptr);
        if (answer.empty()) {
            completion(core::Error{core::ErrorKind::kUnavailable,
                                   "the name " + host + " cannot be resolved: " + evutil_gai_strerror(error)});
        } else {
            completion(std::move(answer));
        }
    }
    std::vector<std::string> answer;
    int error = 0;
};

Resolver::Resolver(EventLoop& loop) : loop_(loop) {}

Resolver::~Resolver() { cancel(); }

void Resolver::cancel() {
    if (!lookup_) return;
    lookup_->done = nullptr;
    if (lookup_->request != nullptr) evdns_getaddrinfo_cancel(lookup_->request);
    lookup_.reset();
}

void Resolver::start_resolve(const std::string& host, Completion done) {
    cancel();
    lookup_ = std::make_shared<Lookup>();
    lookup_->host = host;
    lookup_->done = std::move(done);
    if (is_numeric(host)) {
        lookup_->answer = {host};
        loop_.post([lookup = lookup_] { lookup->complete(); });
        return;
    }
    lookup_->dns.reset(evdns_base_new(loop_.base(), EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE));
    lookup_->loop = &loop_;
    lookup_->self = lookup_;
    evutil_addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_protocol = IPPROTO_TCP;
    Lookup& lookup = *lookup_;
    evdns_getaddrinfo_request* const request =
        evdns_getaddrinfo(lookup.dns.get(), host.c_str(), nullptr, &hints, &Lookup::on_answer, &lookup);
    if (lookup.self) lookup.request = request;
}

}  // namespace messaging::loop
