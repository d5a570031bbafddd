// Which handler a request reaches, and what is said when none fits.
#include "http_server/router.h"

#include <gtest/gtest.h>

namespace messaging::http_server {
namespace {

class RouterTest : public testing::Test {
protected:
    RouterTest() {
        for (const auto& [method, pattern] : std::vector<std::pair<std::string, std::string>>{{"GET", "/"},
                                                                                              {"GET", "/messages"},
                                                                                              {"POST", "/messages"},
                                                                                              {"GET", "/messages/{id}"},
                                                                                              {"POST", "/messages/{id}/retry"},
                                                                                              {"GET", "/docs/{file}"}}) {
            router_.add(method, pattern, [this, name = method + " " + pattern](http::Request request, Responder) {
                reached_ = name;
                request_ = std::move(request);
            });
        }
    }

    std::string route(std::string method, std::string path) {
        reached_ = "nothing";
        http::Request request;
        request.method = std::move(method);
        request.path = std::move(path);
        router_.route(std::move(request), Responder());
        return reached_;
    }

    std::string reached_;
    http::Request request_;
    Router router_{
        [this](http::Request, Responder, const std::string& allow) { reached_ = allow.empty() ? "404" : "405 " + allow; }};
};

TEST_F(RouterTest, FindsLiteralPathsByMethod) {
    EXPECT_EQ(route("GET", "/"), "GET /");
    EXPECT_EQ(route("GET", "/messages"), "GET /messages");
    EXPECT_EQ(route("POST", "/messages"), "POST /messages");
}

TEST_F(RouterTest, HandsOverPathParameters) {
    EXPECT_EQ(route("GET", "/messages/42"), "GET /messages/{id}");
    EXPECT_EQ(request_.path_parameter("id"), "42");
    EXPECT_EQ(route("POST", "/messages/7/retry"), "POST /messages/{id}/retry");
    EXPECT_EQ(request_.path_parameter("id"), "7");
}

TEST_F(RouterTest, ServesHeadByTheRouteOfGet) { EXPECT_EQ(route("HEAD", "/messages"), "GET /messages"); }

TEST_F(RouterTest, NamesTheMethodsOfAKnownPath) {
    EXPECT_EQ(route("DELETE", "/messages"), "405 GET, HEAD, POST");
    EXPECT_EQ(route("UNKNOWN", "/messages/1"), "405 GET, HEAD");
}

TEST_F(RouterTest, KnowsNoOtherPaths) {
    for (const char* path :
         {"/message", "/docs", "/docs/a/b.css", "/messages/1/", "/messages/1/retry/x", "//", "", "*", "messages"}) {
        EXPECT_EQ(route("GET", path), "404") << path;
    }
}

TEST_F(RouterTest, TakesNoEmptySegmentForAParameter) {
    EXPECT_EQ(route("GET", "/messages/"), "404");
    EXPECT_EQ(route("POST", "/messages//retry"), "404");
}

TEST_F(RouterTest, NamesThePatternForMetricLabels) {
    EXPECT_EQ(router_.pattern_of("/messages/99"), "/messages/{id}");
    EXPECT_EQ(router_.pattern_of("/docs/x"), "/docs/{file}");
    EXPECT_EQ(router_.pattern_of("/admin.php"), "unmatched");
}

}  // namespace
}  // namespace messaging::http_server
