// DATABASE_URL, taken apart and put together.
#include "pg/conninfo.h"

#include <gtest/gtest.h>

namespace messaging::pg {
namespace {

std::string parameter(const std::vector<std::pair<std::string, std::string>>& parameters, const std::string& keyword) {
    std::string found = "(absent)";
    for (const auto& [name, value] : parameters) {
        if (name == keyword) found = value;
    }
    return found;
}

std::vector<std::pair<std::string, std::string>> parameters_of(const std::string& url, ConnectionOptions options = {}) {
    const auto info = parse_conninfo(url);
    EXPECT_TRUE(info.ok()) << info.error().message;
    return connect_parameters(info.value(), info->hosts, options);
}

TEST(Conninfo, ReadsAUrl) {
    const auto info = parse_conninfo("postgresql://app:secret@db.example:6000/orders?sslmode=require");
    ASSERT_TRUE(info.ok());
    ASSERT_EQ(info->hosts.size(), 1u);
    EXPECT_EQ(info->hosts[0].host, "db.example");
    EXPECT_EQ(info->hosts[0].port, "6000");
    EXPECT_TRUE(info->hosts[0].needs_lookup());
    EXPECT_EQ(parameter(info->parameters, "user"), "app");
    EXPECT_EQ(parameter(info->parameters, "dbname"), "orders");
    EXPECT_EQ(parameter(info->parameters, "sslmode"), "require");
}

TEST(Conninfo, ReadsSeveralHostsWithTheirPorts) {
    const auto info = parse_conninfo("host=a,b port=1,2 hostaddr=,10.0.0.2");
    ASSERT_TRUE(info.ok());
    ASSERT_EQ(info->hosts.size(), 2u);
    EXPECT_EQ(info->hosts[0].port, "1");
    EXPECT_TRUE(info->hosts[0].needs_lookup());
    EXPECT_EQ(info->hosts[1].port, "2");
    EXPECT_EQ(info->hosts[1].hostaddr, "10.0.0.2");
    EXPECT_FALSE(info->hosts[1].needs_lookup());
}

TEST(Conninfo, OnePortServesAllHosts) {
    const auto info = parse_conninfo("postgresql://a,b:7/x?port=7");
    ASSERT_TRUE(info.ok());
    EXPECT_EQ(info->hosts[0].port, "7");
    EXPECT_EQ(info->hosts[1].port, "7");
}

TEST(Conninfo, ASocketDirectoryIsNotLookedUp) {
    const auto info = parse_conninfo("postgresql:///x?host=/run/postgresql");
    ASSERT_TRUE(info.ok());
    EXPECT_FALSE(info->hosts[0].needs_lookup());
}

TEST(Conninfo, ErrorsDoNotQuoteThePassword) {
    for (const char* const url : {"postgresql://u:sec%zzret@h/x", "password=sec ret host=h", "postgresql://u:s%00ecret@h/x",
                                  "password=a sec\"ret\"=b", "password=a secret=b", "postgresql://u:p@h/x?secret"}) {
        const auto info = parse_conninfo(url);
        ASSERT_FALSE(info.ok()) << url;
        EXPECT_EQ(info.error().kind, core::ErrorKind::kInvalid);
        EXPECT_EQ(info.error().message.find("ret"), std::string::npos) << info.error().message;
        EXPECT_FALSE(info.error().message.empty());
    }
}

TEST(Conninfo, OurDefaultsGiveWayToTheUrl) {
    const auto parameters = parameters_of("postgresql://h/x?keepalives_idle=99");
    EXPECT_EQ(parameter(parameters, "keepalives_idle"), "99");
    EXPECT_EQ(parameter(parameters, "keepalives_interval"), "2");
    EXPECT_EQ(parameter(parameters, "keepalives_count"), "3");
    EXPECT_EQ(parameter(parameters, "tcp_user_timeout"), "10000");
}

TEST(Conninfo, SettingsAreEscapedAndFollowTheUrlsOwnOptions) {
    ConnectionOptions options;
    options.settings = {{"search_path", "a b\\c"}, {"jit", "off"}};
    EXPECT_EQ(parameter(parameters_of("host=h options='-c x=1'", options), "options"),
              "-c x=1 -c search_path=a\\ b\\\\c -c jit=off");
}

TEST(Conninfo, EachAddressKeepsItsNameAndPort) {
    const auto info = parse_conninfo("postgresql://db:6000/x");
    ASSERT_TRUE(info.ok());
    const auto parameters = connect_parameters(info.value(), {{"db", "10.0.0.1", "6000"}, {"db", "::1", "6000"}}, {});
    EXPECT_EQ(parameter(parameters, "host"), "db,db");
    EXPECT_EQ(parameter(parameters, "hostaddr"), "10.0.0.1,::1");
    EXPECT_EQ(parameter(parameters, "port"), "6000,6000");
}

TEST(Sqlstate, TellsWhatACallerCanDo) {
    using core::ErrorKind;
    EXPECT_EQ(classify_sqlstate("57P01"), ErrorKind::kUnavailable);  // terminated by the administrator
    EXPECT_EQ(classify_sqlstate("53300"), ErrorKind::kUnavailable);  // too many connections
    EXPECT_EQ(classify_sqlstate("40P01"), ErrorKind::kUnavailable);  // deadlock
    EXPECT_EQ(classify_sqlstate("57014"), ErrorKind::kTimeout);      // statement_timeout
    EXPECT_EQ(classify_sqlstate("55P03"), ErrorKind::kTimeout);      // lock_timeout
    EXPECT_EQ(classify_sqlstate("23514"), ErrorKind::kInvalid);      // CHECK
    EXPECT_EQ(classify_sqlstate("22021"), ErrorKind::kInvalid);      // invalid UTF-8
    EXPECT_EQ(classify_sqlstate("42P01"), ErrorKind::kInternal);     // no such table
    EXPECT_EQ(classify_sqlstate(""), ErrorKind::kInternal);
}

}  // namespace
}  // namespace messaging::pg
