// Owning handles for libevent's C objects.
#pragma once

#include <event2/dns.h>
#include <event2/event.h>

#include <memory>

namespace messaging::loop {

struct EventBaseDeleter {
    void operator()(event_base* base) const { event_base_free(base); }
};
struct EventDeleter {
    void operator()(event* ev) const { event_free(ev); }
};
struct EvdnsBaseDeleter {
    void operator()(evdns_base* base) const { evdns_base_free(base, 0); }
};

using EventBaseHandle = std::unique_ptr<event_base, EventBaseDeleter>;
using EventHandle = std::unique_ptr<event, EventDeleter>;
using EvdnsBaseHandle = std::unique_ptr<evdns_base, EvdnsBaseDeleter>;

}  // namespace messaging::loop
