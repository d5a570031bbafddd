// Owning handles for libpq's C objects.
#pragma once

#include <libpq-fe.h>

#include <memory>

namespace messaging::pg {

struct ConnDeleter {
    void operator()(PGconn* conn) const { PQfinish(conn); }
};
struct ResultDeleter {
    void operator()(PGresult* result) const { PQclear(result); }
};
using ConnHandle = std::unique_ptr<PGconn, ConnDeleter>;
using ResultHandle = std::unique_ptr<PGresult, ResultDeleter>;

}  // namespace messaging::pg
