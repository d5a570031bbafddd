// An EndpointRef as the first two parameters of a statement: the id, or the name. One of them is NULL.
#pragma once

#include <optional>
#include <string>

#include "pg/params.h"
#include "service/endpoint_registry.h"

namespace messaging::repository {

inline const std::string kIsIt = "(e.id = $1::bigint OR e.name = $2::text) ";  // of a row e of messaging.endpoints

inline pg::Params ref_params(const service::EndpointRef& endpoint) {
    pg::Params params;
    params.optional_bigint(endpoint.id);
    params.optional_text(endpoint.id ? std::nullopt : std::optional(endpoint.name));
    return params;
}

inline core::Error no_such_endpoint() { return {core::ErrorKind::kNotFound, "there is no such endpoint"}; }

}  // namespace messaging::repository
