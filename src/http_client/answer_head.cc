// Checks the form of status lines, and picks the headers that count.
#include "http_client/answer_head.h"

#include <strings.h>

#include <algorithm>
#include <utility>

namespace messaging::http_client {
namespace {

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
    text.remove_prefix(begin);
    return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

// `name` with its colon.
bool has_name(std::string_view line, std::string_view name) {
    return line.size() >= name.size() && strncasecmp(line.data(), name.data(), name.size()) == 0;
}

// "HTTP/1.1 200 OK", with or without a reason (RFC 9112, 4). curl reads a status out of much else.
bool is_status_line(std::string_view line, bool http2) {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
    const std::string_view version = http2 ? "HTTP/2" : "HTTP/1.";
    if (!line.starts_with(version)) return false;
    line.remove_prefix(version.size());
    if (!http2) {
        if (line.empty() || !is_digit(line.front())) return false;
        line.remove_prefix(1);
    }
    if (line.size() < 4 || line[0] != ' ' || !std::all_of(line.begin() + 1, line.begin() + 4, is_digit)) return false;
    if (line[1] == '0') return false;
    line.remove_prefix(4);
    return (line.empty() || line[0] == ' ') && std::all_of(line.begin(), line.end(), [](char c) {
               return c == '\t' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f');
           });
}

// The beginning of a line, in visible characters.
std::string quoted(std::string_view line) {
    constexpr std::size_t kMaxShown = 40;
    std::string text(trimmed(line).substr(0, kMaxShown));
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    return text;
}

}  // namespace

bool AnswerHead::read(std::string_view line, bool http2, long status) {
    constexpr std::string_view kRetryAfter = "retry-after:";
    constexpr std::string_view kDate = "date:";
    constexpr std::size_t kMaxValueBytes = 128;
    if (std::exchange(begins_answer_, false)) {
        if (!is_status_line(line, http2)) {
            strange_line_ = quoted(line);
            return false;
        }
        retry_after_.clear();  // of an interim answer
    } else if (has_name(line, kRetryAfter)) {
        retry_after_ = trimmed(line.substr(kRetryAfter.size())).substr(0, kMaxValueBytes);
    } else if (status_ >= 300 && has_name(line, kDate)) {
        date_ = trimmed(line.substr(kDate.size())).substr(0, kMaxValueBytes);
    }
    bytes_ += line.size();
    status_ = status;
    begins_answer_ = !is_answered() && trimmed(line).empty();  // an interim answer ends
    return !is_too_long();
}

}  // namespace messaging::http_client
