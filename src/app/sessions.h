// Sessions: the options of every PostgreSQL and Redis session of the process, in one place.
#pragma once

#include <string>

#include "app/config.h"
#include "pg/connection.h"
#include "redis/client.h"

namespace messaging::app {

enum class SessionRole { kClaim, kRecord, kListen, kApi, kApiWrite, kControl, kReconcile };

// `tag`: of the engine that the session is for; part of its application_name (InstanceStore::register_instance).
pg::ConnectionOptions session_options(const Config& config, SessionRole role, const std::string& tag = "");
redis::ClientOptions redis_options(const Config& config);

}  // namespace messaging::app
