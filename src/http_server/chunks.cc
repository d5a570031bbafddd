// Chunk sizes read digit by digit; the data between them is skipped.
#include "http_server/chunks.h"

#include <algorithm>

namespace messaging::http_server {
namespace {

constexpr int kMostDigits = 12;  // far above every limit of a body, and no sum of sizes overflows

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

ChunkReader::State ChunkReader::read(std::string_view bytes) {
    while (!bytes.empty()) {
        if (at_ == At::kData) {
            const std::size_t skipped = std::min(left_, bytes.size());
            bytes.remove_prefix(skipped);
            left_ -= skipped;
            if (left_ == 0) at_ = At::kDataEnd;
            continue;
        }
        const State state = read_framing(bytes.front());
        bytes.remove_prefix(1);
        if (state != State::kMore) return state;
    }
    return State::kMore;
}

ChunkReader::State ChunkReader::read_framing(char c) {
    switch (at_) {
        case At::kSize:
            if (const int value = hex_value(c); value >= 0) {
                left_ = left_ * 16 + static_cast<std::size_t>(value);
                return ++digits_ > kMostDigits ? State::kWrong : State::kMore;
            }
            at_ = At::kSizeEnd;
            return c == '\r' && digits_ > 0 ? State::kMore : State::kWrong;
        case At::kSizeEnd:
            if (c != '\n') return State::kWrong;
            if (left_ == 0) return State::kDone;
            data_bytes_ += left_;
            at_ = At::kData;
            return State::kMore;
        case At::kDataEnd: at_ = At::kDataEndLine; return c == '\r' ? State::kMore : State::kWrong;
        case At::kDataEndLine:
            at_ = At::kSize;
            digits_ = 0;
            return c == '\n' ? State::kMore : State::kWrong;
        case At::kData: break;
    }
    return State::kWrong;
}

}  // namespace messaging::http_server
