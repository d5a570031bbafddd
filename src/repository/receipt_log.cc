// Writes receipts to Redis, many with each command.
#include "repository/receipt_log.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

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

// A batch is one command: as two commands a message, formatting and replies took a sixth of all the engine's instructions.
// ARGV: the stream's bound, the keys' life in seconds, and then, for each receipt, id, messageId, time and JSON.
//
// A receipt is written once, however often it is sent: its key tells that the stream has it. So the key and the entry must be
// written both or neither, although Redis undoes nothing when a script fails:
// - OOM, READONLY, NOREPLICAS and MISCONF can only meet a script's first write (Redis 7.0: script.c, scriptVerifyOOM and
//   scriptVerifyWriteCommandAllow), and that is a key.
// - WRONGTYPE or NOPERM may meet any XADD. Then the key is put back as it was, or expires in a millisecond.
// - SET without GET overwrites a key that is no string, works before Redis 6.2, and is refused where Redis refuses to write.
constexpr const char* kWriteBatch = R"lua(
local call, pcall, seconds = redis.call, redis.pcall, ARGV[2]
for i = 3, #ARGV, 4 do
    local key, receipt = 'message:' .. ARGV[i], ARGV[i + 3]
    local before = pcall('SET', key, receipt, 'EX', seconds, 'GET')
    if type(before) == 'table' then
        call('SET', key, receipt, 'EX', seconds)
        before = false
    end
    if before ~= receipt then
        local entry = pcall('XADD', 'messages:sent', '*', 'id', ARGV[i], 'messageId', ARGV[i + 1], 'sentAt', ARGV[i + 2])
        if type(entry) == 'table' then
            if before then call('SET', key, before, 'EX', seconds) else call('SET', key, '', 'PX', 1) end
            return entry
        end
    end
end
call('XTRIM', 'messages:sent', 'MAXLEN', '~', ARGV[1]))lua";
constexpr std::size_t kReceiptsInACommand = 250;  // Redis does nothing else meanwhile: about a millisecond

// Counts the replies of one batch, and keeps the first error.
struct Tally {
    std::size_t left = 0;
    core::Result<core::Unit> outcome = core::Unit{};
    std::function<void(core::Result<core::Unit>)> done;
};

}  // namespace

void RedisReceiptLog::write(const std::vector<core::Receipt>& receipts, std::function<void(core::Result<core::Unit>)> done) {
    const auto tally = std::make_shared<Tally>();
    tally->done = std::move(done);
    const auto on_reply = [tally](const core::Result<std::string>& reply) {
        if (!reply && tally->outcome) tally->outcome = reply.error();
        if (--tally->left == 0) tally->done(tally->outcome);
    };
    std::vector<std::vector<std::string>> commands;
    for (std::size_t begin = 0; begin < receipts.size(); begin += kReceiptsInACommand) {
        auto& command = commands.emplace_back();
        const std::size_t end = std::min(begin + kReceiptsInACommand, receipts.size());
        command.reserve(5 + 4 * (end - begin));
        command = {"EVAL", kWriteBatch, "0", std::to_string(options_.stream_max), std::to_string(options_.ttl.count())};
        for (std::size_t i = begin; i < end; ++i) {
            const core::Receipt& receipt = receipts[i];
            command.push_back(std::to_string(receipt.id));
            command.push_back(receipt.receiver_message_id.value_or(""));
            command.push_back(receipt.sent_at);
            command.push_back(receipt_json(receipt));
        }
    }
    tally->left = commands.size();
    for (const auto& command : commands) client_.command(command, on_reply);
}

}  // namespace messaging::repository
