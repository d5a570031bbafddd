// The API against its own OpenAPI document, by Schemathesis: thousands of requests that the document allows and that it does not,
// alone and in the order of the document's links. No request may be answered in a way that the document does not have.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>

#include "support/contract.h"
#include "support/places.h"
#include "support/private_network.h"
#include "support/world.h"

namespace messaging::test {
namespace {

constexpr const char* kToken = "right-token";
constexpr std::chrono::seconds kMostTime{180};

std::string installed(const std::string& file) { return source_file("build-tools/schemathesis/" + file); }

std::string why_not(const PrivateNetwork& network) {
    if (!std::filesystem::exists(installed(".lock")))
        return "PyPI's schemathesis is not here (scripts/install-deps --test fetches it)";
    return network.why_not();
}

// As scripts/build-docs makes it, without Swagger UI.
void copy_docs(const std::string& to) {
    std::filesystem::copy(source_file("api-docs/pages"), to);
    std::filesystem::copy(source_file("api-docs/openapi.json"), to);
}

// In a directory of its own: it writes what it has found there.
CommandResult run_schemathesis(const Service& service) {
    const TemporaryDirectory directory;
    const std::string settings = source_file("tests/support/schemathesis/");
    ProcessOptions run;
    run.arguments = {installed("bin/python"),
                     "-m",
                     "schemathesis.cli",
                     "--config-file",
                     settings + "schemathesis.toml",
                     "run",
                     "-c",
                     "all",
                     service.url("/docs/openapi.json")};
    run.environment = {{"API_TOKEN", kToken}, {"SCHEMATHESIS_HOOKS", settings + "hooks.py"}, {"PYTHONDONTWRITEBYTECODE", "1"}};
    run.directory = directory.path();
    return run_command(run, kMostTime);
}

std::string line_with(const std::string& text, const std::string& words) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.find(words) != std::string::npos) return line;
    }
    return "";
}

// How often each operation of the document has met what it names: it succeeded, or its 409 says that this is not the moment for
// it.
std::map<std::string, double> meetings(const std::string& metrics) {
    std::map<std::string, double> counts;
    for (const std::string& answer : contract().documented()) {
        std::istringstream words(answer);
        std::string method;
        std::string route;
        std::string status;
        words >> method >> route >> status;
        double& count = counts[method + " " + route];
        const double answers = sample(metrics, "messaging_http_requests_total{method=\"" + method + "\",route=\"" + route +
                                                   "\",status=\"" + status + "\"}");
        if ((status < "400" || status == "409") && answers > 0) count += answers;
    }
    return counts;
}

// Endpoints may be anywhere, and nobody is reached: the network has loopback only.
TEST(Schemathesis, FindsNoAnswerThatTheDocumentDoesNotHave) {
    static const PrivateNetwork network;
    if (const std::string why = why_not(network); !why.empty()) GTEST_SKIP() << "NOT RUN: " << why;
    const TemporaryDirectory docs;
    copy_docs(docs.path());
    const Receiver receiver;
    const Service service({{"WEBHOOK_URL", receiver.url()},
                           {"ALLOWED_NETWORKS", "0.0.0.0/0,::/0"},
                           {"API_TOKEN", kToken},
                           {"DOCS_DIR", docs.path()}});
    const CommandResult found = run_schemathesis(service);
    EXPECT_EQ(found.exit_code, 0) << found.output;
    std::printf("schemathesis: %s\n", line_with(found.output, " generated").c_str());
    const HttpReply metrics =
        http_call({"GET", service.url("/metrics"), {{"Authorization", std::string("Bearer ") + kToken}}, ""});
    for (const auto& [operation, count] : meetings(metrics.body))
        EXPECT_GT(count, 0) << operation << " was never tried in earnest";
}

}  // namespace
}  // namespace messaging::test
