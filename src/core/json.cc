// Parses JSON with RapidJSON into a tree, and writes JSON. The only file that may include RapidJSON's parser
// (scripts/check-layers).
#include "core/json.h"

#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/text.h"

namespace messaging::core {
namespace {

enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

// A tree of our own, because RapidJSON's document cannot tell a number kept as text from a string.
struct Node {
    Kind kind = Kind::kNull;
    bool boolean = false;
    std::string text;
    std::size_t begin = 0;  // in the text that was parsed
    std::size_t end = 0;
    std::vector<Node> items;         // of an array, or the values of an object
    std::vector<std::string> names;  // of an object, beside items
};

const Node& node_of(const void* node) { return *static_cast<const Node*>(node); }

using ByteStream = rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream>;

// Receives the reader's events; answers false to stop at the depth limit.
class TreeBuilder : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, TreeBuilder> {
public:
    TreeBuilder(const JsonLimits& limits, std::string_view source, const ByteStream& stream)
        : limits_(limits), source_(source), stream_(stream), read_to_(stream.Tell()) {}

    bool Null() { return add_scalar(Kind::kNull); }
    bool Bool(bool value) { return add_scalar(Kind::kBool, "", value); }
    bool RawNumber(const char* text, rapidjson::SizeType length, bool) { return add_scalar(Kind::kNumber, {text, length}); }
    bool String(const char* text, rapidjson::SizeType length, bool) {
        return is_unicode({text, length}) && add_scalar(Kind::kString, {text, length});
    }
    bool StartObject() { return open(Kind::kObject); }
    bool Key(const char* text, rapidjson::SizeType length, bool) {
        if (!is_unicode({text, length})) return false;
        open_.back().names.emplace_back(text, length);
        read_to_ = stream_.Tell();
        return true;
    }
    bool EndObject(rapidjson::SizeType) { return close(); }
    bool StartArray() { return open(Kind::kArray); }
    bool EndArray(rapidjson::SizeType) { return close(); }

    bool too_deep() const { return too_deep_; }
    bool not_unicode() const { return not_unicode_; }
    bool too_many() const { return values_ > limits_.max_values; }
    Node take_root() { return std::move(root_); }

private:
    // Of the decoded text: the reader's own check sees neither half a surrogate pair written as an escape (\ude00), nor is it
    // cheap.
    bool is_unicode(std::string_view text) {
        not_unicode_ = !is_utf8(text);
        return !not_unicode_;
    }
    // Where the next value, or the end of an object or array, begins behind what was read.
    std::size_t next_begin() const { return std::min(source_.find_first_not_of(" \t\r\n:,", read_to_), source_.size()); }
    bool add_scalar(Kind kind, std::string_view text = {}, bool value = false) {
        Node node{kind, value, std::string(text), next_begin(), stream_.Tell(), {}, {}};
        read_to_ = node.end;
        return add(std::move(node));
    }
    bool add(Node node) {
        ++values_;
        if (too_many()) return false;
        if (open_.empty()) {
            root_ = std::move(node);
        } else {
            open_.back().items.push_back(std::move(node));
        }
        return true;
    }
    bool open(Kind kind) {
        too_deep_ = open_.size() >= limits_.max_depth;
        if (too_deep_) return false;
        open_.push_back({kind, false, "", next_begin(), 0, {}, {}});
        read_to_ = open_.back().begin + 1;
        return true;
    }
    bool close() {
        Node node = std::move(open_.back());
        open_.pop_back();
        node.end = read_to_ = next_begin() + 1;
        return add(std::move(node));
    }

