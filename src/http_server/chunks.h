// ChunkReader: the framing of a chunked body (RFC 9112, 7.1), watched as it arrives.
#pragma once

#include <cstddef>
#include <string_view>

namespace messaging::http_server {

// Strict: what evhttp, which reads the same bytes later, could understand differently is wrong, and so are chunk extensions,
// which evhttp cannot read. It ends behind the empty line that follows the last chunk and its trailers.
class ChunkReader {
public:
    enum class State { kMore, kDone, kWrong };
    // Adds to `used` how many of the bytes belong to the body: all of them, except that bytes behind the body's end are left over
    // with kDone. Must not be called again after kDone or kWrong.
    State read(std::string_view bytes, std::size_t& used);
    std::size_t data_bytes() const { return data_bytes_; }  // announced so far, of all chunks

private:
    enum class At { kSize, kSizeEnd, kData, kDataEnd, kDataEndLine, kTrailer, kTrailerEnd };
    State read_framing(char c);
    State read_trailer(char c);

    At at_ = At::kSize;
    int digits_ = 0;
    std::size_t left_ = 0;  // of this chunk
    std::size_t trailer_bytes_ = 0;
    bool is_empty_line_ = true;  // so far
    std::size_t data_bytes_ = 0;
};

}  // namespace messaging::http_server
