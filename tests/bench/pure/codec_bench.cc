// PostgreSQL's parameters and rows, as a claim and a record have them. Argument: messages of one batch.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "pg/params.h"
#include "pg/rows.h"

namespace messaging::pg {
namespace {

void per_message(benchmark::State& state) {
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

std::vector<std::int64_t> ids(benchmark::State& state) {
    std::vector<std::int64_t> all(static_cast<std::size_t>(state.range(0)));
    std::iota(all.begin(), all.end(), 10'000'000);
    return all;
}

void record_of_sent(benchmark::State& state) {
    const auto all = ids(state);
    const std::vector<std::optional<std::string>> receiver_ids(all.size(), "67f2f8a8-ea58-4ed0-a6f9-ff217df4d849");
    for (auto _ : state) {
        Params params;
        params.bigint_array(all).text_array(receiver_ids).bigint(7);
        benchmark::DoNotOptimize(params.values().data());
    }
    per_message(state);
}
BENCHMARK(record_of_sent)->Arg(1)->Arg(1000);

void record_of_failed(benchmark::State& state) {
    const auto all = ids(state);
    const std::vector<std::int32_t> attempts(all.size(), 2);
    const std::vector<std::optional<std::int32_t>> delays(all.size(), 2000);
    const std::vector<std::string> errors(all.size(), "HTTP 503");
    const std::array<std::int64_t, 1> claims{5};
    for (auto _ : state) {
        Params params;
        params.bigint_array(all).bigint_array(all).integer_array(attempts).integer_array(delays);
        params.integer_array(delays).integer_array(attempts).text_array(errors).bigint_array(claims).bigint(7);
        benchmark::DoNotOptimize(params.values().data());
    }
    per_message(state);
}
BENCHMARK(record_of_failed)->Arg(1)->Arg(1000);

// The columns of claim_ready, as libpq holds them; no server is needed for that.
Rows claimed_rows(int count) {
    constexpr std::array<const char*, 13> kValues{
        "7431",     "1000", "t",       nullptr,         "12",
        "10000000", "1",    "0",       "+905551111111", "Hello, this is a message of the usual length, no more.",
        "0.0021",   "7431", "10000999"};
    std::array<PGresAttDesc, kValues.size()> columns{};
    std::array<char, 2> name{"c"};
    for (PGresAttDesc& column : columns) column.name = name.data();
    ResultHandle result(PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK));
    if (!result || PQsetResultAttrs(result.get(), static_cast<int>(columns.size()), columns.data()) == 0) std::abort();
    for (int row = 0; row < count; ++row) {
        for (int column = 0; column < static_cast<int>(kValues.size()); ++column) {
            std::string value = kValues[static_cast<std::size_t>(column)] ? kValues[static_cast<std::size_t>(column)] : "";
            const int length = kValues[static_cast<std::size_t>(column)] ? static_cast<int>(value.size()) : -1;
            if (PQsetvalue(result.get(), row, column, value.data(), length) == 0) std::abort();
        }
    }
    return Rows(std::move(result));
}

void rows_of_a_claim(benchmark::State& state) {
    const Rows rows = claimed_rows(static_cast<int>(state.range(0)));
    for (auto _ : state) {
        for (int row = 0; row < rows.size(); ++row) {
            benchmark::DoNotOptimize(rows.bigint(row, 4) + rows.bigint(row, 5) + rows.bigint(row, 6) + rows.integer(row, 7));
            benchmark::DoNotOptimize(std::string(rows.text(row, 8)));
            benchmark::DoNotOptimize(std::string(rows.text(row, 9)));
            benchmark::DoNotOptimize(rows.number(row, 10));
        }
    }
    per_message(state);
}
BENCHMARK(rows_of_a_claim)->Arg(1)->Arg(1000);

}  // namespace
}  // namespace messaging::pg
