// Insert-to-received: inserts single rows at a steady rate and is itself the receiver.
//   bench_latency PORT DATABASE_URL RATE SECONDS CONNECTIONS [INSERT [WARM_UP]]
// INSERT is the statement, prepared once on each connection, with $1 = recipient and $2 = content, which is the number of the
// message; by default that of this project. WARM_UP is how many messages are inserted before those that count. Prints the
// milliseconds from before the INSERT until the request was read: median, p99, largest; how many were lost; the median of the
// INSERT by itself, until its commit was answered; and the messages per second, from the first INSERT to the last request.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/json.h"
#include "http_server/server.h"
#include "loop/event_loop.h"
#include "pg/handles.h"

namespace {

using Clock = std::chrono::steady_clock;
using namespace messaging;  // NOLINT(google-build-using-namespace)

constexpr std::chrono::seconds kPatience{30};
constexpr std::size_t kWarmUp = 50;
constexpr const char* kInsert = "INSERT INTO messages (recipient, content) VALUES ($1::text, $2::text)";

struct Bench {
    explicit Bench(std::size_t messages) : inserted(messages), committed(messages), received(messages) {}
    std::vector<Clock::time_point> inserted;   // by number; each written by one thread, before its message can arrive
    std::vector<Clock::time_point> committed;  // of the same thread
    std::vector<Clock::time_point> received;   // of the receiver's thread, until arrived is complete
    std::mutex mutex;
    std::condition_variable all_here;
    std::size_t arrived = 0;  // under the mutex
};

void receive(Bench& bench, const http::Request& request) {
    const auto now = Clock::now();
    const auto document = core::JsonDocument::parse(request.body);
    if (!document) return;
    const auto number = static_cast<std::size_t>(std::atol(std::string(document->root().member("content")->text()).c_str()));
    if (number >= bench.received.size() || bench.received[number] != Clock::time_point{}) return;
    bench.received[number] = now;
    const std::lock_guard<std::mutex> lock(bench.mutex);
    if (++bench.arrived == bench.received.size()) bench.all_here.notify_all();
}

[[noreturn]] void fail(PGconn* session) {
    std::fputs(PQerrorMessage(session), stderr);
    std::exit(1);
}

// Inserts every `connections`-th message from `first` on, each at its own time.
void insert(Bench& bench, const std::string& url, const char* statement, std::size_t first, std::size_t end,
            std::size_t connections, Clock::time_point began, double rate) {
    const pg::ConnHandle session(PQconnectdb(url.c_str()));
    const pg::ResultHandle prepared(PQprepare(session.get(), "insert", statement, 2, nullptr));
    if (PQresultStatus(prepared.get()) != PGRES_COMMAND_OK) fail(session.get());
    for (std::size_t i = first; i < end; i += connections) {
        std::this_thread::sleep_until(
            began + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(static_cast<double>(i) / rate)));
        const std::string content = std::to_string(i);
        const char* const values[] = {"+905551111111", content.c_str()};
        bench.inserted[i] = Clock::now();
        const pg::ResultHandle done(PQexecPrepared(session.get(), "insert", 2, values, nullptr, nullptr, 0));
        if (PQresultStatus(done.get()) != PGRES_COMMAND_OK && PQresultStatus(done.get()) != PGRES_TUPLES_OK) fail(session.get());
        bench.committed[i] = Clock::now();
    }
}

// Of the messages that count and that have both moments.
std::vector<double> sorted_ms(const std::vector<Clock::time_point>& from, const std::vector<Clock::time_point>& until,
                              std::size_t warm_up) {
    std::vector<double> milliseconds;
    for (std::size_t i = warm_up; i < until.size(); ++i) {
        if (until[i] == Clock::time_point{}) continue;
        milliseconds.push_back(std::chrono::duration<double, std::milli>(until[i] - from[i]).count());
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    return milliseconds;
}

double at(const std::vector<double>& sorted, double share) {
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 6 || argc > 8) {
        std::fputs("usage: bench_latency PORT DATABASE_URL RATE SECONDS CONNECTIONS [INSERT [WARM_UP]]\n", stderr);
        return 64;
    }
    const double rate = std::atof(argv[3]);
    const auto counted = static_cast<std::size_t>(rate * std::atof(argv[4]));
    const auto connections = static_cast<std::size_t>(std::atol(argv[5]));
    const char* const statement = argc > 6 ? argv[6] : kInsert;
    const std::size_t warm_up = argc > 7 ? static_cast<std::size_t>(std::atol(argv[7])) : kWarmUp;
    Bench bench(warm_up + counted);
    loop::EventLoop loop;
    http_server::ServerOptions options;
    options.port = std::atoi(argv[1]);
    auto server = http_server::Server::listen(
        loop, std::move(options), [&](const http::Request& request, http_server::Responder responder) {
            receive(bench, request);
            responder.send({200, "application/json", {}, R"({"message":"Accepted","messageId":"b"})"});
        });
    if (!server) {
        std::fprintf(stderr, "%s\n", server.error().message.c_str());
        return 1;
    }
    std::thread serving([&] { loop.run(); });
    const auto began = Clock::now();
    std::vector<std::thread> inserters;
    for (std::size_t i = 0; i < connections; ++i) {
        inserters.emplace_back([&, i] { insert(bench, argv[2], statement, i, bench.inserted.size(), connections, began, rate); });
    }
    for (std::thread& inserter : inserters) inserter.join();
    {
        std::unique_lock<std::mutex> lock(bench.mutex);
        bench.all_here.wait_for(lock, kPatience, [&] { return bench.arrived == bench.received.size(); });
    }
    loop.stop();
    serving.join();
    const std::vector<double> arrival = sorted_ms(bench.inserted, bench.received, warm_up);
    const std::vector<double> commit = sorted_ms(bench.inserted, bench.committed, warm_up);
    if (arrival.empty()) return 1;
    const Clock::time_point last =
        *std::max_element(bench.received.begin() + static_cast<std::ptrdiff_t>(warm_up), bench.received.end());
    const std::chrono::duration<double> took = last - bench.inserted[warm_up];
    std::printf(
        "{\"median_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, \"lost\": %zu, \"commit_ms\": %.3f, \"per_second\": %.1f}\n",
        at(arrival, 0.5), at(arrival, 0.99), at(arrival, 1.0), counted - arrival.size(), at(commit, 0.5),
        static_cast<double>(arrival.size()) / took.count());
    server.value().reset();
    return 0;
}
