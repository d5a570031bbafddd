// The looks.
#include "soak/watch.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "support/stores.h"

namespace messaging::test {

using std::chrono::seconds;

Watch::Watch(const std::string& database_url, const Acceptances& acceptances)
    : acceptances_(acceptances), looking_(database_url, "watch", [this](auto& session) { return look(session); }) {}

// One snapshot for all places.
std::optional<std::chrono::milliseconds> Watch::look(pg::Session& session) {
    const auto found = session.execute(
        "SELECT count(*), coalesce(string_agg(id || ' in ' || places::text, ', '), '') FROM (SELECT * FROM "
        "messaging.misplaced() WHERE NOT is_sent LIMIT 10) m");
    const auto held = session.execute("SELECT count(*) FROM (SELECT FROM messaging._hold LIMIT 1) h");
    if (!found || !held || !look_at_sent(session)) return std::nullopt;
    ++looks_;
    if (held->bigint(0, 0) > 0) ++holding_;
    if (found->bigint(0, 0) > 0) {
        ++misplaced_;
        std::printf("      misplaced: %s\n", std::string(found->text(0, 1)).c_str());
        std::fflush(stdout);
    }
    return seconds(1);
}

// A batch that commits behind a later one is looked at by account_of().
bool Watch::look_at_sent(pg::Session& session) {
    const auto sent = session.execute(
        ("SELECT b.batch_id, messaging.webhook_id(i) FROM (SELECT batch_id, ids FROM messaging._sent_batch WHERE batch_id > " +
         std::to_string(last_batch_) + " AND size > 0 ORDER BY batch_id LIMIT 500) b CROSS JOIN unnest(b.ids) i ORDER BY 1")
            .c_str());
    if (!sent) return false;
    for (int row = 0; row < sent->size(); ++row) {
        last_batch_ = sent->bigint(row, 0);
        if (sent->is_null(row, 1) || acceptances_.has(std::string(sent->text(row, 1)))) continue;
        ++false_sent_;
        std::printf("      sent and not accepted: %s\n", std::string(sent->text(row, 1)).c_str());
    }
    return true;
}

Account account_of(const std::string& database_url, const Acceptances& acceptances) {
    auto session = connect_or_abort(database_url);
    const auto rows = session.execute(
        "SELECT messaging.webhook_id(m.id), m.is_sent, d.id IS NOT NULL, m.id, m.endpoint_id FROM messages m LEFT JOIN "
        "messaging._dead d ON d.id = m.id");
    Account account;
    if (!rows) {
        ADD_FAILURE() << rows.error().message;
        account.lost = -1;
        return account;
    }
    account.messages = rows->size();
    for (int row = 0; row < rows->size(); ++row) {
        const bool accepted = acceptances.has(std::string(rows->text(row, 0)));
        const bool sent = rows->boolean(row, 1);
        const bool dead = rows->boolean(row, 2);
        if (sent && !accepted) ++account.false_sent;
        if (accepted || dead) continue;
        if (++account.lost <= 10) {
            std::printf("      lost: message %s for endpoint %s\n", std::string(rows->text(row, 3)).c_str(),
                        std::string(rows->text(row, 4)).c_str());
        }
    }
    return account;
}

}  // namespace messaging::test
