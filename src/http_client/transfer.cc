// Options of a request, its callbacks, and the meaning of curl's codes.
#include "http_client/transfer.h"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "http/reserved_headers.h"
#include "http/text.h"
#include "http_client/shortage.h"
#include "http_client/tls_session.h"

namespace messaging::http_client {
namespace {

constexpr std::size_t kOwnHeaders = 2;                   // of a request, behind the caller's
constexpr std::size_t kMaxUnansweredBytes = 256u << 10;  // on the wire, handshake included, before the final status
constexpr std::size_t kMaxRefusalBytes = 32u << 10;      // on the wire, of an answer that is no 2xx: its body is of no use
constexpr std::size_t kMaxBodyParts = 4096;  // chunks, mostly: of a byte each they cost a hundred times what their bytes do
constexpr int kMaxUnfit = 3;                 // connections that a request tries
constexpr unsigned kSafeToUseAgain = 0x080101;
constexpr std::string_view kHttps = "https:";

// libcurl before 8.1.1 keeps a pointer to the last header of a handle's last answer beyond that header's end; an answer whose
// first header line begins with a blank then writes through it (curl issue 11101). A new handle for each request costs 0.7 µs.
bool handles_can_be_used_again() {
    static const bool can = curl_version_info(CURLVERSION_NOW)->version_num >= kSafeToUseAgain;
    return can;
}

bool is_shortage(long os_error) { return os_error == EMFILE || os_error == ENFILE || os_error == ENOBUFS || os_error == ENOMEM; }

// A look-up is a thread with some descriptors of its own. curl says when the thread could not be started, and not why a look-up
// failed.
bool lacked_means(CURLcode code, std::string_view error_text) {
    if (code != CURLE_COULDNT_RESOLVE_HOST) return false;
    if (error_text.find("thread failed to start") != std::string_view::npos) note_shortage();
    return was_short_lately();
}

core::AttemptFault fault_of(CURLcode code) {
    switch (code) {
        case CURLE_OK: return core::AttemptFault::kNone;
        case CURLE_OPERATION_TIMEDOUT: return core::AttemptFault::kTimeout;
        case CURLE_COULDNT_RESOLVE_HOST: return core::AttemptFault::kDns;
        case CURLE_COULDNT_CONNECT:
        case CURLE_INTERFACE_FAILED: return core::AttemptFault::kConnect;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CERTPROBLEM:
        case CURLE_SSL_CIPHER:
        case CURLE_SSL_ISSUER_ERROR:
        case CURLE_SSL_CACERT_BADFILE:
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        case CURLE_SSL_INVALIDCERTSTATUS: return core::AttemptFault::kTls;
        case CURLE_OUT_OF_MEMORY:
        case CURLE_FAILED_INIT:
        case CURLE_ABORTED_BY_CALLBACK:
        case CURLE_COULDNT_RESOLVE_PROXY: return core::AttemptFault::kLocal;
        case CURLE_URL_MALFORMAT:
        case CURLE_UNSUPPORTED_PROTOCOL: return core::AttemptFault::kInvalidRequest;
        case CURLE_GOT_NOTHING:
        case CURLE_RECV_ERROR:
        case CURLE_SEND_ERROR: return core::AttemptFault::kReset;
        default: return core::AttemptFault::kProtocol;
    }
}

bool has_line_break(std::string_view text) { return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos; }

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t") == std::string_view::npos; }

}  // namespace

Transfer::Transfer(const ClientOptions& options, Sockets& sockets)
    : options_(options), sockets_(sockets), easy_(curl_easy_init()) {
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
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Transfer::on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, this);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &Transfer::on_close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, &sockets_);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &Transfer::on_tls_context);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, static_cast<long>(kMaxReadBytes));
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, &Transfer::before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, this);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");  // the environment's proxy is not the receiver's
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_CURLU, url_.get());
    // Without CURLOPT_PIPEWAIT: it would have requests wait for a receiver that hangs in the handshake, past their deadlines.
    const long version = options_.http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
    if (!options_.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);  // a name server that never answers must not hold up the end
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, static_cast<long>(kNameCacheTime.count()));
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
}

