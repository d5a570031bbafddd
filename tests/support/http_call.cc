// Blocking calls on curl easy.
#include "support/http_call.h"

#include <curl/curl.h>

#include <algorithm>

#include "http_client/handles.h"

namespace messaging::test {
namespace {

std::size_t add_body(char* data, std::size_t size, std::size_t count, void* reply) noexcept {
    static_cast<HttpReply*>(reply)->body.append(data, size * count);
    return size * count;
}

std::size_t add_header(char* data, std::size_t size, std::size_t count, void* reply) noexcept {
    const std::string_view line(data, size * count);
    auto& headers = static_cast<HttpReply*>(reply)->headers;
    const std::size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) {
        headers.clear();  // of an interim answer
    } else if (colon != std::string_view::npos) {
        const std::size_t begin = std::min(line.find_first_not_of(" \t", colon + 1), line.size());
        const std::string_view value = line.substr(begin);
        headers.emplace_back(line.substr(0, colon), value.substr(0, value.find_last_not_of(" \t\r\n") + 1));
    }
    return line.size();
}

}  // namespace

std::optional<std::string_view> HttpReply::header(std::string_view name) const {
    for (const auto& [key, value] : headers) {
        if (key.size() == name.size() && curl_strnequal(key.data(), name.data(), name.size()) != 0) return value;
    }
    return std::nullopt;
}

HttpReply http_call(const HttpCall& call) {
    HttpReply reply;
    const http_client::EasyHandle easy(curl_easy_init());
    http_client::SlistHandle headers;
    for (const auto& [name, value] : call.headers) {
        headers.reset(curl_slist_append(headers.release(), (name + ": " + value).c_str()));
    }
    headers.reset(curl_slist_append(headers.release(), "Expect:"));
    curl_easy_setopt(easy.get(), CURLOPT_URL, call.url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy.get(), CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(call.timeout.count()));
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &add_body);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, &reply);
    curl_easy_setopt(easy.get(), CURLOPT_HEADERFUNCTION, &add_header);
    curl_easy_setopt(easy.get(), CURLOPT_HEADERDATA, &reply);
    if (call.method == "HEAD") {
        curl_easy_setopt(easy.get(), CURLOPT_NOBODY, 1L);
    } else if (call.method != "GET" || !call.body.empty()) {
        curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, call.method.c_str());
        curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
        curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, call.body.data());
    }
    const CURLcode code = curl_easy_perform(easy.get());
    long status = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    reply.status = static_cast<int>(status);
    if (code != CURLE_OK) reply.error = curl_easy_strerror(code);
    return reply;
}

HttpReply http_get(const std::string& url) { return http_call({"GET", url, {}, "", HttpCall().timeout}); }

HttpReply http_post(const std::string& url, const std::string& body) {
    return http_call({"POST", url, {{"Content-Type", "application/json"}}, body, HttpCall().timeout});
}

}  // namespace messaging::test
