// The pages' answers to what browsers and proxies ask for.
#include "handler/pages.h"

#include <gtest/gtest.h>

#include <fstream>

#include "support/process.h"

namespace messaging::handler {
namespace {

class PagesTest : public testing::Test {
protected:
    PagesTest() {
        std::ofstream(directory_.path() + "/page.js") << "plain";
        std::ofstream(directory_.path() + "/page.js.gz") << "compressed";
    }
    http::Response answer(const http::Headers& headers) {
        http::Request request;
        request.headers = headers;
        return Pages(directory_.path()).answer("page.js", request);
    }

    test::TemporaryDirectory directory_;
};

// Review by use: a weight of 0 got gzip, which such a client cannot read.
TEST_F(PagesTest, AreCompressedForThoseWhoTakeItOnly) {
    for (const char* takes :
         {"gzip", "deflate, gzip;q=1.0", "GZIP", "gzip;q=0.5", "gzip; q=0.05, identity;q=0", "br,gzip ;q=0.001"}) {
        EXPECT_EQ(answer({{"Accept-Encoding", takes}}).content(), "compressed") << takes;
    }
    for (const char* refuses : {"", "identity", "gzip;q=0", "gzip; q=0", "gzip;Q=0", "gzip;q=0.0", "gzip;q=0.000", "br"}) {
        EXPECT_EQ(answer({{"Accept-Encoding", refuses}}).content(), "plain") << refuses;
    }
    EXPECT_EQ(answer({}).content(), "plain");
}

// An ETag that is empty equalled that of a client that had none: 304.
TEST_F(PagesTest, OneThatIsThereInCompressedFormOnlyIsNoPage) {
    std::ofstream(directory_.path() + "/alone.js.gz") << "compressed";
    EXPECT_FALSE(Pages(directory_.path()).has("alone.js"));
    EXPECT_TRUE(Pages(directory_.path()).has("page.js"));
}

TEST_F(PagesTest, AreNotSentAgainToThoseWhoHaveThem) {
    const http::Response first = answer({});
    std::string etag;
    for (const auto& [name, value] : first.headers) etag = name == "ETag" ? value : etag;
    for (const std::string& have : {etag, etag.substr(2), "\"other\", " + etag, std::string("*")}) {
        EXPECT_EQ(answer({{"If-None-Match", have}}).status, 304) << have;
    }
    EXPECT_EQ(answer({{"If-None-Match", "\"other\""}}).status, 200);
}

}  // namespace
}  // namespace messaging::handler
