// Starting the real things on Unix sockets and free ports.
#include "support/world.h"

#include <curl/curl.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "http/handles.h"
#include "support/places.h"
#include "support/private_postgres.h"
#include "support/private_redis.h"

namespace messaging::test {
namespace {

std::size_t append(char* data, std::size_t size, std::size_t count, void* out) {
    static_cast<std::string*>(out)->append(data, size * count);
    return size * count;
}

PrivateRedis& shared_redis() {
    static PrivateRedis redis;
    return redis;
}

// Migrated by the program itself, so that it will serve it.
std::string migrated_database() {
    const std::string url = empty_database();
    ProcessOptions options;
    options.arguments = {messaging_binary(), "migrate", "up"};
    options.environment = {{"DATABASE_URL", url}, {"MIGRATIONS_DIR", migrations_dir()}};
    const CommandResult migrated = run_command(options);
    EXPECT_EQ(migrated.exit_code, 0) << migrated.output;
    return url;
}

std::string text_after(const std::string& text, const std::string& marker) {
    const auto begin = text.find(marker);
    if (begin == std::string::npos) return "";
    const auto end = text.find_first_of(" \n", begin + marker.size());
    return end == std::string::npos ? "" : text.substr(begin + marker.size(), end - begin - marker.size());
}

}  // namespace

HttpAnswer call(const std::string& method, const std::string& url, const std::string& body,
                const std::vector<std::string>& headers) {
    HttpAnswer answer;
    const http::EasyHandle easy(curl_easy_init());
    http::SlistHandle list;
    for (const std::string& header : headers) list.reset(curl_slist_append(list.release(), header.c_str()));
    curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, list.get());
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 20000L);
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(easy.get(), CURLOPT_HEADERFUNCTION, append);
    curl_easy_setopt(easy.get(), CURLOPT_HEADERDATA, &answer.headers);
    if (method != "GET") {
        curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
        curl_easy_setopt(easy.get(), CURLOPT_COPYPOSTFIELDS, body.c_str());
        curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
    }
    long status = 0;
    if (curl_easy_perform(easy.get()) == CURLE_OK) curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
    return answer;
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

Service::Service(const Environment& environment, const std::string& database_url)
    : database_url_(database_url.empty() ? migrated_database() : database_url), log_(directory_.path() + "/log") {
    Environment all = {{"DATABASE_URL", database_url_},
                       {"REDIS_URL", shared_redis().url()},
                       {"PORT", "0"},
                       {"MIGRATIONS_DIR", migrations_dir()}};
    for (const auto& [name, value] : environment) all[name] = value;
    ProcessOptions options;
    options.arguments = {messaging_binary(), "serve"};
    options.environment.assign(all.begin(), all.end());
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
