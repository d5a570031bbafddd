// REDIS_URL, taken apart.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "redis/client.h"

namespace messaging::redis {
namespace {

TEST(RedisUrl, ReadsHostPortAndDatabase) {
    const auto target = parse_url("redis://cache.example:6380/3");
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->host, "cache.example");
    EXPECT_EQ(target->port, 6380);
    EXPECT_EQ(target->database, 3);
    EXPECT_TRUE(target->password.empty());
}

TEST(RedisUrl, FillsInPortAndDatabase) {
    for (const char* const url : {"redis://h", "redis://h/"}) {
        const auto target = parse_url(url);
        ASSERT_TRUE(target.ok()) << url;
        EXPECT_EQ(target->host, "h");
        EXPECT_EQ(target->port, 6379);
        EXPECT_EQ(target->database, 0);
    }
}

TEST(RedisUrl, ReadsUserAndPasswordPercentDecoded) {
    const auto target = parse_url("redis://a%40b:p%2Fq:r%25@h:1/0");
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->username, "a@b");
    EXPECT_EQ(target->password, "p/q:r%");
    EXPECT_EQ(target->host, "h");
}

TEST(RedisUrl, APasswordNeedsNoUser) {
    const auto target = parse_url("redis://:pw@h");
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->username, "");
    EXPECT_EQ(target->password, "pw");
}

TEST(RedisUrl, ReadsIpv6Addresses) {
    const auto target = parse_url("redis://[::1]:7000");
    ASSERT_TRUE(target.ok());
    EXPECT_EQ(target->host, "::1");
    EXPECT_EQ(target->port, 7000);
}

TEST(RedisUrl, ReadsASocketPathAndItsDatabase) {
    const auto plain = parse_url("unix:///run/redis.sock");
    ASSERT_TRUE(plain.ok());
    EXPECT_EQ(plain->socket, "/run/redis.sock");
    const auto numbered = parse_url("unix:///run/redis.sock?db=2");
    ASSERT_TRUE(numbered.ok());
    EXPECT_EQ(numbered->socket, "/run/redis.sock");
    EXPECT_EQ(numbered->database, 2);
}

// Review by use: each of these was taken for a host of that name, and the log said for ever that it cannot be found.
TEST(RedisUrl, SaysWhatIsNotSupported) {
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"rediss://:secret@h", "TLS"},        {"redis://a,b:6379", "one host"}, {"redis://a:1,b:2", "port"},
        {"redis://h?db=3", "redis://host/3"}, {"redis://h:6379?db=3", "port"},  {"redis://h/3?x=y", "database number"},
        {"redis://h #mine", "redis://"},      {"unix:///s?database=3", "?db="}};
    for (const auto& [url, words] : cases) {
        const auto target = parse_url(url);
        ASSERT_FALSE(target.ok()) << url;
        EXPECT_NE(target.error().message.find(words), std::string::npos) << url << ": " << target.error().message;
        EXPECT_EQ(target.error().message.find("secret"), std::string::npos);
    }
}

// Each of these was accepted, and led to another server, another user or no server, or its refusal named the wrong part.
TEST(RedisUrl, RefusesWhatCannotBeMeantAndNamesThePart) {
    const std::vector<std::pair<std::string, std::string>> cases = {{"redis://[::1]x:6379", "behind the brackets"},
                                                                    {"redis://[::1]6379", "behind the brackets"},
                                                                    {"redis://[::1", "a ] behind"},
                                                                    {"redis://[::zz]:6379", "IPv6 address in the brackets"},
                                                                    {"redis://[fe80::1%25lo]:6379", "without a zone"},
                                                                    {"redis://[localhost]:6379", "IPv6 address in the brackets"},
                                                                    {"redis://[127.0.0.1]:6379", "IPv6 address in the brackets"},
                                                                    {"redis://::1", "in brackets"},
                                                                    {"redis://user:@h", "a password behind the colon"},
                                                                    {"redis://:@h", "a password behind the colon"},
                                                                    {"redis://:secret/more@h:6379/0", "as %2F"},
                                                                    {"redis://secret/u:p@h", "as %2F"},
                                                                    {"redis://h%20x", "letters, digits"},
                                                                    {"redis://h\x01x", "letters, digits"},
                                                                    {"redis://h\u00fcgel", "letters, digits"},
                                                                    {"redis://h/1000001", "not more than 1000000"},
                                                                    {"unix:///" + std::string(107, 's'), "at most 107 bytes"}};
    for (const auto& [url, words] : cases) {
        const auto target = parse_url(url);
        ASSERT_FALSE(target.ok()) << url;
        EXPECT_NE(target.error().message.find(words), std::string::npos) << url << ": " << target.error().message;
        EXPECT_EQ(target.error().message.find("secret"), std::string::npos) << url;
    }
    EXPECT_TRUE(parse_url("unix:///" + std::string(106, 's')).ok());
}

TEST(RedisUrl, RefusesWhatIsNoneWithoutQuotingThePassword) {
    for (const char* const url :
         {"", "redis://", "http://h", "h:6379", "redis://h:0", "redis://h:70000", "redis://h:x", "redis://h/x", "redis://h/-1",
          "unix://relative", "unix:///s?db=x", "redis://secret@h", "redis://u:secret%zz@h", "redis://u:secret%4@h",
          "redis://u:secret@", "redis://[::1", "redis://[]"}) {
        const auto target = parse_url(url);
        ASSERT_FALSE(target.ok()) << url;
        EXPECT_EQ(target.error().kind, core::ErrorKind::kInvalid);
        EXPECT_EQ(target.error().message.find("secret"), std::string::npos) << url;
    }
}

}  // namespace
}  // namespace messaging::redis
