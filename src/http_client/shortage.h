// Whether this process has lacked descriptors or threads lately.
#pragma once

#include <cstddef>

namespace messaging::http_client {

// Any thread. The limits are the process's, so one engine's shortage is also another's.
void note_shortage();
// Whether one was noted within the last 5 s, or there is no free descriptor now. The resolver does not say why it has failed;
// without a descriptor it can ask no name server.
bool was_short_lately();

// How many connections, in use or idle, each multi handle of the process may keep, so that idle ones have at most half of the
// descriptors. `usual` where there are enough.
std::size_t connections_to_keep(std::size_t descriptors, std::size_t multis, std::size_t usual);

}  // namespace messaging::http_client
