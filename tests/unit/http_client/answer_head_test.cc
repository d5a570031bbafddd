// Which heads of answers are read, and which end a transfer.
#include "http_client/answer_head.h"

#include <gtest/gtest.h>

namespace messaging::http_client {
namespace {

TEST(AnswerHead, ReadsTheHeadersThatCount) {
    AnswerHead head;
    EXPECT_FALSE(head.is_answered());
    EXPECT_TRUE(head.read("HTTP/1.1 503 Service Unavailable\r\n", false, 503));
    EXPECT_TRUE(head.read("RETRY-AFTER: \t120 \r\n", false, 503));
    EXPECT_TRUE(head.read("date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", false, 503));
    EXPECT_TRUE(head.read("\r\n", false, 503));
    EXPECT_TRUE(head.is_answered());
    EXPECT_FALSE(head.is_accepted());
    EXPECT_EQ(head.status(), 503);
    EXPECT_EQ(head.retry_after(), "120");
    EXPECT_EQ(head.date(), "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST(AnswerHead, ForgetsTheRetryAfterOfAnInterimAnswer) {
    AnswerHead head;
    EXPECT_TRUE(head.read("HTTP/1.1 103 Early Hints\r\n", false, 103));
    EXPECT_TRUE(head.read("Retry-After: 7\r\n", false, 103));
    EXPECT_TRUE(head.read("\r\n", false, 103));
    EXPECT_FALSE(head.is_answered());
    EXPECT_TRUE(head.read("HTTP/1.1 204\r\n", false, 204));
    EXPECT_TRUE(head.is_accepted());
    EXPECT_EQ(head.retry_after(), "");
    EXPECT_EQ(head.date(), "") << "an answer that accepts needs none";
}

TEST(AnswerHead, TakesOnlyAStatusLineInItsPlace) {
    for (const char* line : {"HTTP/1.1 200\r\n", "HTTP/1.0 200 OK\n", "HTTP/1.1 299 \xC3\xA4\r\n"}) {
        EXPECT_TRUE(AnswerHead().read(line, false, 200)) << line;
    }
    for (const char* line : {"HTTP/1.1 204x\r\n", "HTTP/2.0 200\r\n", "HTTP/1. 200\r\n", "HTTP/1.1 099 No\r\n",
                             "HTTP/1.1  200\r\n", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 \x01\r\n", "\r\n", ""}) {
        EXPECT_FALSE(AnswerHead().read(line, false, 200)) << line;
    }
    EXPECT_TRUE(AnswerHead().read("HTTP/2 200 \r\n", true, 200));
    EXPECT_FALSE(AnswerHead().read("HTTP/2 200 \r\n", false, 200)) << "a receiver that does not speak HTTP/2";
    AnswerHead head;
    EXPECT_FALSE(head.read(std::string("SSH\x01-2.0") + std::string(100, 'a') + "\r\n", false, 0));
    EXPECT_EQ(head.strange_line(), "SSH?-2.0" + std::string(32, 'a'));
    EXPECT_FALSE(head.is_answered());
}

TEST(AnswerHead, EndsAfterSoManyBytes) {
    AnswerHead head;
    EXPECT_TRUE(head.read("HTTP/1.1 100 Continue\r\n", false, 100));
    const std::string line = "x: " + std::string(1021, 'a') + "\r\n";
    bool goes_on = true;
    std::size_t lines = 0;
    for (; goes_on && lines < 100; ++lines) goes_on = head.read(line, false, 100);
    EXPECT_EQ(lines, kMaxHeaderBytes / line.size() + 1);
    EXPECT_TRUE(head.is_too_long());
    EXPECT_EQ(head.strange_line(), "");
}

}  // namespace
}  // namespace messaging::http_client
