// The blocking session against a real PostgreSQL.
#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "pg/session.h"
#include "support/private_postgres.h"

namespace messaging::pg {
namespace {

using test::empty_database;
using test::shared_postgres;

TEST(PgSession, RunsStatementsScriptsAndCopies) {
    auto session = Session::connect(empty_database(), "pg_test");
    ASSERT_TRUE(session.ok()) << session.error().message;
    ASSERT_TRUE(session->execute_script("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, NULL)").ok());
    ASSERT_TRUE(session->begin_copy("COPY t FROM STDIN").ok());
    ASSERT_TRUE(session->put_copy("2\tzwei\n3\t").ok());
    ASSERT_TRUE(session->put_copy("drei\n").ok());
    ASSERT_TRUE(session->end_copy().ok());
    const auto rows = session->execute("SELECT a, b, a > 1, a / 2.0 FROM t WHERE a >= $1::int ORDER BY a", Params().integer(1));
    ASSERT_TRUE(rows.ok());
    ASSERT_EQ(rows->size(), 3);
    EXPECT_TRUE(rows->is_null(0, 1));
    EXPECT_EQ(rows->optional_text(0, 1), std::nullopt);
    EXPECT_EQ(rows->optional_text(2, 1), "drei");
    EXPECT_EQ(rows->integer(1, 0), 2);
    EXPECT_FALSE(rows->boolean(0, 2));
    EXPECT_TRUE(rows->boolean(1, 2));
    EXPECT_DOUBLE_EQ(rows->number(2, 3), 1.5);
}

TEST(PgSession, TellsTheServersRefusals) {
    auto session = Session::connect(empty_database(), "pg_test");
    ASSERT_TRUE(session->execute_script("CREATE TABLE t (a int)").ok());
    EXPECT_EQ(session->execute("SELECT 1 / 0").error().sqlstate, "22012");
    ASSERT_TRUE(session->begin_copy("COPY t FROM STDIN").ok());
    ASSERT_TRUE(session->put_copy("no number\n").ok());
    EXPECT_EQ(session->end_copy().error().sqlstate, "22P02");
    EXPECT_TRUE(session->execute("SELECT 1").ok());
}

TEST(PgSession, TakesArraysInBinary) {
    auto session = Session::connect(empty_database(), "pg_test");
    const std::array<std::int64_t, 2> ids{-5, 1LL << 40};
    const std::array<std::optional<std::int32_t>, 2> numbers{std::nullopt, -1};
    const std::array<std::optional<std::string>, 2> texts{"a,\"b\" {c}", std::nullopt};
    const auto rows = session->execute("SELECT i, n, t FROM unnest($1::bigint[], $2::int[], $3::text[]) AS x(i, n, t)",
                                       Params().bigint_array(ids).integer_array(numbers).text_array(texts));
    ASSERT_TRUE(rows.ok()) << rows.error().message;
    ASSERT_EQ(rows->size(), 2);
    EXPECT_EQ(rows->bigint(0, 0), -5);
    EXPECT_EQ(rows->bigint(1, 0), 1LL << 40);
    EXPECT_TRUE(rows->is_null(0, 1));
    EXPECT_EQ(rows->integer(1, 1), -1);
    EXPECT_EQ(rows->text(0, 2), "a,\"b\" {c}");
    EXPECT_TRUE(rows->is_null(1, 2));
}

TEST(PgSession, TellsWhyItCannotConnectWithoutThePassword) {
    const auto refused = Session::connect(shared_postgres().tcp_url("postgres", "wrong-password"), "pg_test");
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, core::ErrorKind::kUnavailable);
    EXPECT_EQ(refused.error().message.find("wrong-password"), std::string::npos);
    const auto malformed = Session::connect("password=wrong password", "pg_test");
    ASSERT_FALSE(malformed.ok());
    EXPECT_EQ(malformed.error().kind, core::ErrorKind::kInvalid);
}

}  // namespace
}  // namespace messaging::pg
