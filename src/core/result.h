// Result<T>: a value or an Error; how every fallible call in the project answers.
#pragma once

#include <string>
#include <utility>
#include <variant>

namespace messaging::core {

// What went wrong, in the terms a caller can act on. to_problem() in handler/envelope.cc gives each kind its HTTP status.
enum class ErrorKind {
    kInvalid,  // the input is wrong; repeating it cannot help
    kNotFound,
    kConflict,     // the input contradicts what is stored
    kUnavailable,  // a dependency cannot be reached now; repeating later can help
    kBusy,         // too much waits for a dependency already; nothing was done, and repeating later can help
    kTimeout,      // a deadline passed; whether the work was done is unknown
    kInternal,     // a fault of ours; details go to the log, never to a client
};

struct Error {
    ErrorKind kind = ErrorKind::kInternal;
    std::string message;
    std::string sqlstate{};  // five characters when PostgreSQL said it, else empty
};

struct Unit {};  // the value of a Result that has only success to report

template <typename T>
class [[nodiscard]] Result {
public:
    // Implicit, so that a function returns either as it is.
    Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
    Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

    bool ok() const { return state_.index() == 0; }
    explicit operator bool() const { return ok(); }

    // Precondition: ok().
    T& value() { return std::get<0>(state_); }
    const T& value() const { return std::get<0>(state_); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    // Precondition: !ok().
    const Error& error() const { return std::get<1>(state_); }

private:
    std::variant<T, Error> state_;
};

}  // namespace messaging::core
