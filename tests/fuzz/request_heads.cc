// A request's head: refused, or without anything that a second reader could understand differently; and the end of a head is
// found at the same place however the bytes come.
#include <algorithm>

#include "fuzz/fuzz.h"
#include "http_server/request_head.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text = fuzz::text_of(data, size);
    const std::size_t end = http_server::find_head_end(text, 0);
    for (std::size_t arrived = 1; arrived <= text.size(); ++arrived) {
        const std::size_t before = arrived - 1;
        const std::size_t found = http_server::find_head_end(text.substr(0, arrived), before > 2 ? before - 2 : 0);
        if (found == 0) continue;
        fuzz::promise(found == end, "byte by byte the end is the same");
        break;
    }
    if (end == 0) return 0;
    const auto head = http_server::parse_head(text.substr(0, end));
    if (!head) {
        fuzz::promise(!head.error().message.empty(), "a refusal says why");
        return 0;
    }
    const http::Request& request = head->request;
    fuzz::promise(!(head->chunked && head->content_length > 0), "a body has one length");
    for (const auto& [name, value] : request.headers) {
        fuzz::promise(!name.empty() && name.find_first_of(" \t\r\n:") == std::string::npos, "a header's name is one");
        fuzz::promise(value.find_first_of("\r\n") == std::string::npos && value.find('\0') == std::string::npos,
                      "a header's value is one line");
    }
    return 0;
}
