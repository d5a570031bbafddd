// Options of a request, its callbacks, and the meaning of curl's codes.
#include "http/transfer.h"

#include <strings.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace messaging::http {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64u << 10;  // of an answer's headers, all together

TransportFault fault_of(CURLcode code, long os_error) {
    if (os_error == EMFILE || os_error == ENFILE || os_error == ENOBUFS || os_error == ENOMEM) return TransportFault::kLocal;
    switch (code) {
        case CURLE_OK: return TransportFault::kNone;
        case CURLE_OPERATION_TIMEDOUT: return TransportFault::kTimeout;
        case CURLE_COULDNT_RESOLVE_HOST: return TransportFault::kDns;
        case CURLE_COULDNT_CONNECT:
        case CURLE_INTERFACE_FAILED: return TransportFault::kConnect;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_INVALIDCERTSTATUS: return TransportFault::kTls;
        case CURLE_OUT_OF_MEMORY:
        case CURLE_FAILED_INIT:
        case CURLE_ABORTED_BY_CALLBACK:
        case CURLE_COULDNT_RESOLVE_PROXY: return TransportFault::kLocal;
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL: return TransportFault::kInvalidRequest;
        default: return TransportFault::kProtocol;
    }
}

bool has_line_break(std::string_view text) { return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos; }

}  // namespace

Transfer::Transfer(const ClientOptions& options) : options_(options), easy_(curl_easy_init()) {
    if (easy_) set_constant_options();
}

void Transfer::set_constant_options() {
    CURL* const easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_PRIVATE, this);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text_);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // the environment's proxy is not the receiver's
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // a name server that never answers must not hold up the end
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
}

bool Transfer::prepare(PostRequest request, Client::Completion done) {
    request_ = std::move(request);
    done_ = std::move(done);
    partial_ = {};
    received_bytes_ = 0;
    header_bytes_ = 0;
    body_cut_ = false;
    error_text_[0] = '\0';
    if (!easy_) {
        partial_.fault = TransportFault::kLocal;
        partial_.fault_detail = "out of memory for a request";
        return false;
    }
    headers_.reset();
    for (const auto& [name, value] : request_.headers) {
        if (has_line_break(name) || has_line_break(value)) {
            partial_.fault = TransportFault::kInvalidRequest;
            partial_.fault_detail = "the header " + name.substr(0, 64) + " contains a line break";
            return false;
        }
        headers_.reset(curl_slist_append(headers_.release(), (name + ": " + value).c_str()));
    }
    // Without this curl asks before it sends a large body, and waits up to a second for the answer.
    headers_.reset(curl_slist_append(headers_.release(), "Expect:"));
    CURL* const easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request_.timeout.count()));
    return true;
}

PostResult Transfer::failure() const { return partial_; }

PostResult Transfer::result(CURLcode code) const {
    PostResult result = partial_;
    long status = 0;
    long os_error = 0;
    curl_off_t microseconds = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os_error);
    curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME_T, &microseconds);
    result.duration = std::chrono::microseconds(microseconds);
    const bool stopped_by_us = code == CURLE_WRITE_ERROR && body_cut_;
    if (code == CURLE_OK || stopped_by_us) {
        result.status = static_cast<int>(status);
        return result;
    }
    result.fault = fault_of(code, os_error);
    result.fault_detail = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(code);
    return result;
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    transfer.received_bytes_ += bytes;
    if (transfer.received_bytes_ > transfer.options_.max_received_bytes) {
        transfer.body_cut_ = true;
        transfer.partial_.body_truncated = true;
        return 0;  // ends the transfer with CURLE_WRITE_ERROR
    }
    std::string& body = transfer.partial_.body;
    const std::size_t kept = std::min(bytes, transfer.options_.max_response_bytes - body.size());
    body.append(data, kept);
    if (kept < bytes) transfer.partial_.body_truncated = true;
    return bytes;
}

std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    transfer.header_bytes_ += bytes;
    if (transfer.header_bytes_ > kMaxHeaderBytes) return 0;
    constexpr std::string_view kRetryAfter = "retry-after:";
    const std::string_view line(data, bytes);
    if (line.size() > kRetryAfter.size() && strncasecmp(line.data(), kRetryAfter.data(), kRetryAfter.size()) == 0) {
        std::string_view value = line.substr(kRetryAfter.size());
        while (!value.empty() && (value.back() == '\r' || value.back() == '\n')) value.remove_suffix(1);
        transfer.partial_.retry_after = value.substr(0, 128);
    }
    return bytes;
}

}  // namespace messaging::http
