// RedisReceiptLog: receipts as a bounded stream and a key per message; implements engine::ReceiptLog.
#pragma once

#include <chrono>
#include <cstdint>

#include "engine/receipt_log.h"
#include "redis/client.h"

namespace messaging::repository {

struct ReceiptLogOptions {
    std::int64_t stream_max = 100000;  // entries, about (XTRIM MAXLEN ~)
    std::chrono::seconds ttl{86400};   // of the keys
};

// Loop thread only. The client must outlive it.
//   SET message:<id> {"messageId": …, "sentAt": …} EX ttl
//   XADD messages:sent * id <id> messageId <receiver's> sentAt <RFC 3339>, unless the key had that value already
//   XTRIM messages:sent MAXLEN ~ n, once for each command
// So a receipt that is written again while its key lives adds no second entry to the stream (Redis 6.2 or newer, for SET … GET).
class RedisReceiptLog : public engine::ReceiptLog {
public:
    RedisReceiptLog(redis::Client& client, ReceiptLogOptions options) : client_(client), options_(options) {}

    bool up() const override { return client_.up(); }
    void write(const std::vector<core::Receipt>& receipts, std::function<void(core::Result<core::Unit>)> done) override;

private:
    redis::Client& client_;
    ReceiptLogOptions options_;
};

}  // namespace messaging::repository
