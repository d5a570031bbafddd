// The limit: curl multi on libevent and nothing else, sending the same request over and over to one receiver.
//   bench_ceiling URL REQUESTS IN_FLIGHT     prints requests per second
#include <curl/curl.h>
#include <event2/event.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

// What the service sends too, with a body of the same size.
constexpr const char* kHeaders[] = {"Content-Type: application/json", "webhook-id: msg_1234567", "webhook-timestamp: 1800000000",
                                    "Expect:"};

struct Run {
    event_base* base = event_base_new();
    CURLM* multi = curl_multi_init();
    event* timer = nullptr;
    curl_slist* headers = nullptr;
    std::string body = R"({"to":"+905551111111","content":")" + std::string(64, 'x') + "\"}";
    long to_start = 0;
    long to_finish = 0;
    long failed = 0;
};

std::size_t ignore(char*, std::size_t size, std::size_t count, void*) noexcept { return size * count; }

void harvest(Run& run) {
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(run.multi, &left)) {
        CURL* const easy = message->easy_handle;
        run.failed += message->data.result == CURLE_OK ? 0 : 1;
        curl_multi_remove_handle(run.multi, easy);
        if (--run.to_finish == 0) event_base_loopbreak(run.base);
        if (run.to_start > 0) {
            --run.to_start;
            curl_multi_add_handle(run.multi, easy);
        }
    }
}

void act(Run& run, curl_socket_t socket, int what) {
    int running = 0;
    curl_multi_socket_action(run.multi, socket, what, &running);
    harvest(run);
}

void on_socket_event(evutil_socket_t socket, short what, void* run) noexcept {
    act(*static_cast<Run*>(run), socket,
        ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) | ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

void on_timeout(evutil_socket_t, short, void* run) noexcept { act(*static_cast<Run*>(run), CURL_SOCKET_TIMEOUT, 0); }

int on_socket(CURL*, curl_socket_t socket, int what, void* context, void* watcher) noexcept {
    auto* const run = static_cast<Run*>(context);
    auto* old = static_cast<event*>(watcher);
    if (old != nullptr) event_free(old);
    event* fresh = nullptr;
    if (what != CURL_POLL_REMOVE) {
        const int kind = EV_PERSIST | ((what & CURL_POLL_IN) != 0 ? EV_READ : 0) | ((what & CURL_POLL_OUT) != 0 ? EV_WRITE : 0);
        fresh = event_new(run->base, socket, static_cast<short>(kind), on_socket_event, run);
        event_add(fresh, nullptr);
    }
    curl_multi_assign(run->multi, socket, fresh);
    return 0;
}

int on_timer(CURLM*, long milliseconds, void* context) noexcept {
    auto* const run = static_cast<Run*>(context);
    const timeval delay{milliseconds / 1000, (milliseconds % 1000) * 1000};
    if (milliseconds < 0) {
        event_del(run->timer);
    } else {
        event_add(run->timer, &delay);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fputs("usage: bench_ceiling URL REQUESTS IN_FLIGHT\n", stderr);
        return 64;
    }
    Run run;
    run.to_finish = std::atol(argv[2]);
    const long in_flight = std::atol(argv[3]);
    run.timer = event_new(run.base, -1, 0, on_timeout, &run);
    curl_multi_setopt(run.multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(run.multi, CURLMOPT_SOCKETDATA, &run);
    curl_multi_setopt(run.multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(run.multi, CURLMOPT_TIMERDATA, &run);
    curl_multi_setopt(run.multi, CURLMOPT_MAXCONNECTS, 2 * in_flight);
    for (const char* header : kHeaders) run.headers = curl_slist_append(run.headers, header);
    std::vector<CURL*> easies;
    for (long i = 0; i < in_flight; ++i) {
        CURL* const easy = easies.emplace_back(curl_easy_init());
        curl_easy_setopt(easy, CURLOPT_URL, argv[1]);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, run.headers);
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "messaging-system");
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(run.body.size()));
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, run.body.data());
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, ignore);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    }
    const auto began = std::chrono::steady_clock::now();
    run.to_start = run.to_finish - in_flight;
    for (CURL* const easy : easies) curl_multi_add_handle(run.multi, easy);
    event_base_dispatch(run.base);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
    std::printf("%.0f\n", static_cast<double>(std::atol(argv[2])) / elapsed.count());
    for (CURL* const easy : easies) {
        curl_multi_remove_handle(run.multi, easy);
        curl_easy_cleanup(easy);
    }
    curl_multi_cleanup(run.multi);
    curl_slist_free_all(run.headers);
    event_free(run.timer);
    event_base_free(run.base);
    return run.failed == 0 ? 0 : 1;
}
