#include "support/tls_receiver.h"

#include <gtest/gtest.h>

#include "core/json.h"
#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/places.h"

namespace messaging::test {

TlsReceiver::TlsReceiver(const std::string& offered) : port_(free_port()) {
    const std::string key = directory_.path() + "/key.pem";
    ProcessOptions make;
    make.arguments = {"openssl", "req", "-x509", "-newkey",       "rsa:2048", "-nodes",
                      "-days",   "2",   "-subj", "/CN=localhost", "-addext",  "subjectAltName=IP:127.0.0.1",
                      "-keyout", key,   "-out",  certificate()};
    const CommandResult made = run_command(make);
    EXPECT_EQ(made.exit_code, 0) << made.output;
    const int control = free_port();
    ProcessOptions serve;
    serve.arguments = {
        "node", source_file("tests/support/tls_receiver.js"), std::to_string(port_), std::to_string(control), key, certificate(),
        offered};
    serve.output_file = directory_.path() + "/log";
    server_.emplace(serve);
    stats_url_ = "http://127.0.0.1:" + std::to_string(control) + "/stats";
    EXPECT_TRUE(wait_until([&] { return http_get(stats_url_).status == 200; })) << read_text_file(serve.output_file);
}

long TlsReceiver::stat(const std::string& name) const {
    const auto document = core::JsonDocument::parse(http_get(stats_url_).body);
    const auto value = document ? document->root().member(name) : std::nullopt;
    return value && value->is_number() ? std::stol(std::string(value->text())) : -1;
}

}  // namespace messaging::test
