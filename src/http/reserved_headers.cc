// The table of reserved headers, and the look-up in it.
#include "http/reserved_headers.h"

#include <algorithm>
#include <array>

#include "http/text.h"

namespace messaging::http {
namespace {

constexpr std::array kReserved = {ReservedHeader{"webhook-*", HeaderKind::kOurs},
                                  ReservedHeader{"content-type", HeaderKind::kOurs},
                                  ReservedHeader{"content-encoding", HeaderKind::kOurs},
                                  ReservedHeader{"user-agent", HeaderKind::kOurs},
                                  ReservedHeader{"host", HeaderKind::kOurs},
                                  ReservedHeader{"connection", HeaderKind::kOurs},
                                  ReservedHeader{"content-length", HeaderKind::kFraming},
                                  ReservedHeader{"transfer-encoding", HeaderKind::kFraming},
                                  ReservedHeader{"expect", HeaderKind::kFraming},
                                  ReservedHeader{"content-*", HeaderKind::kOther},
                                  ReservedHeader{"proxy-*", HeaderKind::kOther},
                                  ReservedHeader{"keep-alive", HeaderKind::kOther},
                                  ReservedHeader{"upgrade", HeaderKind::kOther},
                                  ReservedHeader{"te", HeaderKind::kOther},
                                  ReservedHeader{"trailer", HeaderKind::kOther}};

bool matches(std::string_view pattern, std::string_view name) {
    if (!pattern.ends_with('*')) return equal_ignoring_case(pattern, name);
    pattern.remove_suffix(1);
    return equal_ignoring_case(pattern, name.substr(0, pattern.size()));
}

}  // namespace

HeaderKind kind_of_header(std::string_view name) {
    const auto* const found =
        std::find_if(kReserved.begin(), kReserved.end(), [name](const ReservedHeader& one) { return matches(one.name, name); });
    return found == kReserved.end() ? HeaderKind::kFree : found->kind;
}

std::span<const ReservedHeader> reserved_headers() { return kReserved; }

}  // namespace messaging::http
