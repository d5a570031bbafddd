// Pipelined writing of receipts.
#include "repository/receipt_log.h"

#include <memory>
#include <string>
#include <utility>

#include "core/json.h"

namespace messaging::repository {
namespace {

std::string receipt_json(const core::Receipt& receipt) {
    core::JsonWriter json;
    json.begin_object().key("messageId");
    if (receipt.receiver_message_id) {
        json.string(*receipt.receiver_message_id);
    } else {
        json.null();
    }
    json.key("sentAt").string(receipt.sent_at).end_object();
    return std::string(json.text());
}

// Counts the replies of one batch, and keeps the first error.
struct Tally {
    std::size_t left = 0;
    core::Result<core::Nothing> outcome = core::Nothing{};
    std::function<void(core::Result<core::Nothing>)> done;
};

}  // namespace

void RedisReceiptLog::write(const std::vector<core::Receipt>& receipts, std::function<void(core::Result<core::Nothing>)> done) {
    const auto tally = std::make_shared<Tally>();
    tally->done = std::move(done);
    const auto on_reply = [tally](const core::Result<std::string>& reply) {
        if (!reply && tally->outcome) tally->outcome = reply.error();
        if (--tally->left == 0) tally->done(tally->outcome);
    };
    const std::string stream_max = std::to_string(options_.stream_max);
    const std::string ttl = std::to_string(options_.ttl.count());
    tally->left = receipts.size() * 2 + (receipts.empty() ? 1 : 0);
    for (const core::Receipt& receipt : receipts) {
        const std::string id = std::to_string(receipt.id);
        client_.command({"XADD", "messages:sent", "MAXLEN", "~", stream_max, "*", "id", id, "messageId",
                         receipt.receiver_message_id.value_or(""), "sentAt", receipt.sent_at},
                        on_reply);
        client_.command({"SET", "message:" + id, receipt_json(receipt), "EX", ttl}, on_reply);
    }
    if (receipts.empty()) client_.command({"PING"}, on_reply);  // a batch whose messages are all gone: confirmed by any reply
}

}  // namespace messaging::repository
