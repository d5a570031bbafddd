// Requests of /endpoints: bodies and queries checked and turned into what the registry takes. The database says what a value
// must be beside its JSON type (migrations/functions/endpoints.sql), so the API and SQL have the same rules. Only the API checks
// the URL as curl reads it, and the address in it (UrlChecks in endpoint_routes.h).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "handler/requests.h"
#include "service/endpoint_registry.h"
#include "service/endpoint_tester.h"
#include "service/secret_store.h"

namespace messaging::handler {

// The body of POST /endpoints (name and url must be there), or of PATCH: a merge patch (RFC 7396) of the same members.
Checked<service::EndpointChanges> read_new_endpoint(const http::Request& request);
Checked<service::EndpointChanges> read_endpoint_changes(const http::Request& request);
Checked<service::EndpointQuery> read_endpoint_query(const http::Request& request);
// The {id} of the path: the id, or the name.
Checked<service::EndpointRef> read_endpoint_ref(const http::Request& request);
// {"reason": "…"}, also of the call that cancels a message; an empty body, and null, give none.
Checked<std::optional<std::string>> read_reason(const http::Request& request);

struct Rotation {
    std::optional<std::string> secret{};  // nullopt: the service makes one
    std::chrono::seconds overlap = service::kDefaultSecretOverlap;
};
// {"overlap_seconds": …, "secret": "…"}; an empty body gives the defaults. The store checks the values.
Checked<Rotation> read_rotation(const http::Request& request);

// {"type": "…", "data": …}; what is not there has its default. `data` is any JSON, kept as it was written.
Checked<service::EndpointTest> read_test(const http::Request& request);

std::string write_endpoint_cursor(const service::EndpointQuery& query, core::EndpointId last);

}  // namespace messaging::handler
