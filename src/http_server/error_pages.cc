// Replaces evhttp's own error pages by answers in the API's shape.
#include "http_server/error_pages.h"

#include <event2/buffer.h>
#include <event2/util.h>

#include <array>
#include <string>
#include <string_view>

#include "core/number.h"

namespace messaging::http_server {
namespace {

constexpr std::string_view kProtocol = "HTTP/";
constexpr std::size_t kStatusAt = 9;  // in "HTTP/1.1 400 …"
constexpr std::string_view kPageBegin = "\r\n\r\n<HTML><HEAD>\n<TITLE>";
constexpr std::string_view kPageEnd = "</BODY></HTML>\n";

bool has(evbuffer* output, std::string_view text) { return evbuffer_search(output, text.data(), text.size(), nullptr).pos >= 0; }

// Everything behind the status line, which ends the connection.
std::string lines_of(const http::Response& response) {
    std::string text;
    if (!response.content_type.empty()) text += "Content-Type: " + response.content_type + "\r\n";
    for (const auto& [name, value] : response.headers) text += std::string(name).append(": ").append(value).append("\r\n");
    return text + "Content-Length: " + std::to_string(response.body.size()) + "\r\nConnection: close\r\n\r\n" + response.body;
}

// evhttp adds an answer piece by piece, and nothing is written before the loop runs again: the page is whole here at its
// last piece. Our own answers never begin a body like that with an error's status.
void on_output(evbuffer* output, const evbuffer_cb_info* change, void* context) noexcept {
    if (change->n_added == 0) return;
    std::array<char, kStatusAt + 4> begin{};
    if (evbuffer_copyout(output, begin.data(), begin.size() - 1) != static_cast<ev_ssize_t>(begin.size() - 1)) return;
    if (!std::string_view(begin.data()).starts_with(kProtocol)) return;
    const int status = core::parse_number<int>(std::string_view(begin.data()).substr(kStatusAt)).value_or(0);
    if (status < 400 || !has(output, kPageBegin) || !has(output, kPageEnd)) return;
    const auto& default_response = *static_cast<const std::function<http::Response(int, const std::string&)>*>(context);
    const evbuffer_ptr end = evbuffer_search_eol(output, nullptr, nullptr, EVBUFFER_EOL_CRLF_STRICT);
    std::string answer(static_cast<std::size_t>(end.pos) + 2, '\0');
    evbuffer_copyout(output, answer.data(), answer.size());
    answer += lines_of(default_response(status, ""));
    evbuffer_drain(output, evbuffer_get_length(output));
    evbuffer_add(output, answer.data(), answer.size());
}

}  // namespace

std::string error_response_text(const http::Response& response) {
    std::array<char, 64> date{};
    evutil_date_rfc1123(date.data(), date.size(), nullptr);
    return "HTTP/1.1 " + std::to_string(response.status) + " Refused\r\nDate: " + date.data() + "\r\n" + lines_of(response);
}

void replace_error_pages(bufferevent* connection,
                         const std::function<http::Response(int, const std::string&)>& default_response) {
    evbuffer_add_cb(bufferevent_get_output(connection), &on_output,
                    const_cast<std::function<http::Response(int, const std::string&)>*>(&default_response));
}

}  // namespace messaging::http_server
