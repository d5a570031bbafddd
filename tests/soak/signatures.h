// Signatures: whether requests are signed with a secret that the endpoint has, or had until just now.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/signer.h"
#include "http/message.h"
#include "pg/session.h"

namespace messaging::test {

// All calls from any thread. A request is remembered as it comes and verified by verify(), because the secret may be so new that
// only the database has it yet.
class Signatures {
public:
    // A request that was signed when its secret was still valid can be under way for so long: faults last 12 s at the most.
    static constexpr std::chrono::seconds kGrace{20};

    void remember(std::string endpoint, const http::Request& request);
    // Reads the secrets that are there. To be called between two rotations, so that none comes and goes unseen. False: the
    // session is of no use any more.
    bool read_secrets(pg::Session& session);
    // Verifies what has come before the last read_secrets(). The content of a message ends in " secret <id>": the newest secret
    // of its endpoint when it was inserted. The request must be signed with this one or a newer one, or with an older one that
    // is valid still.
    void verify();

    long verified() const;
    long invalid() const;
    std::string example() const;  // of an invalid one, without secrets
    long secrets() const;

private:
    using Time = std::chrono::system_clock::time_point;
    struct Secret {
        std::shared_ptr<const core::Signer> signer;
        Time expires = Time::max();
        bool seen = false;  // by the reading at hand
    };
    struct Pending {
        std::string endpoint;
        std::string id;
        std::string timestamp;
        std::string signatures;
        std::string body;
        Time arrived;
    };
    bool is_valid(const Pending& request) const;
    std::string signed_with(const Pending& request) const;

    mutable std::mutex mutex_;
    std::map<std::string, std::map<std::int64_t, Secret>> secrets_;  // by endpoint, by secret_id
    std::vector<Pending> pending_;
    Time read_at_{};
    long verified_ = 0;
    long invalid_ = 0;
    std::string example_;
};

}  // namespace messaging::test
