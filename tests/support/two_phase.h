// Prepared transactions in the shared PostgreSQL, which allows none by default.
#pragma once

#include "support/private_postgres.h"

namespace messaging::test {

// Restarts the server once: call it before any session is open, as in SetUpTestSuite().
inline void allow_prepared_transactions() {
    static const bool done = [] {
        shared_postgres().run_sql("ALTER SYSTEM SET max_prepared_transactions = 10");
        shared_postgres().restart();
        return true;
    }();
    static_cast<void>(done);
}

}  // namespace messaging::test
