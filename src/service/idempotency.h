// Idempotency: a request that is repeated with its key is answered with the response that was stored with the key.
#pragma once

#include <string>
#include <vector>

namespace messaging::service {

struct IdempotencyKey {
    std::string scope;  // method and path: the same key on another path is another key
    std::string key;
    std::string fingerprint;  // of the request body
};

// A response whose body has a gap wherever a value belongs that only the database knows: the id and the time of a row that is
// not created yet. So a store can create the rows and store the response in one transaction that is sent as a whole, without
// knowledge of the body's format. The values are what the database has written, also where a trigger has changed them.
struct ResponseTemplate {
    int status = 0;
    std::vector<std::string> parts;  // a gap between each two of them

    // Precondition: one value for each gap.
    std::string body(const std::vector<std::string>& values) const;
};

struct StoredResponse {
    int status = 0;
    std::string body;
    bool replayed = false;  // it is the response to an earlier request with this key
};

}  // namespace messaging::service
