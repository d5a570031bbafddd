// Starting the receiver and asking what it has seen.
#include "support/verifying_receiver.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/json.h"
#include "support/http_call.h"
#include "support/loop_runner.h"
#include "support/places.h"
#include "support/world.h"

namespace messaging::test {

std::string VerifyingReceiver::why_not() {
    const std::string library = source_file("tests/support/verifier/node_modules/standardwebhooks/package.json");
    return std::filesystem::exists(library) ? "" : "npm's standardwebhooks is not here (scripts/install-deps --test fetches it)";
}

VerifyingReceiver::VerifyingReceiver() : port_(free_port()) {
    ProcessOptions serve;
    serve.arguments = {"node", source_file("tests/support/verifier/receiver.js"), std::to_string(port_)};
    serve.output_file = directory_.path() + "/log";
    server_.emplace(serve);
    EXPECT_TRUE(wait_until([&] { return http_get(url() + "stats").status == 200; })) << read_text_file(serve.output_file);
}

void VerifyingReceiver::trust(const std::string& secret) const { EXPECT_EQ(call("POST", url() + "trust", secret).status, 204); }

long VerifyingReceiver::stat(const std::string& name) const {
    const auto document = core::JsonDocument::parse(http_get(url() + "stats").body);
    const auto value = document ? document->root().member(name) : std::nullopt;
    return value && value->is_number() ? std::stol(std::string(value->text())) : -1;
}

long VerifyingReceiver::verified(std::size_t nth) const {
    const auto document = core::JsonDocument::parse(http_get(url() + "stats").body);
    const auto all = document ? document->root().member("verified") : std::nullopt;
    if (!all || !all->is_array() || nth >= all->size()) return -1;
    return std::stol(std::string(all->at(nth).text()));
}

}  // namespace messaging::test
