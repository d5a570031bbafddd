// Reading endpoints, their headers and their secrets.
#include "repository/endpoint_loader.h"

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "core/json.h"
#include "crypto/signing_secret.h"
#include "repository/endpoint_ref.h"
#include "repository/endpoint_state.h"

namespace messaging::repository {
namespace {

// Secrets of another kind than the endpoint's, which sign nothing now, are read to be sealed.
const std::string kEndpointsSql = R"sql(
SELECT e.id, e.name, e.url, e.headers, e.max_in_flight, s.state, e.timeout_seconds, e.max_attempts, e.signing, e.rate_limit,
       k.secret_id, k.kind, k.secret, (extract(epoch FROM k.expires_at) * 1000)::bigint,
       coalesce(s.version, 0)
FROM messaging.endpoints e
LEFT JOIN messaging._endpoint_state s ON s.endpoint_id = e.id
LEFT JOIN messaging._endpoint_secret k ON k.endpoint_id = e.id AND (k.expires_at IS NULL OR k.expires_at > now())
)sql";
const std::string kOrder = "ORDER BY e.id, k.secret_id DESC";
const std::string kAllSql = kEndpointsSql + kOrder;
const std::string kOneSql = kEndpointsSql + "WHERE " + kIsIt + kOrder;
const pg::Statement kAll{"load_endpoints", kAllSql.c_str()};
const pg::Statement kOne{"load_endpoint", kOneSql.c_str()};

enum Column {
    kId,
    kName,
    kUrl,
    kHeaders,
    kMaxInFlight,
    kState,
    kTimeout,
    kMaxAttempts,
    kSigning,
    kRateLimit,
    kSecretId,
    kKind,
    kSecret,
    kExpiresAt,
    kVersion
};

std::optional<core::WallTime> read_time(const pg::Rows& rows, int row, int column) {
    if (rows.is_null(row, column)) return std::nullopt;
    return core::WallTime(std::chrono::milliseconds(rows.bigint(row, column)));
}

core::Endpoint read_endpoint(const pg::Rows& rows, int row) {
    core::Endpoint endpoint;
    endpoint.id = rows.bigint(row, kId);
    endpoint.name = rows.text(row, kName);
    endpoint.url = rows.text(row, kUrl);
    endpoint.headers = core::string_members(rows.text(row, kHeaders));  // a bad row must not stop the others
    endpoint.max_in_flight = rows.integer(row, kMaxInFlight);
    endpoint.state = read_endpoint_state(rows, row, kState);
    endpoint.version = rows.bigint(row, kVersion);
    if (const auto seconds = rows.optional_integer(row, kTimeout)) endpoint.timeout = std::chrono::seconds(*seconds);
    endpoint.max_attempts = rows.optional_integer(row, kMaxAttempts);
    endpoint.rate_limit = rows.optional_integer(row, kRateLimit);
    return endpoint;
}

}  // namespace

const pg::Statement& EndpointLoader::all() { return kAll; }
const pg::Statement& EndpointLoader::one() { return kOne; }

core::Result<EndpointLoader::Kept> EndpointLoader::keep(std::int64_t secret_id, const SecretOwner& owner,
                                                        std::string_view stored) const {
    const auto before = kept_.find(secret_id);
    if (before != kept_.end() && before->second.stored.view() == stored) return before->second;
    const auto opened = from_stored(sealer_, owner, stored);
    if (!opened) return opened.error();
    auto signer = crypto::make_signer(owner.second, opened->plain.view());
    if (!signer) {
        return core::Error{core::ErrorKind::kInternal,
                           "secret " + std::to_string(secret_id) + " of endpoint " + std::to_string(owner.first) +
                               " cannot be used (" + signer.error().message +
                               "): DELETE FROM messaging._endpoint_secret WHERE secret_id = " + std::to_string(secret_id) +
                               " has a new one made"};
    }
    Kept kept{core::SecretText(stored), std::move(signer.value()), "",
              before != kept_.end() && before->second.seen_with_first_key};
    const bool is_sealed = crypto::is_sealed(stored);
    // A process whose first key is another one has sealed it since. Sealed again here, it would be sealed in turns for ever.
    const bool is_contested = is_sealed && !opened->by_first_key && kept.seen_with_first_key;
    kept.seen_with_first_key |= is_sealed && opened->by_first_key;
    if (!is_contested && should_be_sealed(sealer_, stored, opened.value())) {
        auto sealed = to_stored(sealer_, owner, opened->plain.view());
        if (!sealed) return sealed.error();
        kept.sealed_as = std::move(sealed.value());
    }
    return kept;
}

LoadedEndpoints EndpointLoader::read(const pg::Rows& rows) {
    LoadedEndpoints loaded;
    std::unordered_map<std::int64_t, Kept> kept;
    std::optional<SecretOwner> missing;  // of the endpoint at hand
    const auto end_endpoint = [&] {
        if (missing) loaded.without_secret.push_back(*missing);
        missing.reset();
    };
    for (int row = 0; row < rows.size(); ++row) {
        const auto kind = core::signing_kind_of(rows.text(row, kSigning));
        if (loaded.endpoints.empty() || loaded.endpoints.back().id != rows.bigint(row, kId)) {
            end_endpoint();
            loaded.endpoints.push_back(read_endpoint(rows, row));
            if (kind) missing = SecretOwner(loaded.endpoints.back().id, *kind);
        }
        const auto secret_kind = rows.is_null(row, kSecretId) ? std::nullopt : core::signing_kind_of(rows.text(row, kKind));
        if (!secret_kind) continue;
        const bool signs = kind == secret_kind;
        const std::int64_t secret_id = rows.bigint(row, kSecretId);
        auto one = keep(secret_id, {loaded.endpoints.back().id, *secret_kind}, rows.text(row, kSecret));
        const auto expires_at = read_time(rows, row, kExpiresAt);
        if (signs && !expires_at) missing.reset();
        if (!one) {
            if (signs) loaded.endpoints.back().unusable = one.error().message;
            continue;
        }
        if (signs) loaded.endpoints.back().signers.push_back({one->signer, expires_at});
        if (!one->sealed_as.empty()) {
            loaded.unsealed.push_back(secret_id);
            loaded.unsealed_as.emplace_back(rows.text(row, kSecret));
            loaded.sealed_as.push_back(one->sealed_as);
        }
        kept.emplace(secret_id, std::move(one.value()));
    }
    end_endpoint();
    kept_ = std::move(kept);
    return loaded;
}

}  // namespace messaging::repository
