// One writing at a time.
#include "engine/endpoint_reporter.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace messaging::engine {

void EndpointReporter::add(EndpointFinding finding, bool may_disable) {
    may_disable_ = may_disable;
    const core::EndpointId endpoint = finding.endpoint;
    waiting_.insert_or_assign(endpoint, std::move(finding));
    next();
}

void EndpointReporter::next() {
    if (writing_ || waiting_.empty()) return;
    std::vector<EndpointFinding> findings;
    findings.reserve(std::min(waiting_.size(), kMaxFindings));
    while (!waiting_.empty() && findings.size() < kMaxFindings)
        findings.push_back(std::move(waiting_.extract(waiting_.begin()).mapped()));
    writing_ = true;
    store_.write_findings(std::move(findings), may_disable_, [this](const core::Result<core::Unit>& written) {
        writing_ = false;
        report(observer_, kEndpointStateOperation, written);
        next();
    });
}

}  // namespace messaging::engine
