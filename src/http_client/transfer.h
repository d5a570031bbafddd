// Transfer: one request on one curl easy handle. The next request uses its memory again, and the handle where that is safe.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http_client/answer_head.h"
#include "http_client/client.h"
#include "http_client/handles.h"
#include "http_client/input_meter.h"
#include "http_client/sockets.h"

namespace messaging::http_client {

// Loop thread only. Not movable: curl holds its address.
class Transfer {
public:
    Transfer(const ClientOptions& options, Sockets& sockets);  // both outlive it, and the sockets its connections
    Transfer(const Transfer&) = delete;
    Transfer& operator=(const Transfer&) = delete;

    // Readies the handle. False: the request cannot be sent; failure() says why.
    bool prepare(PostRequest request, Client::Completion done);
    void fail(core::AttemptFault fault, std::string detail);
    const PostResult& failure() const { return partial_; }
    // The result of the finished transfer. Call it once.
    PostResult take_result(CURLcode code);
    // Prepares the same request again, for another connection, where nothing was sent because the connection was not fit, or
    // because it was a kept one to an address that is forbidden to this request. Call it before take_result(). False: the request
    // was tried too often, or another reason ended it.
    bool start_over();

    // Whether so many bytes, as they came from the kernel, are more than this request's answer may have. True also ends the
    // answer: the connection must be shut down.
    bool is_flood(std::size_t bytes);

    CURL* easy() const { return easy_.get(); }
    Client::Completion take_completion() { return std::exchange(done_, nullptr); }

private:
    static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) noexcept;
    static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) noexcept;
    static curl_socket_t on_open_socket(void* self, curlsocktype purpose, curl_sockaddr* address) noexcept;
    static int on_close_socket(void* sockets, curl_socket_t fd) noexcept;
    static CURLcode on_tls_context(CURL*, void* context, void*) noexcept;
    static int before_request(void* self, char* peer_address, char*, int peer_port, int local_port) noexcept;
    bool may_use(const std::optional<core::IpAddress>& address);
    bool read_header(std::string_view line);
    bool set_url();
    bool set_headers();
    bool renew();
    void forget_answer();
    void set_constant_options();
    void set_request_options();
    void note_connection(bool accepted);
    void note_part(std::size_t bytes);
    SSL* tls() const;

    const ClientOptions& options_;
    Sockets& sockets_;
    CurlUrlHandle url_{curl_url()};  // read by easy_
    std::string url_text_;           // what url_ was made of
    EasyHandle easy_;
    std::vector<std::string> header_lines_;
    std::vector<curl_slist> headers_;  // a list over header_lines_, as curl reads it
    PostRequest request_;
    Client::Completion done_;
    PostResult partial_;
    std::size_t received_bytes_ = 0;
    std::size_t body_parts_ = 0;
    int sends_ = 0;  // of this request: the first one, and those that libcurl has made by itself
    AnswerHead head_;
    int socket_error_ = 0;         // of this transfer's attempt to open a socket
    bool used_ = false;            // the handle has sent a request
    bool flooded_ = false;         // the connection was shut down because of what came without end
    bool unfit_ = false;           // before_request() has refused the connection
    int unfit_count_ = 0;          // of this request's connections
    std::string forbidden_;        // why an address may not be used, of the first such address
    bool kept_forbidden_ = false;  // before_request() has refused a connection that another request opened
    bool fresh_ = false;           // this request takes no kept connection
    std::string permitted_peer_;   // the last peer's address that a guarded request may use
    std::vector<curl_socket_t> opened_;
    std::shared_ptr<InputMeter> input_;  // of the connection, where that speaks HTTP/2
    char error_text_[CURL_ERROR_SIZE] = {};
};

}  // namespace messaging::http_client
