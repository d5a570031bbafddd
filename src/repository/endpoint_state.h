// The word of messaging._endpoint_state.state as a value.
#pragma once

#include <algorithm>

#include "core/message.h"
#include "pg/rows.h"

namespace messaging::repository {

// A state that this version does not know, and an endpoint without one, keeps nothing back.
inline core::EndpointState read_endpoint_state(const pg::Rows& rows, int row, int column) {
    if (rows.is_null(row, column)) return core::EndpointState::kActive;
    const auto* const found =
        std::find_if(core::kEndpointStates.begin(), core::kEndpointStates.end(),
                     [&](core::EndpointState state) { return core::word_of(state) == rows.text(row, column); });
    return found == core::kEndpointStates.end() ? core::EndpointState::kActive : *found;
}

}  // namespace messaging::repository
