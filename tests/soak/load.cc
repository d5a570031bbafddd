// The INSERTs.
#include "soak/load.h"

#include <array>

#include "soak/endpoints.h"

namespace messaging::test {
namespace {

using std::chrono::milliseconds;
using Pause = std::optional<milliseconds>;

// By a role with nothing but INSERT: what the table accepts is sent, or dead-lettered with a reason.
constexpr std::array kOddRows{"created_at) VALUES ('odd', 'x', 'infinity')",
                              "created_at) VALUES ('odd', 'x', '1970-01-02')",
                              "attempts) VALUES ('odd', 'x', 2147483647)",
                              "attempts) VALUES ('odd', 'x', 31999)",
                              "endpoint_id) VALUES ('odd', 'x', -1)",
                              "endpoint_id) SELECT 'odd', 'x', 999999 FROM generate_series(1, 50)",
                              "last_error) VALUES ('odd', 'x', repeat('e', 1000000))",
                              "generation) VALUES ('odd', 'x', 2147483647)",
                              "abandoned) VALUES ('odd', 'x', 1000)",
                              "receiver_message_id) VALUES ('odd', 'x', repeat('r', 1024))"};

// Ends in the newest secret of its endpoint: its request must be signed with that one or a newer one (signatures.h).
std::string insert_for(const std::string& where, const std::string& count, const char* recipient = "r") {
    return "WITH made AS (INSERT INTO messages (recipient, content, endpoint_id) SELECT '" + std::string(recipient) +
           "', 'c' || g || ' secret ' || coalesce((SELECT max(secret_id) FROM messaging._endpoint_secret s "
           "WHERE s.endpoint_id = e.id AND s.expires_at IS NULL), 0), e.id FROM messaging.endpoints e, generate_series(1, " +
           count + ") g WHERE " + where + " RETURNING 1) SELECT count(*) FROM made";
}

Pause insert(pg::Session& session, const std::string& sql, std::atomic<long>* count, milliseconds pause) {
    const auto made = session.execute(sql.c_str());
    if (made && count != nullptr) *count += static_cast<long>(made->bigint(0, 0));
    return made || made.error().kind != core::ErrorKind::kUnavailable ? Pause(pause) : std::nullopt;
}

}  // namespace

Load::Load(const std::string& database_url, unsigned seed)
    : for_messages_(seed),
      for_limited_(seed + 1),
      for_events_(seed + 2),
      for_odd_(seed + 3),
      message_load_(database_url, "load", [this](auto& session) { return insert_messages(session); }),
      limited_load_(database_url, "limited load", [this](auto& session) { return insert_for_limited(session); }),
      event_load_(database_url, "event load", [this](auto& session) { return insert_events(session); }),
      odd_load_(database_url, "odd load", [this](auto& session) { return insert_odd(session); }) {}

Pause Load::insert_messages(pg::Session& session) {
    const milliseconds pause = for_messages_.pause(20, 520);
    const std::string few = std::to_string(1 + for_messages_.below(20));
    const std::string many = std::to_string(1 + for_messages_.below(120));
    switch (for_messages_.below(8)) {
        case 0: return insert(session, insert_for("name = 'slow'", "3 * " + many), &messages_, pause);
        case 1:
        case 2: return insert(session, insert_for("name LIKE 'good-%'", few), &messages_, pause);
        case 3:
        case 4: return insert(session, insert_for("name LIKE 'bad-%' AND random() < 0.03", "1", "bad"), nullptr, pause);
        case 5: return insert(session, insert_for("name LIKE 'passing-%'", few, "passing"), nullptr, pause);
        default: return insert(session, insert_for("name = 'default'", many), &messages_, pause);
    }
}

// About what the limits allow, so that they are reached again and again.
Pause Load::insert_for_limited(pg::Session& session) {
    const milliseconds pause = for_limited_.pause(100, 900);
    return insert(session, insert_for("name LIKE 'limited-%' AND g <= rate_limit * random() * 1.1", "44"), &messages_, pause);
}

Pause Load::insert_events(pg::Session& session) {
    const std::string type = for_events_.of(kEventTypes);
    const std::string tenant = for_events_.one_in(2) ? "NULL" : "'tenant-1'";
    return insert(session,
                  "WITH made AS (INSERT INTO messaging.events (type, data, tenant) SELECT '" + type +
                      "', ('{\"number\": ' || g || ', \"at\" :\"' || clock_timestamp() || '\"}')::json, " + tenant +
                      " FROM generate_series(1, " + std::to_string(1 + for_events_.below(15)) +
                      ") g RETURNING 1) SELECT count(*) FROM made",
                  &events_, for_events_.pause(50, 800));
}

Pause Load::insert_odd(pg::Session& session) {
    const auto in_role = session.execute_script("SET ROLE soak_writer");
    if (!in_role) return std::nullopt;
    return insert(session, "INSERT INTO messages (recipient, content, " + std::string(for_odd_.of(kOddRows)), nullptr,
                  for_odd_.pause(0, 1000));
}

}  // namespace messaging::test