    const JsonLimits& limits_;
    const std::string_view source_;
    const ByteStream& stream_;
    std::size_t read_to_;
    std::size_t values_ = 0;
    std::vector<Node> open_;
    Node root_;
    bool too_deep_ = false;
    bool not_unicode_ = false;
};

constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag;

Error invalid(std::string message) { return {ErrorKind::kInvalid, std::move(message), ""}; }

}  // namespace

struct JsonDocument::Impl {
    Node root;
};

JsonDocument::JsonDocument() : impl_(std::make_unique<Impl>()) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;

Result<JsonDocument> JsonDocument::parse(std::string_view text, const JsonLimits& limits) {
    if (text.size() > limits.max_bytes) {
        return invalid("the JSON text is longer than " + std::to_string(limits.max_bytes) + " bytes");
    }
    // The reader takes NUL for the end of the text, and would not look at what follows.
    if (const std::size_t nul = text.find('\0'); nul != std::string_view::npos) {
        return invalid("not valid JSON at byte " + std::to_string(nul) + ": the character NUL");
    }
    rapidjson::MemoryStream bytes(text.data(), text.size());
    ByteStream stream(bytes);
    TreeBuilder builder(limits, text, stream);
    const rapidjson::ParseResult outcome = rapidjson::Reader().Parse<kFlags>(stream, builder);
    if (builder.too_deep()) return invalid("the JSON text is nested deeper than " + std::to_string(limits.max_depth));
    if (builder.too_many()) return invalid("the JSON text has more than " + std::to_string(limits.max_values) + " values");
    if (builder.not_unicode()) {
        return invalid("not valid JSON: the string that ends at byte " + std::to_string(outcome.Offset()) +
                       " holds bytes that are not UTF-8, or half of a surrogate pair");
    }
    if (outcome.IsError()) {
        return invalid(std::string("not valid JSON at byte ") + std::to_string(outcome.Offset()) + ": " +
                       rapidjson::GetParseError_En(outcome.Code()));
    }
    JsonDocument document;
    document.impl_->root = builder.take_root();
    return document;
}

JsonView JsonDocument::root() const { return JsonView(&impl_->root); }

std::vector<std::pair<std::string, std::string>> string_members(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> members;
    const auto document = JsonDocument::parse(text);
    if (!document || !document->root().is_object()) return members;
    for (const std::string_view name : document->root().keys()) {
        const auto value = document->root().member(name);
        if (value && value->is_string()) members.emplace_back(name, value->text());
    }
    return members;
}

std::vector<std::string> string_items(std::string_view text) {
    std::vector<std::string> items;
    const auto document = JsonDocument::parse(text);
    if (!document || !document->root().is_array()) return items;
    for (const JsonView& item : document->root().elements()) {
        if (item.is_string()) items.emplace_back(item.text());
    }
    return items;
}

bool JsonView::is_object() const { return node_of(node_).kind == Kind::kObject; }
bool JsonView::is_array() const { return node_of(node_).kind == Kind::kArray; }
bool JsonView::is_string() const { return node_of(node_).kind == Kind::kString; }
bool JsonView::is_number() const { return node_of(node_).kind == Kind::kNumber; }
bool JsonView::is_bool() const { return node_of(node_).kind == Kind::kBool; }
bool JsonView::is_null() const { return node_of(node_).kind == Kind::kNull; }

std::string_view JsonView::text() const { return node_of(node_).text; }
std::pair<std::size_t, std::size_t> JsonView::place() const {
    const Node& node = node_of(node_);
    return {node.begin, node.end - node.begin};
}
bool JsonView::boolean() const { return node_of(node_).boolean; }

std::optional<JsonView> JsonView::member(std::string_view name) const {
    const Node& node = node_of(node_);
    for (std::size_t i = node.names.size(); i-- > 0;) {
        if (node.names[i] == name) return JsonView(&node.items[i]);
    }
    return std::nullopt;
}

std::vector<std::string_view> JsonView::keys() const {
    const Node& node = node_of(node_);
    return {node.names.begin(), node.names.end()};
}

std::size_t JsonView::size() const { return node_of(node_).items.size(); }
std::vector<JsonView> JsonView::elements() const {
    std::vector<JsonView> all;
    for (const Node& item : node_of(node_).items) all.push_back(JsonView(&item));
    return all;
}
JsonView JsonView::at(std::size_t index) const { return JsonView(&node_of(node_).items[index]); }

struct JsonWriter::Impl {
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer{buffer};
};

JsonWriter::JsonWriter() : impl_(std::make_unique<Impl>()) {}
JsonWriter::~JsonWriter() = default;

JsonWriter& JsonWriter::begin_object() {
    impl_->writer.StartObject();
    return *this;
}
JsonWriter& JsonWriter::end_object() {
    impl_->writer.EndObject();
    return *this;
}
JsonWriter& JsonWriter::begin_array() {
    impl_->writer.StartArray();
    return *this;
}
JsonWriter& JsonWriter::end_array() {
    impl_->writer.EndArray();
    return *this;
}
JsonWriter& JsonWriter::key(std::string_view name) {
    impl_->writer.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    return *this;
}
JsonWriter& JsonWriter::string(std::string_view value) {
    const std::string clean = is_utf8(value) ? std::string() : clean_text(value, value.size() * 3);
    const std::string_view text = clean.empty() ? value : std::string_view(clean);
    impl_->writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
    return *this;
}
JsonWriter& JsonWriter::integer(std::int64_t value) {
    impl_->writer.Int64(value);
    return *this;
}
JsonWriter& JsonWriter::number(double value) {
    // JSON has no infinity and no NaN.
    if (std::isfinite(value)) {
        impl_->writer.Double(value);
    } else {
        impl_->writer.Null();
    }
    return *this;
}
JsonWriter& JsonWriter::boolean(bool value) {
    impl_->writer.Bool(value);
    return *this;
}
JsonWriter& JsonWriter::null() {
    impl_->writer.Null();
    return *this;
}

JsonWriter& JsonWriter::json(std::string_view value) {
    impl_->writer.RawValue(value.data(), value.size(), rapidjson::kObjectType);  // the writer does not look at the type
    return *this;
}

std::string_view JsonWriter::text() const { return {impl_->buffer.GetString(), impl_->buffer.GetSize()}; }

}  // namespace messaging::core
