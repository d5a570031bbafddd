// Counts the unrecorded deliveries of each claim.
#include "engine/open_claims.h"

#include <algorithm>

namespace messaging::engine {
namespace {

std::unordered_map<core::ClaimId, std::size_t> count_by_claim(const std::vector<core::Outcome>& outcomes) {
    std::unordered_map<core::ClaimId, std::size_t> counts;
    for (const core::Outcome& outcome : outcomes) ++counts[outcome.claim_id];
    return counts;
}

}  // namespace

std::vector<core::ClaimId> OpenClaims::finished_by(const std::vector<core::Outcome>& outcomes) const {
    std::vector<core::ClaimId> finished;
    for (const auto& [claim, count] : count_by_claim(outcomes)) {
        const auto open = open_.find(claim);
        if (open != open_.end() && open->second <= count) finished.push_back(claim);
    }
    std::sort(finished.begin(), finished.end());
    return finished;
}

void OpenClaims::recorded(const std::vector<core::Outcome>& outcomes) {
    for (const auto& [claim, count] : count_by_claim(outcomes)) {
        const auto open = open_.find(claim);
        if (open == open_.end()) continue;
        if (open->second <= count) {
            open_.erase(open);
        } else {
            open->second -= count;
        }
    }
}

void OpenClaims::keep_only(const std::vector<core::ClaimId>& claims) {
    std::unordered_map<core::ClaimId, std::size_t> kept;
    for (const core::ClaimId claim : claims) {
        const auto open = open_.find(claim);
        if (open != open_.end()) kept.insert(*open);
    }
    open_ = std::move(kept);
}

std::vector<core::ClaimId> OpenClaims::claims() const {
    std::vector<core::ClaimId> claims;
    claims.reserve(open_.size());
    for (const auto& [claim, count] : open_) claims.push_back(claim);
    std::sort(claims.begin(), claims.end());
    return claims;
}

}  // namespace messaging::engine
