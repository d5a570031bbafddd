// OpenClaims: for each claim of the engine the number of deliveries whose outcome is not yet recorded. Pure.
#pragma once

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "core/message.h"

namespace messaging::engine {

class OpenClaims {
public:
    void add(core::ClaimId claim, std::size_t deliveries) { open_[claim] += deliveries; }

    // The claims that have no unrecorded delivery left once `outcomes` are recorded. Changes nothing.
    std::vector<core::ClaimId> finished_by(const std::vector<core::Outcome>& outcomes) const;
    // `outcomes` are committed.
    void recorded(const std::vector<core::Outcome>& outcomes);
    // Forgets claims that another instance has reclaimed.
    void keep_only(const std::vector<core::ClaimId>& claims);

    bool holds(core::ClaimId claim) const { return open_.contains(claim); }
    std::vector<core::ClaimId> claims() const;

private:
    std::unordered_map<core::ClaimId, std::size_t> open_;
};

}  // namespace messaging::engine