void Transfer::fail(core::AttemptFault fault, std::string detail) {
    partial_.fault = fault;
    partial_.fault_detail = std::move(detail);
}

// Read once and kept: a handle mostly sends to where it has sent before.
bool Transfer::set_url() {
    if (!url_text_.empty() && request_.url == url_text_) return true;
    url_text_.clear();
    curl_url_set(url_.get(), CURLUPART_URL, nullptr, 0);  // else a relative one would be joined to what was there
    const CURLUcode code = curl_url_set(url_.get(), CURLUPART_URL, request_.url.c_str(), 0);
    if (code != CURLUE_OK) {
        fail(code == CURLUE_OUT_OF_MEMORY ? core::AttemptFault::kLocal : core::AttemptFault::kInvalidRequest,
             curl_url_strerror(code));
        return false;
    }
    url_text_ = request_.url;
    return true;
}

bool Transfer::set_headers() {
    header_lines_.resize(request_.headers.size() + kOwnHeaders);  // what was there keeps its memory
    for (std::size_t i = 0; i < request_.headers.size(); ++i) {
        const auto& [name, value] = request_.headers[i];
        if (!http::is_token(name)) {
            fail(core::AttemptFault::kInvalidRequest, "a header has a name that HTTP does not allow");
            return false;
        }
        if (http::kind_of_header(name) == http::HeaderKind::kFraming) {
            fail(core::AttemptFault::kInvalidRequest,
                 "the header " + name + " is not allowed for an endpoint: remove it from messaging.endpoints.headers");
            return false;
        }
        if (has_line_break(value)) {
            fail(core::AttemptFault::kInvalidRequest, "the header " + name + " contains a line break");
            return false;
        }
        std::string& line = header_lines_[i];
        line = name;
        if (is_blank(value)) {
            line += ';';  // curl takes "Name:" for the wish to leave out a header of its own
        } else {
            line.append(": ").append(value);
        }
    }
    std::string* own = &header_lines_[request_.headers.size()];
    *own++ = "User-Agent: " + options_.user_agent;  // curl's own option for it is written twice
    *own++ = "Expect:";  // without this curl asks before it sends a large body, and waits up to a second for the answer
    headers_.resize(header_lines_.size());
    for (std::size_t i = 0; i < headers_.size(); ++i) {
        headers_[i] = {header_lines_[i].data(), i + 1 < headers_.size() ? &headers_[i + 1] : nullptr};
    }
    return true;
}

bool Transfer::renew() {
    if (std::exchange(used_, true) && !handles_can_be_used_again()) {
        easy_.reset(curl_easy_init());
        if (easy_) set_constant_options();
    }
    return easy_ && url_;
}

void Transfer::forget_answer() {
    partial_ = {};
    received_bytes_ = 0;
    body_parts_ = 0;
    head_ = {};
    socket_error_ = 0;
    error_text_[0] = '\0';
    unfit_ = false;
    forbidden_.clear();
    kept_forbidden_ = false;
    flooded_ = false;
    opened_.clear();
    input_.reset();
}

void Transfer::set_request_options() {
    CURL* const easy = easy_.get();
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request_.body.data());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request_.timeout.count()));
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, fresh_ ? 1L : 0L);
}

bool Transfer::prepare(PostRequest request, Client::Completion done) {
    request_ = std::move(request);
    done_ = std::move(done);
    unfit_count_ = 0;
    sends_ = 0;
    fresh_ = false;
    forget_answer();
    if (!renew()) {
        fail(core::AttemptFault::kLocal, "out of memory for a request");
        return false;
    }
    if (!set_url() || !set_headers()) return false;
    set_request_options();
    return true;
}

bool Transfer::start_over() {
    if (!(unfit_ || kept_forbidden_) || ++unfit_count_ >= kMaxUnfit) return false;
    fresh_ = fresh_ || kept_forbidden_;  // curl keeps the connection that was refused, and would offer it again
    forget_answer();
    if (!renew()) return false;
    set_request_options();
    return true;
}

