// PgDoorbellStore: the advisory lock (771, 1) on the session that listens.
#pragma once

#include "pg/connection.h"
#include "service/doorbell.h"

namespace messaging::repository {

// Loop thread only. `bell` must outlive it.
class PgDoorbellStore : public service::DoorbellStore {
public:
    explicit PgDoorbellStore(pg::Connection& bell) : bell_(bell) {}
    void try_to_sleep(service::Completion<service::SleepAnswer> done) override;
    void wake_up(service::Completion<core::Nothing> done) override;
    void call_help(service::Completion<core::Nothing> done) override;

private:
    pg::Connection& bell_;
};

}  // namespace messaging::repository
