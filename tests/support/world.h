// World: the real receiver and the real service, on the private PostgreSQL and Redis of the test program.
#pragma once

#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "pg/session.h"
#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/process.h"

namespace messaging::test {

// An answer of the service's API is held against the OpenAPI document: a breach fails the test. A body is sent as JSON
// unless the headers say otherwise.
HttpReply call(const std::string& method, const std::string& url, const std::string& body = "", http::Headers headers = {});

// The empty database with all migrations applied by the program itself, so that it will serve it.
std::string migrated(const std::string& empty_database_url);

using Environment = std::map<std::string, std::string>;

// The value of one sample of /metrics, by its name and labels as they are written; -1 when it is not there.
double sample(const std::string& metrics, const std::string& name);

// `messaging receiver` on a free port.
class Receiver {
public:
    explicit Receiver(std::vector<std::string> options = {});
    std::string url() const { return url_; }
    long stat(const std::string& name) const;
    std::string recent() const { return call("GET", url_ + "recent").body; }

private:
    TemporaryDirectory directory_;
    std::unique_ptr<Process> process_;
    std::string url_;
};

// `messaging serve` on a free port, with a database of its own unless one is given; ready when constructed. ALLOWED_NETWORKS is
// loopback unless the environment says otherwise.
class Service {
public:
    explicit Service(const Environment& environment, const std::string& database_url = "");
    // How it is started, for a test that starts it itself.
    static ProcessOptions process(const Environment& environment, const std::string& database_url);
    ~Service();

    std::string url(const std::string& path) const { return url_ + path; }
    const std::string& database_url() const { return database_url_; }
    pid_t pid() const { return process_->pid(); }
    bool running() { return process_->running(); }
    void send(int signal_number) { process_->send(signal_number); }
    std::optional<int> wait() { return process_->wait(); }
    std::string output() const { return read_text_file(log_); }
    // One sample of /metrics, by its name with its labels; -1 when there is none.
    double metric(const std::string& series) const;
    long resident_bytes() const;  // 0 under a sanitizer, which needs a multiple of it
    // Runs SQL; the first column of the first row, or empty. Fails the test on an error.
    std::string sql(const std::string& text);

private:
    std::string database_url_;
    TemporaryDirectory directory_;
    std::string log_;
    std::unique_ptr<Process> process_;  // depends-on: directory_
    std::string url_;
};

}  // namespace messaging::test
