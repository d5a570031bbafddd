// The JSON wrapper: any text is refused or read, and what is read and written again reads the same.
#include "core/json.h"

#include "fuzz/fuzz.h"

using namespace messaging;  // NOLINT(google-build-using-namespace)

namespace {

void copy(const core::JsonView& value, core::JsonWriter& to) {
    if (value.is_object()) {
        to.begin_object();
        for (const std::string_view name : value.keys()) {
            to.key(name);
            copy(*value.member(name), to);
        }
        to.end_object();
    } else if (value.is_array()) {
        to.begin_array();
        for (std::size_t i = 0; i < value.size(); ++i) copy(value.at(i), to);
        to.end_array();
    } else if (value.is_string() || value.is_number()) {
        to.string(value.text());
    } else if (value.is_bool()) {
        to.boolean(value.boolean());
    } else {
        fuzz::promise(value.is_null(), "a value is of one of the six kinds");
        to.null();
    }
}

std::string copied(const core::JsonDocument& document) {
    core::JsonWriter writer;
    copy(document.root(), writer);
    return std::string(writer.text());
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto document = core::JsonDocument::parse(fuzz::text_of(data, size));
    if (!document) {
        fuzz::promise(!document.error().message.empty(), "a refusal says why");
        return 0;
    }
    const std::string once = copied(document.value());
    const auto again = core::JsonDocument::parse(once);
    fuzz::promise(again.ok(), "what we write can be read");
    fuzz::promise(copied(again.value()) == once, "and reads the same");
    return 0;
}
