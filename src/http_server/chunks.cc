// Chunk sizes read digit by digit; the data between them is skipped.
#include "http_server/chunks.h"

#include <algorithm>
#include <utility>

namespace messaging::http_server {
namespace {

constexpr int kMaxDigits = 12;  // far above every limit of a body, and no sum of sizes overflows
constexpr std::size_t kMaxTrailerBytes = 4096;

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

ChunkReader::State ChunkReader::read(std::string_view bytes, std::size_t& used) {
    while (!bytes.empty()) {
        if (at_ == At::kData) {
            const std::size_t skipped = std::min(left_, bytes.size());
            bytes.remove_prefix(skipped);
            used += skipped;
            left_ -= skipped;
            if (left_ == 0) at_ = At::kDataEnd;
            continue;
        }
        const State state = read_framing(bytes.front());
        bytes.remove_prefix(1);
        ++used;
        if (state != State::kMore) return state;
    }
    return State::kMore;
}

ChunkReader::State ChunkReader::read_framing(char c) {
    switch (at_) {
        case At::kSize:
            if (const int value = hex_value(c); value >= 0) {
                left_ = left_ * 16 + static_cast<std::size_t>(value);
                return ++digits_ > kMaxDigits ? State::kWrong : State::kMore;
            }
            at_ = At::kSizeEnd;
            return c == '\r' && digits_ > 0 ? State::kMore : State::kWrong;
        case At::kSizeEnd:
            if (c != '\n') return State::kWrong;
            data_bytes_ += left_;
            at_ = left_ == 0 ? At::kTrailer : At::kData;
            return State::kMore;
        case At::kDataEnd: at_ = At::kDataEndLine; return c == '\r' ? State::kMore : State::kWrong;
        case At::kDataEndLine:
            at_ = At::kSize;
            digits_ = 0;
            return c == '\n' ? State::kMore : State::kWrong;
        case At::kTrailer:
        case At::kTrailerEnd: return read_trailer(c);
        case At::kData: break;
    }
    return State::kWrong;
}

ChunkReader::State ChunkReader::read_trailer(char c) {
    if (++trailer_bytes_ > kMaxTrailerBytes) return State::kWrong;
    if (at_ == At::kTrailerEnd) {
        if (c != '\n') return State::kWrong;
        if (std::exchange(is_empty_line_, true)) return State::kDone;
        at_ = At::kTrailer;
    } else if (c == '\r') {
        at_ = At::kTrailerEnd;
    } else if (c == '\n') {
        return State::kWrong;
    } else {
        is_empty_line_ = false;
    }
    return State::kMore;
}

}  // namespace messaging::http_server
