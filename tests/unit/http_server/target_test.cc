// Paths and queries as clients write them.
#include "http_server/target.h"

#include <gtest/gtest.h>

namespace messaging::http_server {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

http::Request read(std::string_view target) {
    http::Request request;
    read_target(target, request);
    return request;
}

TEST(Target, SplitsPathAndQuery) {
    const http::Request request = read("/messages?limit=5&status=sent");
    EXPECT_EQ(request.path, "/messages");
    EXPECT_EQ(request.query, (Pairs{{"limit", "5"}, {"status", "sent"}}));
}

TEST(Target, DecodesEscapesInPathAndQuery) {
    const http::Request request = read("/a%20b/%C3%A7?na%6De=%2B90+55");
    EXPECT_EQ(request.path, "/a b/\xC3\xA7");
    EXPECT_EQ(request.query, (Pairs{{"name", "+90 55"}}));
}

TEST(Target, KeepsAPlusInThePath) { EXPECT_EQ(read("/a+b").path, "/a+b"); }

TEST(Target, LeavesMalformedEscapesAsTheyAre) {
    EXPECT_EQ(read("/100%").path, "/100%");
    EXPECT_EQ(read("/%4").path, "/%4");
    EXPECT_EQ(read("/%zz%41").path, "/%zzA");
    EXPECT_EQ(read("/?q=%G1%").query, (Pairs{{"q", "%G1%"}}));
}

TEST(Target, TakesNamesWithoutValuesAndSkipsEmptyPairs) {
    EXPECT_EQ(read("/readyz?verbose").query, (Pairs{{"verbose", ""}}));
    EXPECT_EQ(read("/?&a=1&&b==&").query, (Pairs{{"a", "1"}, {"b", "="}}));
    EXPECT_TRUE(read("/?").query.empty());
}

TEST(Target, KeepsRepeatedNamesInOrder) { EXPECT_EQ(read("/?a=1&a=2").query, (Pairs{{"a", "1"}, {"a", "2"}})); }

TEST(Target, ReadsTheAbsoluteFormThatProxiesSend) {
    const http::Request request = read("http://example.com:8080/messages?limit=1");
    EXPECT_EQ(request.path, "/messages");
    EXPECT_EQ(request.query, (Pairs{{"limit", "1"}}));
    EXPECT_EQ(read("http://example.com").path, "/");
}

TEST(Target, DoesNotTakeAUrlInThePathForAnAbsoluteForm) { EXPECT_EQ(read("/x?to=http://a/b").path, "/x"); }

TEST(Request, FindsHeadersWhateverTheirCase) {
    http::Request request;
    request.headers = {{"Content-Type", "application/json"}, {"X-A", "1"}, {"x-a", "2"}};
    EXPECT_EQ(request.header("content-TYPE"), "application/json");
    EXPECT_EQ(request.header("x-a"), "1");
    EXPECT_EQ(request.header("x"), std::nullopt);
}

TEST(Request, TellsAnAbsentParameterFromAnEmptyOne) {
    const http::Request request = read("/?empty=");
    EXPECT_EQ(request.query_parameter("empty"), "");
    EXPECT_EQ(request.query_parameter("absent"), std::nullopt);
    EXPECT_EQ(request.path_parameter("absent"), "");
}

}  // namespace
}  // namespace messaging::http_server
