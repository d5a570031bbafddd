// The body of a response, put together.
#include "service/idempotency.h"

namespace messaging::service {

std::string ResponseTemplate::body(const std::vector<std::string>& values) const {
    std::string text = parts.at(0);
    for (std::size_t i = 0; i < values.size(); ++i) text += values[i] + parts.at(i + 1);
    return text;
}

}  // namespace messaging::service
