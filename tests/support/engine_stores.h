// EngineStores: the stores of one engine under one name, for tests that take a message all the way.
#pragma once

#include "pg/connection.h"
#include "repository/claim_store.h"
#include "repository/endpoint_store.h"
#include "repository/record_store.h"

namespace messaging::test {

class EngineStores : public repository::PgClaimStore, public repository::PgRecordStore, public repository::PgEndpointStore {
public:
    EngineStores(pg::Connection& claim_session, pg::Connection& record_session, bool receipts = true)
        : PgClaimStore(claim_session), PgRecordStore(record_session, receipts), PgEndpointStore(claim_session) {}
};

}  // namespace messaging::test
