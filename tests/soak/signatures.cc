// The history of the secrets, and the comparison.
#include "soak/signatures.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/attempt.h"
#include "crypto/signing_secret.h"

namespace messaging::test {
namespace {

std::string text_of(const http::Request& request, const char* name) { return std::string(request.header(name).value_or("")); }

std::int64_t secret_at_insert(const std::string& body) {
    const std::string marker = " secret ";
    const std::size_t at = body.find(marker);
    return at == std::string::npos ? 0 : std::strtoll(body.c_str() + at + marker.size(), nullptr, 10);
}

bool contains(const std::string& signatures, const std::string& one) {
    for (std::size_t at = signatures.find(one); at != std::string::npos; at = signatures.find(one, at + 1)) {
        const std::size_t end = at + one.size();
        if ((at == 0 || signatures[at - 1] == ' ') && (end == signatures.size() || signatures[end] == ' ')) return true;
    }
    return false;
}

}  // namespace

void Signatures::remember(std::string endpoint, const http::Request& request) {
    const std::lock_guard lock(mutex_);
    pending_.push_back({std::move(endpoint), text_of(request, "webhook-id"), text_of(request, "webhook-timestamp"),
                        text_of(request, "webhook-signature"), request.body, std::chrono::system_clock::now()});
}

bool Signatures::read_secrets(pg::Session& session) {
    const Time began = std::chrono::system_clock::now();
    const auto rows = session.execute(
        "SELECT s.secret_id, e.name, s.kind, s.secret, (extract(epoch FROM s.expires_at) * 1000)::bigint "
        "FROM messaging._endpoint_secret s JOIN messaging.endpoints e ON e.id = s.endpoint_id");
    if (!rows) return false;
    const std::lock_guard lock(mutex_);
    for (int row = 0; row < rows->size(); ++row) {
        Secret& secret = secrets_[std::string(rows->text(row, 1))][rows->bigint(row, 0)];
        if (!secret.signer) {
            auto signer = crypto::make_signer(*core::signing_kind_of(rows->text(row, 2)), rows->text(row, 3));
            if (!signer) std::abort();
            secret.signer = std::move(signer.value());
        }
        secret.expires = rows->is_null(row, 4) ? Time::max() : Time(std::chrono::milliseconds(rows->bigint(row, 4)));
        secret.seen = true;
    }
    for (auto& [endpoint, history] : secrets_) {
        for (auto& [id, secret] : history) {
            if (!std::exchange(secret.seen, false)) secret.expires = std::min(secret.expires, began);
        }
    }
    read_at_ = began;
    return true;
}

void Signatures::verify() {
    const std::lock_guard lock(mutex_);
    const auto known =
        std::partition(pending_.begin(), pending_.end(), [&](const Pending& one) { return one.arrived >= read_at_; });
    for (auto request = known; request != pending_.end(); ++request) {
        ++verified_;
        if (is_valid(*request)) continue;
        ++invalid_;
        if (example_.empty()) {
            example_ = request->endpoint + ": " + request->id + ", timestamp " + request->timestamp + ", body " + request->body +
                       ", " + signed_with(*request);
        }
    }
    pending_.erase(known, pending_.end());
}

std::string Signatures::signed_with(const Pending& request) const {
    const auto history = secrets_.find(request.endpoint);
    std::string words = request.signatures.empty() ? "not signed" : "signed";
    for (const auto& [id, secret] : history == secrets_.end() ? std::map<std::int64_t, Secret>{} : history->second) {
        const bool signs = contains(request.signatures, secret.signer->sign(request.id, request.timestamp, request.body));
        const auto ago = std::chrono::duration_cast<std::chrono::milliseconds>(request.arrived - secret.expires);
        words += (signs ? " with secret " : "; has secret ") + std::to_string(id) +
                 (secret.expires == Time::max() ? " (current)" : " (ended " + std::to_string(ago.count()) + " ms before)");
    }
    return words;
}

bool Signatures::is_valid(const Pending& request) const {
    const auto history = secrets_.find(request.endpoint);
    if (history == secrets_.end()) return false;
    const std::int64_t at_insert = secret_at_insert(request.body);
    return std::any_of(history->second.begin(), history->second.end(), [&](const auto& entry) {
        const auto& [id, secret] = entry;
        const bool expired = secret.expires <= request.arrived;
        const bool may_sign = secret.expires == Time::max() || request.arrived < secret.expires + kGrace;
        if (!may_sign || (expired && id < at_insert)) return false;
        return contains(request.signatures, secret.signer->sign(request.id, request.timestamp, request.body));
    });
}

long Signatures::verified() const {
    const std::lock_guard lock(mutex_);
    return verified_;
}

long Signatures::invalid() const {
    const std::lock_guard lock(mutex_);
    return invalid_;
}

std::string Signatures::example() const {
    const std::lock_guard lock(mutex_);
    return example_;
}

long Signatures::secrets() const {
    const std::lock_guard lock(mutex_);
    long count = 0;
    for (const auto& [endpoint, history] : secrets_) count += static_cast<long>(history.size());
    return count;
}

}  // namespace messaging::test
