// Starting the real things on Unix sockets and free ports.
#include "support/world.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "support/contract.h"
#include "support/loopback.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"

namespace messaging::test {
namespace {

PrivateRedis& shared_redis() {
    static PrivateRedis redis;
    return redis;
}

std::string text_after(const std::string& text, const std::string& marker) {
    const auto begin = text.find(marker);
    if (begin == std::string::npos) return "";
    const auto end = text.find_first_of(" \n", begin + marker.size());
    return end == std::string::npos ? "" : text.substr(begin + marker.size(), end - begin - marker.size());
}

}  // namespace

HttpReply call(const std::string& method, const std::string& url, const std::string& body, http::Headers headers) {
    const auto names_type = [](const auto& header) { return header.first == "Content-Type"; };
    if (!body.empty() && std::none_of(headers.begin(), headers.end(), names_type)) {
        headers.emplace_back("Content-Type", "application/json");
    }
    HttpReply reply = http_call({method, url, headers, body});
    if (reply.header("x-request-id")) {  // the service's API, and nobody else, sends it
        const std::string target = url.substr(url.find('/', url.find("//") + 2));
        EXPECT_EQ(contract().breach(method, target.substr(0, target.find('?')), reply), "");
    }
    return reply;
}

double sample(const std::string& metrics, const std::string& name) {
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with(name + " ")) return std::stod(line.substr(name.size() + 1));
    }
    return -1;
}

std::string migrated(const std::string& url) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "migrate", "up"};
    options.environment = {{"DATABASE_URL", url}, {"MIGRATIONS_DIR", migrations_dir()}};
    const CommandResult outcome = run_command(options);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    return url;
}

Receiver::Receiver(std::vector<std::string> extra) {
    ProcessOptions options;
    options.arguments = {messaging_binary(), "receiver", "--port", "0", "--quiet"};
    options.arguments.insert(options.arguments.end(), extra.begin(), extra.end());
    options.output_file = directory_.path() + "/log";
    process_ = std::make_unique<Process>(options);
    wait_until([&] { return !(url_ = text_after(read_text_file(options.output_file), "listening on ")).empty(); });
    EXPECT_FALSE(url_.empty()) << read_text_file(options.output_file);
}

long Receiver::stat(const std::string& name) const {
    const auto document = core::JsonDocument::parse(call("GET", url_ + "stats").body);
    if (!document) return -1;
    const auto value = document->root().member(name);
    return value ? std::atol(std::string(value->text()).c_str()) : -1;
}

ProcessOptions Service::process(const Environment& environment, const std::string& database_url) {
    Environment all = {{"DATABASE_URL", database_url},
                       {"REDIS_URL", shared_redis().url()},
                       {"PORT", "0"},
                       {"MIGRATIONS_DIR", migrations_dir()},
                       {"ALLOWED_NETWORKS", kLoopbackNetworks}};
    for (const auto& [name, value] : environment) all[name] = value;
    ProcessOptions options;
    options.arguments = {messaging_binary(), "serve"};
    options.environment.assign(all.begin(), all.end());
    return options;
}

Service::Service(const Environment& environment, const std::string& database_url)
    : database_url_(database_url.empty() ? migrated(empty_database()) : database_url), log_(directory_.path() + "/log") {
    ProcessOptions options = process(environment, database_url_);
    options.output_file = log_;
    process_ = std::make_unique<Process>(options);
    wait_until([this] {
        url_ = text_after(output(), "the API listens on ");
        return !url_.empty() || !process_->running();
    });
    if (!url_.empty()) url_.pop_back();  // paths bring their slash
    EXPECT_TRUE(wait_until([this] { return call("GET", url("/readyz")).status == 200; })) << output();
}

Service::~Service() { EXPECT_TRUE(process_->stop(SIGTERM).has_value()) << "did not end: " << output(); }

double Service::metric(const std::string& series) const {
    const std::string text = "\n" + call("GET", url("/metrics")).body;
    const auto at = text.find("\n" + series + " ");
    return at == std::string::npos ? -1 : std::strtod(text.c_str() + at + series.size() + 2, nullptr);
}

long Service::resident_bytes() const {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    return test::resident_bytes(pid());
#endif
}

std::string Service::sql(const std::string& text) {
    auto session = pg::Session::connect(database_url_, "test");
    if (!session) {
        ADD_FAILURE() << session.error().message;
        return "";
    }
    const auto rows = session->execute(text.c_str());
    if (!rows) {
        ADD_FAILURE() << text << ": " << rows.error().message;
        return "";
    }
    return rows->size() > 0 && !rows->is_null(0, 0) ? std::string(rows->text(0, 0)) : "";
}

}  // namespace messaging::test
