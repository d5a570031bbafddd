// Settings read, refused and shown.
#include "app/config.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "app/config_values.h"

namespace messaging::app {
namespace {

using Values = std::map<std::string, std::string>;

auto lookup_in(const Values& values) {
    return [&values](const std::string& name) -> const char* {
        const auto found = values.find(name);
        return found == values.end() ? nullptr : found->second.c_str();
    };
}

// All that is wrong for serve with these in addition to what serve needs.
std::string errors_of(Values values) {
    values.try_emplace("DATABASE_URL", "postgres://127.0.0.1/x");
    values.try_emplace("WEBHOOK_URL", "http://127.0.0.1/");
    std::string all;
    for (const std::string& error : read_config(lookup_in(values), true).errors) all += error + "\n";
    return all;
}

// What `messaging config` shows of one.
std::string shown(const std::string& name, const std::string& value) {
    const Values values{{name, value}};
    const std::string text = "\n" + describe_config(lookup_in(values));
    const std::size_t begin = text.find("\n" + name + "=") + name.size() + 2;
    return text.substr(begin, text.find('\n', begin) - begin);
}

// With such a token the API ran, and refused everybody.
TEST(Config, TakesOnlyATokenThatAClientCanSend) {
    for (const char* token : {" abc", "abc ", "abc\t", "\tabc", "a\tb", "a\nb", "abc\r",
                              "a\x01"
                              "b",
                              "a\x7f"
                              "b",
                              " "}) {
        EXPECT_NE(errors_of({{"API_TOKEN", token}}), "") << token;
    }
    for (const char* token : {"", "abc", "a b", "ABCxyz019-._~+/==", "g\xc3\xbcltig"}) {
        EXPECT_EQ(errors_of({{"API_TOKEN", token}}), "") << token;
    }
}

TEST(Config, SaysEachWrongSettingInOneReadableSentence) {
    const std::vector<std::pair<Values, std::string>> cases = {
        {{{"MIGRATIONS_DIR", "/nowhere"}}, "MIGRATIONS_DIR names a folder that is not there: /nowhere\n"},
        {{{"ALLOWED_NETWORKS", "10.0.0.0/8, 172.16.0.1/12"}},
         "ALLOWED_NETWORKS must be networks separated by commas, such as 10.0.0.0/8,fd00::/8; \"172.16.0.1/12\" has bits set "
         "behind its "
         "prefix: write 172.16.0.0/12\n"},
        {{{"DOCS_DIR", "/nowhere"}}, "DOCS_DIR names a folder that is not there: /nowhere\n"},
        {{{"BACKOFF_FACTOR", "11"}}, "BACKOFF_FACTOR must be a number from 1 to 10\n"},
        {{{"DATABASE_URL_FILE", "/"}}, "DATABASE_URL and DATABASE_URL_FILE are both set: keep one\n"},
        {{{"API_TOKEN", "abc "}},
         "API_TOKEN must not begin or end with a blank, nor hold a control character: no client could send it as a header\n"},
        {{{"API_TOKEN_FILE", "/"}}, "API_TOKEN cannot be read from the file /: it is a folder\n"},
        {{{"REQUEST_TIMEOUT", "3s"}, {"CONNECT_TIMEOUT", "4s"}}, "CONNECT_TIMEOUT must not be longer than REQUEST_TIMEOUT\n"},
        {{{"DATABASE_URL", "postgres://u:p@h:port/d"}},
         "DATABASE_URL must have a port from 1 to 65535, as in postgres://user:password@host:5432/database\n"},
    };
    for (const auto& [values, expected] : cases) EXPECT_EQ(errors_of(values), expected);
    for (const char* good : {"postgres://a:1,b:65535/d", "postgres://h/d", "host=a,b port=1", "postgres:///d?host=/run"}) {
        EXPECT_EQ(errors_of({{"DATABASE_URL", good}}), "") << good;
    }
}

TEST(Config, TakesKeysOf32BytesForTheSecrets) {
    const std::string key = "a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U=";
    const std::string other = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const auto keys_in = [](const std::string& value) {
        const Values values{{"SECRETS_KEY", value}};
        return read_config(lookup_in(values), false).config.secrets_keys;
    };
    EXPECT_TRUE(keys_in("").empty());
    EXPECT_EQ(keys_in(key).size(), 1U);
    const auto both = keys_in(other + ", " + key);
    ASSERT_EQ(both.size(), 2U);
    EXPECT_EQ(both[1].view(), "keykeykeykeykeykeykeykeykeykeyke");
    for (const std::string& wrong :
         {key + ",", "," + key, key + key, key.substr(4), std::string("password"), key + ",short", std::string(" ")}) {
        const std::string error = errors_of({{"SECRETS_KEY", wrong}});
        EXPECT_TRUE(error.starts_with("SECRETS_KEY must be the base64 of 32 random bytes")) << wrong << ": " << error;
        EXPECT_EQ(error.find("a2V5"), std::string::npos) << error;
        EXPECT_TRUE(keys_in(wrong).empty());
    }
    EXPECT_EQ(shown("SECRETS_KEY", key), "(set, hidden)");
    EXPECT_EQ(shown("SECRETS_KEY", "secret"), "(set, hidden)");
}

TEST(Config, TheDefaultOfOneTimeoutDoesNotContradictTheOther) { EXPECT_EQ(errors_of({{"REQUEST_TIMEOUT", "3s"}}), ""); }

TEST(Config, OnlyAddressesOfThisMachineNeedNoToken) {
    for (const char* here : {"127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"}) {
        EXPECT_EQ(errors_of({{"HTTP_ADDR", here}}), "") << here;
    }
    for (const char* everywhere : {"0.0.0.0", "::", "10.0.0.1"}) {
        EXPECT_NE(errors_of({{"HTTP_ADDR", everywhere}}).find("can be reached from other machines"), std::string::npos);
    }
    EXPECT_NE(errors_of({{"HTTP_ADDR", "127.example.invalid"}}).find("must be an address"), std::string::npos);
}

TEST(Config, AnAddressOfIpv6StandsInBracketsInAUrl) {
    EXPECT_EQ(url_of("::1", 8080), "http://[::1]:8080");
    EXPECT_EQ(url_of("127.0.0.1", 8080), "http://127.0.0.1:8080");
    const Values values{{"HTTP_ADDR", "[::1]"}};
    EXPECT_EQ(read_config(lookup_in(values), false).config.http_addr, "::1");
}

// Review by use: the host could not be seen, and a token in WEBHOOK_URL could.
TEST(Config, ShowsAUrlWithoutItsPasswordAndTheValuesOfItsQuery) {
    for (const auto& [value, expected] :
         std::vector<std::pair<std::string, std::string>>{{"postgres://u:secret@h:5432/d", "postgres://u:***@h:5432/d"},
                                                          {"postgres://u:secret@a:1,b:2/d?sslmode=require&password=secret",
                                                           "postgres://u:***@a:1,b:2/d?sslmode=***&password=***"},
                                                          {"postgresql://u:se@secret/x@h/d", "postgresql://u:***@h/d"},
                                                          {"postgres://u@h/d", "postgres://u@h/d"},
                                                          {"postgres://u:secret%zz@h/d", "(set, hidden)"},
                                                          {"secret", "(set, hidden)"},
                                                          {"", ""}}) {
        EXPECT_EQ(shown("DATABASE_URL", value), expected);
    }
    const std::string list = shown("DATABASE_URL", "host=h user=u password='secret://secret'");
    for (const char* part : {"host=h", "user=u", "password=***"}) EXPECT_NE(list.find(part), std::string::npos) << list;
    EXPECT_EQ(list.find("secret"), std::string::npos) << list;
    for (const auto& [value, expected] :
         std::vector<std::pair<std::string, std::string>>{{"redis://:secret@h:1/3", "redis://:***@h:1/3"},
                                                          {"redis://secret@h", "(set, hidden)"},
                                                          {"unix:///run/redis.sock", "unix:///run/redis.sock"}}) {
        EXPECT_EQ(shown("REDIS_URL", value), expected);
    }
    for (const auto& [value, expected] : std::vector<std::pair<std::string, std::string>>{
             {"https://h/hook?token=secret&a=b=secret&secret&", "https://h/hook?token=***&a=***&***"},
             {"https://h:8443/hook", "https://h:8443/hook"},
             {"https://u:secret@h/", "(set, hidden)"}}) {
        EXPECT_EQ(shown("WEBHOOK_URL", value), expected);
    }
    EXPECT_EQ(shown("API_TOKEN", "secret"), "(set, hidden)");
    EXPECT_EQ(shown("PORT", "1"), "1");
}

}  // namespace
}  // namespace messaging::app
