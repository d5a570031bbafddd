// Reserved headers: those that an endpoint may not set. This table is their one list.
#pragma once

#include <span>
#include <string_view>

namespace messaging::http {

// The trigger endpoints_check (migrations/functions/endpoints.sql) refuses an endpoint with a reserved header. It does not see
// rows that a restore or replication inserts. The kind says what a request does with a reserved header of such a row.
enum class HeaderKind {
    kFree,     // not reserved: an endpoint may set it
    kOurs,     // left out, because the service or libcurl writes it: a receiver that finds a header twice may believe either
    kFraming,  // the attempt fails: the receiver would look for the next request at a wrong byte of the connection
    kOther,    // sent
};

// By its name, in whatever case.
HeaderKind kind_of_header(std::string_view name);

struct ReservedHeader {
    std::string_view name;  // in lower case; "webhook-*" means all names that begin with "webhook-"
    HeaderKind kind;
};
// The first entry that matches a name counts. endpoint_registry_test compares the names with those of the trigger.
std::span<const ReservedHeader> reserved_headers();

}  // namespace messaging::http
