// AnswerHead: the status lines and headers of an answer, read line by line as curl hands them over. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace messaging::http_client {

inline constexpr std::size_t kMaxHeaderBytes = 64u << 10;  // of an answer, interim answers (1xx) included

class AnswerHead {
public:
    // Reads a line with its end. `status`: what curl has read out of the latest status line. `http2`: curl has made the status
    // line out of HTTP/2's own field. False: the transfer must end. Either strange_line() is set, or is_too_long() is true.
    bool read(std::string_view line, bool http2, long status);

    long status() const { return status_; }              // of the latest status line; 0 = none yet
    bool is_answered() const { return status_ >= 200; }  // the final answer's status has arrived
    bool is_accepted() const { return status_ >= 200 && status_ < 300; }
    bool is_too_long() const { return bytes_ > kMaxHeaderBytes; }
    // The beginning of a line in the place of a status line, in visible characters; empty = there was none.
    const std::string& strange_line() const { return strange_line_; }
    // The values of the headers, cut; empty where there is none. The date is read only of an answer of 300 or above.
    const std::string& retry_after() const { return retry_after_; }
    const std::string& date() const { return date_; }

private:
    long status_ = 0;
    std::size_t bytes_ = 0;
    bool begins_answer_ = true;  // the next line is a status line
    std::string strange_line_;
    std::string retry_after_;
    std::string date_;
};

}  // namespace messaging::http_client
