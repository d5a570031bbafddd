// Statement: a named SQL text; the name is the prepared statement's, and what logs and metrics key on.
#pragma once

namespace messaging::pg {

// Instances are constants with static lifetime, at the top of a repository's file.
struct Statement {
    const char* name;
    const char* sql;
};

}  // namespace messaging::pg
