// The SQLSTATEs that the service acts on (PostgreSQL documentation, appendix A).
#pragma once

namespace messaging::core {

inline constexpr const char* kLockNotAvailable = "55P03";  // lock_timeout has passed
inline constexpr const char* kQueryCanceled = "57014";     // statement_timeout has passed
inline constexpr const char* kUniqueViolation = "23505";
inline constexpr const char* kCheckViolation = "23514";
inline constexpr const char* kProgramLimitExceeded = "54000";
inline constexpr const char* kDataCorrupted = "XX001";  // a damaged page, or a missing part of a long value
inline constexpr const char* kIndexCorrupted = "XX002";

}  // namespace messaging::core
