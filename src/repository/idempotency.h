// Runs a transaction that creates something for a request with an Idempotency-Key.
#pragma once

#include <vector>

#include "core/completion.h"
#include "core/result.h"
#include "pg/connection.h"
#include "service/idempotency.h"

namespace messaging::repository {

// Takes the key, runs `create`, and answers the response that is then stored with the key: this one, or an earlier request's.
//
// `create` must keep these rules. The body of a key's row is NULL only if this transaction has taken the key.
// 1. Its parameters end with those of add_key_params().
// 2. Where the body is not NULL, it creates nothing.
// 3. Where the body is NULL, it creates its rows and sets the body, by messaging._fill_body().
//
// kConflict: the key was used with another fingerprint, or (SQLSTATE 55P03) by a request that is still open after lock_timeout.
void run_once(pg::Connection& connection, const service::IdempotencyKey& key, const service::ResponseTemplate& response,
              pg::Step create, core::Completion<service::StoredResponse> done);

// Appends scope, key and the parts of the body.
void add_key_params(pg::Params& params, const service::IdempotencyKey& key, const service::ResponseTemplate& response);

}  // namespace messaging::repository
