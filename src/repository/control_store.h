// PgControlStore: the service state and the status page's numbers; implements service::ControlStore.
#pragma once

#include "core/completion.h"
#include "pg/connection.h"
#include "service/control_store.h"
#include "service/message_store.h"

namespace messaging::repository {

// Loop thread only. The session must outlive it.
class PgControlStore : public service::ControlStore {
public:
    explicit PgControlStore(pg::Connection& session) : PgControlStore(session, session) {}
    // `counting`: for the status, whose counts can be slow.
    PgControlStore(pg::Connection& session, pg::Connection& counting) : session_(session), counting_(counting) {}

    bool up() const override { return session_.up(); }
    void set_running(bool running, const std::string& by, core::Completion<service::ServiceState> done) override;
    void read_status(core::Completion<service::StatusView> done) override;

private:
    pg::Connection& session_;
    pg::Connection& counting_;
};

}  // namespace messaging::repository