// A receiver that refuses may still send something; on its connection that would be taken for the next request's answer. So it is
// used again only after an answer that accepts.
void Transfer::note_connection(bool accepted) {
    if (accepted) return;
    long version = 0;
    long peer_port = 0;
    long local_port = 0;
    char* address = nullptr;
    curl_easy_getinfo(easy_.get(), CURLINFO_HTTP_VERSION, &version);
    curl_easy_getinfo(easy_.get(), CURLINFO_PRIMARY_IP, &address);
    curl_easy_getinfo(easy_.get(), CURLINFO_PRIMARY_PORT, &peer_port);
    curl_easy_getinfo(easy_.get(), CURLINFO_LOCAL_PORT, &local_port);
    if (address == nullptr) return;
    const ConnectionName name{address, static_cast<int>(peer_port), static_cast<int>(local_port)};
    if (version != CURL_HTTP_VERSION_2_0) sockets_.retire(name);
}

PostResult Transfer::take_result(CURLcode code) {
    long status = 0;
    long os_error = 0;
    long sent_bytes = 0;
    curl_off_t microseconds = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os_error);
    curl_easy_getinfo(easy_.get(), CURLINFO_REQUEST_SIZE, &sent_bytes);
    curl_easy_getinfo(easy_.get(), CURLINFO_TOTAL_TIME_T, &microseconds);
    partial_.duration = std::chrono::microseconds(microseconds);
    partial_.connections = static_cast<int>(opened_.size());
    partial_.repeats = std::max(0, sends_ - 1);
    partial_.retry_after = head_.retry_after();
    partial_.date = head_.date();
    if (code == CURLE_OK || head_.is_answered()) {
        partial_.status = static_cast<int>(status);
        if (code != CURLE_OK) partial_.body_truncated = true;
    } else {
        const long shortage = is_shortage(socket_error_) ? socket_error_ : is_shortage(os_error) ? os_error : 0;
        if (unfit_) {
            fail(core::AttemptFault::kProtocol, "the receiver sent data before the request");
        } else if (!head_.strange_line().empty()) {
            fail(core::AttemptFault::kProtocol, "the answer is no valid HTTP: it begins with \"" + head_.strange_line() + '"');
        } else if (shortage != 0) {
            note_shortage();
            fail(core::AttemptFault::kLocal, std::generic_category().message(static_cast<int>(shortage)));
        } else if (lacked_means(code, error_text_)) {
            fail(core::AttemptFault::kLocal, "too few file descriptors or threads to look up a name");
        } else if (!forbidden_.empty() && (opened_.empty() || kept_forbidden_)) {
            fail(core::AttemptFault::kForbidden, forbidden_);
        } else if (input_ && input_->is_flooded()) {
            fail(core::AttemptFault::kProtocol, "more than 64 KiB came over HTTP/2 that belong to no answer");
        } else if (flooded_) {
            fail(core::AttemptFault::kProtocol, "more than 256 KiB came before the final status");
        } else if (head_.is_too_long()) {
            fail(core::AttemptFault::kProtocol, "more than 64 KiB of interim answers (1xx) came before the final status");
        } else {
            // The protocol that curl does not support may be the URL's or the answer's.
            const bool strange_answer = code == CURLE_UNSUPPORTED_PROTOCOL && sent_bytes > 0;
            fail(strange_answer ? core::AttemptFault::kProtocol : fault_of(code),
                 error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(code));
        }
        partial_.body.clear();
    }
    // This request has used no connection: a kept one that is forbidden to it belongs to another request.
    if (partial_.fault == core::AttemptFault::kForbidden) return std::exchange(partial_, {});
    note_connection(partial_.fault != core::AttemptFault::kNone || (partial_.status >= 200 && partial_.status < 300));
    return std::exchange(partial_, {});
}

bool Transfer::may_use(const std::optional<core::IpAddress>& address) {
    auto refusal = address ? options_.addresses.refusal(*address) : "the receiver has no IP address";
    if (refusal && forbidden_.empty()) forbidden_ = std::move(*refusal);
    return !refusal;
}

