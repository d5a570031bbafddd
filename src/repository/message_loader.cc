// COPY's text format (PostgreSQL documentation, COPY, File Formats).
#include "repository/message_loader.h"

namespace messaging::repository {
namespace {

constexpr std::size_t kBufferBytes = 64u << 10;

void append_escaped(std::string& out, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '\\': out += "\\\\"; break;
            case '\t': out += "\\t"; break;
            case '\n': out += "\\n"; break;
            case '\r': out += "\\r"; break;
            default: out.push_back(c); break;
        }
    }
}

}  // namespace

core::Result<core::Unit> MessageLoader::begin() {
    buffer_.clear();
    return session_.begin_copy("COPY public.messages (recipient, content) FROM STDIN");
}

core::Result<core::Unit> MessageLoader::add(std::string_view recipient, std::string_view content) {
    append_escaped(buffer_, recipient);
    buffer_.push_back('\t');
    append_escaped(buffer_, content);
    buffer_.push_back('\n');
    if (buffer_.size() < kBufferBytes) return core::Unit{};
    auto sent = session_.put_copy(buffer_);
    buffer_.clear();
    return sent;
}

core::Result<core::Unit> MessageLoader::commit() {
    const auto sent = session_.put_copy(buffer_);
    return sent ? session_.end_copy() : sent;
}

}  // namespace messaging::repository
