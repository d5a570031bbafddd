// Writing and reading of webhook-ids.
#include "core/webhook_id.h"

#include <cstdio>

#include "core/number.h"

namespace messaging::core {

std::string format_webhook_id(std::string_view database_tag, MessageId id, int generation) {
    char salt[9];
    std::snprintf(salt, sizeof(salt), "%06x", static_cast<unsigned>(generation) >> kResendBits);
    return "msg_" + std::string(database_tag) + "_" + std::to_string(id) + "_" + salt;
}

std::optional<MessageId> id_in_webhook_id(std::string_view text) {
    constexpr std::string_view kPrefix = "msg_";
    if (!text.starts_with(kPrefix)) return std::nullopt;
    const std::size_t begin = text.find('_', kPrefix.size());
    const std::size_t end = text.rfind('_');
    if (begin == std::string_view::npos || end <= begin + 1) return std::nullopt;
    const std::string_view number = text.substr(begin + 1, end - begin - 1);
    if (number[0] == '0') return std::nullopt;
    const auto id = parse_number<MessageId>(number);
    return id && *id > 0 ? id : std::nullopt;
}

}  // namespace messaging::core