bool Transfer::is_flood(std::size_t bytes) {
    if (options_.http2 && is_http2(tls())) return false;  // what came may be for other requests
    const std::size_t most = head_.is_accepted()   ? options_.max_received_bytes
                             : head_.is_answered() ? kMaxRefusalBytes
                                                   : kMaxUnansweredBytes;
    if (bytes <= most) return false;
    partial_.body_truncated = true;
    return flooded_ = true;
}

curl_socket_t Transfer::on_open_socket(void* self, curlsocktype, curl_sockaddr* address) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    if (transfer.request_.guarded && !transfer.may_use(ip_address(*address))) {
        errno = EACCES;          // newer versions of curl report it; no shortage
        return CURL_SOCKET_BAD;  // curl goes on with the name's next address
    }
    const curl_socket_t fd = transfer.sockets_.open(*address);
    if (fd == CURL_SOCKET_BAD) {
        transfer.socket_error_ = errno;  // curl itself forgets it
    } else {
        transfer.opened_.push_back(fd);
    }
    return fd;
}

// Of the connection that is used now; null when it is plain.
SSL* Transfer::tls() const {
    curl_tlssessioninfo* info = nullptr;
    const bool https = http::equal_ignoring_case(std::string_view(request_.url).substr(0, kHttps.size()), kHttps);
    if (!https || curl_easy_getinfo(easy_.get(), CURLINFO_TLS_SSL_PTR, &info) != CURLE_OK) return nullptr;
    return info != nullptr && info->backend == CURLSSLBACKEND_OPENSSL ? static_cast<SSL*>(info->internals) : nullptr;
}

CURLcode Transfer::on_tls_context(CURL*, void* context, void*) noexcept {
    limit_tls_messages(static_cast<SSL_CTX*>(context));
    return CURLE_OK;
}

int Transfer::before_request(void* self, char* peer_address, char*, int peer_port, int local_port) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    // The address was judged when the connection was opened, unless a request that is not guarded opened it.
    // A transfer mostly sends to where it has sent before, and the policy never changes.
    if (transfer.request_.guarded && transfer.permitted_peer_ != peer_address) {
        if (!transfer.may_use(core::IpAddress::parse(peer_address))) {
            transfer.kept_forbidden_ = true;
            return CURL_PREREQFUNC_ABORT;
        }
        transfer.permitted_peer_ = peer_address;
    }
    SSL* const tls = transfer.tls();
    const ConnectionName name{peer_address, peer_port, local_port};
    transfer.input_.reset();  // curl may try a request again on another connection
    if (transfer.options_.http2 && is_http2(tls)) {
        transfer.input_ = InputMeter::of(tls);
        transfer.sockets_.mark_multiplexed(name, transfer.opened_, transfer.input_);
    }
    const bool fit = transfer.sockets_.fit_for_request(name, transfer.opened_, tls);
    transfer.unfit_ = !fit;
    if (fit) ++transfer.sends_;
    return fit ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

int Transfer::on_close_socket(void* sockets, curl_socket_t fd) noexcept {
    static_cast<Sockets*>(sockets)->close(fd);
    return 0;
}

void Transfer::note_part(std::size_t bytes) {
    if (input_) input_->on_part(bytes);
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept {
    auto& transfer = *static_cast<Transfer*>(self);
    const std::size_t bytes = size * count;
    transfer.received_bytes_ += bytes;
    transfer.note_part(bytes);
    if (transfer.received_bytes_ > transfer.options_.max_received_bytes || ++transfer.body_parts_ > kMaxBodyParts) {
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
    return static_cast<Transfer*>(self)->read_header({data, size * count}) ? size * count : 0;  // 0 ends the transfer
}

bool Transfer::read_header(std::string_view line) {
    long status = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &status);
    const bool was_answered = head_.is_answered();
    const bool goes_on = head_.read(line, options_.http2 && is_http2(tls()), status);
    note_part(line.size());
    if (input_ && !was_answered && head_.is_answered()) input_->on_answer();
    return goes_on;
}

}  // namespace messaging::http_client
