// URLs that a webhook may have, and hosts that it may not name.
#include "http_client/url.h"

#include <gtest/gtest.h>

#include <string>

#include "support/loopback.h"

namespace messaging {
namespace {

TEST(CheckUrl, TakesHttpAndHttpsWithAHost) {
    for (const char* url :
         {"http://127.0.0.1:9090/", "https://example.com", "http://[::1]:80/hook?x=1", "HTTP://Example.com/a%20b"}) {
        EXPECT_TRUE(http_client::check_url(url).ok()) << url;
    }
}

TEST(CheckUrl, SaysWhatIsWrong) {
    for (const std::string url :
         {"", "example.com", "/hook", "http://", "ftp://example.com/", "javascript:alert(1)", "http://a:99999/",
          "http://user@example.com/", "http://user:secret@example.com/", "http://exa mple.com/", "http://example.com/\r\nX: y"}) {
        const auto checked = http_client::check_url(url);
        ASSERT_FALSE(checked.ok()) << url;
        EXPECT_EQ(checked.error().kind, core::ErrorKind::kInvalid);
        EXPECT_TRUE(checked.error().message.starts_with("must ")) << checked.error().message;
        EXPECT_EQ(checked.error().message.find("secret"), std::string::npos);
    }
    EXPECT_FALSE(http_client::check_url(std::string("http://a/\0b", 11)).ok());
}

std::string refusal(const std::string& host, const core::AddressPolicy& policy = {}) {
    const auto checked = http_client::check_target("http://" + host + ":8080/hook", policy);
    return checked ? "" : checked.error().message;
}

TEST(CheckTarget, RefusesLoopbackInEveryNotation) {
    for (const char* host : {"127.0.0.1", "2130706433", "0177.0.0.1", "017700000001", "0x7f.1", "0x7f000001", "127.1", "127.0.1",
                             "127.0.0.1.", "127.1.", "0x7f.1..", "%31%32%37.0.0.1", "127%2e1", "127.255.0.3"}) {
        EXPECT_NE(refusal(host).find("is a loopback address; allow it with ALLOWED_NETWORKS"), std::string::npos) << host;
        EXPECT_EQ(refusal(host, test::allowing("127.0.0.0/8")), "") << host;
    }
    for (const char* host : {"[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::]", "0",
                             "0.0.0.0", "[fe80::1%25eth0]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]"}) {
        EXPECT_NE(refusal(host), "") << host;
    }
    for (const char* host : {"localhost", "LocalHost", "localhost.", "%6c%6Fcalhost", "a.localhost", "a.b.LOCALHOST."}) {
        EXPECT_NE(refusal(host).find("means 127.0.0.1"), std::string::npos) << host;
        EXPECT_EQ(refusal(host, test::allowing("127.0.0.0/8")), "") << host;
    }
}

// What curl makes of them depends on the process's locale: 127.0.0.1, or no host at all.
TEST(CheckTarget, RefusesDigitsAndDotsOfOtherScripts) {
    for (const char* host : {"\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "0x7f\u30021", "\u24db\u24decalhost"}) {
        EXPECT_NE(refusal(host), "") << host;
    }
}

TEST(CheckTarget, LeavesNamesToTheConnection) {
    for (const char* host : {"example.com", "8.8.8.8", "[2606:4700::1111]", "localhost.example.com", "notlocalhost", "1.2.3.4.5",
                             "127.0.0.1.example.com", "xn--bcher-kva.example", "[::ffff:8.8.8.8]", "134744072"}) {
        EXPECT_EQ(refusal(host), "") << host;
    }
}

TEST(CheckTarget, ChecksTheUrlToo) {
    for (const char* url : {"", "ftp://example.com/", "http://user@example.com/", "http://example.com:99999/"}) {
        EXPECT_FALSE(http_client::check_target(url, {}).ok()) << url;
    }
}

}  // namespace
}  // namespace messaging
