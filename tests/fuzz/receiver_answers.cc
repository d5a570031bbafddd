// The body of a receiver's answer: its messageId can be stored, or there is none.
#include "core/text.h"
#include "fuzz/fuzz.h"
#include "gateway/webhook_sender.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view body = fuzz::text_of(data, size);
    if (const auto id = gateway::receiver_message_id(body)) {
        fuzz::promise(!id->empty() && id->size() <= gateway::kMaxReceiverMessageIdBytes, "an id is 1 to so many bytes");
        fuzz::promise(core::is_utf8(*id) && id->find('\0') == std::string::npos, "PostgreSQL takes the id");
    }
    const std::string reason = core::clean_text(body, 64);
    fuzz::promise(reason.size() <= 64 && core::is_utf8(reason) && reason.find('\0') == std::string::npos,
                  "PostgreSQL takes a reason made of it");
    return 0;
}
