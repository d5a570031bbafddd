// Validation by valijson: the whole document is the schema, led by a $ref to the answer's own.
#include "support/contract.h"

#define VALIJSON_USE_EXCEPTIONS 1
#include <algorithm>
#include <map>
#include <memory>
#include <regex>
#include <valijson/adapters/rapidjson_adapter.hpp>  // sets up RapidJSON, and so must be the first to include it
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>
#include <vector>

#include "support/places.h"
#include "support/process.h"

namespace messaging::test {
namespace {

using rapidjson::Document;
using rapidjson::Value;

std::string escaped(std::string text) {  // for a JSON pointer
    std::string out;
    for (const char c : text) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
    return out;
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

// The value at "/paths/~1messages/get"; null where there is none.
const Value* value_at(const Value& document, const std::string& pointer) {
    const Value* at = &document;
    for (std::size_t begin = 1; at != nullptr && begin <= pointer.size();) {
        const std::size_t end = std::min(pointer.find('/', begin), pointer.size());
        std::string step = std::regex_replace(pointer.substr(begin, end - begin), std::regex("~1"), "/");
        step = std::regex_replace(step, std::regex("~0"), "~");
        if (at->IsArray()) {
            at = std::stoul(step) < at->Size() ? &(*at)[static_cast<rapidjson::SizeType>(std::stoul(step))] : nullptr;
        } else {
            at = at->IsObject() && at->HasMember(step.c_str()) ? &(*at)[step.c_str()] : nullptr;
        }
        begin = end + 1;
    }
    return at;
}

// The published document lets answers have more fields than it names, because a later version may add some. The tests do not:
// each object schema with properties is closed here. The parts of an allOf are made one object first, since each of them closed
// would refuse the fields of the others.
class Closing {
public:
    explicit Closing(Document& document) : document_(document), allocator_(document.GetAllocator()) {}

    void close_all() { close(document_); }

private:
    void close(Value& value) {
        if (value.IsArray()) {
            for (Value& item : value.GetArray()) close(item);
        }
        if (!value.IsObject()) return;
        if (value.HasMember("allOf")) value = merged(value);
        for (auto& member : value.GetObject()) close(member.value);
        if (value.HasMember("type") && value["type"] == "object" && value.HasMember("properties") &&
            !value.HasMember("additionalProperties")) {
            value.AddMember("additionalProperties", false, allocator_);
        }
    }

    // A copy, with $ref and allOf replaced by what they stand for. Of two schemas for one property the later one says more.
    Value merged(const Value& schema) {
        if (schema.HasMember("$ref")) return merged(*value_at(document_, std::string(schema["$ref"].GetString()).substr(1)));
        Value whole(schema, allocator_);
        if (!schema.HasMember("allOf")) return whole;
        whole.RemoveMember("allOf");
        if (!whole.HasMember("type")) whole.AddMember("type", "object", allocator_);
        for (const Value& part : schema["allOf"].GetArray()) {
            const Value piece = merged(part);
            add_members(whole, "properties", piece);
            add_items(whole, "required", piece);
        }
        return whole;
    }

    void add_members(Value& whole, const char* name, const Value& piece) {
        if (!piece.HasMember(name)) return;
        if (!whole.HasMember(name)) whole.AddMember(Value(name, allocator_), Value(rapidjson::kObjectType), allocator_);
        for (const auto& member : piece[name].GetObject()) {
            whole[name].RemoveMember(member.name);
            whole[name].AddMember(Value(member.name, allocator_), Value(member.value, allocator_), allocator_);
        }
    }

    void add_items(Value& whole, const char* name, const Value& piece) {
        if (!piece.HasMember(name)) return;
        if (!whole.HasMember(name)) whole.AddMember(Value(name, allocator_), Value(rapidjson::kArrayType), allocator_);
        for (const Value& item : piece[name].GetArray()) whole[name].PushBack(Value(item, allocator_), allocator_);
    }

    Document& document_;
    Document::AllocatorType& allocator_;
};

}  // namespace

struct Contract::Impl {
    Document document;
    std::set<std::string> documented;
    std::set<std::string> seen;
    std::map<std::string, valijson::Schema> schemas;  // by JSON pointer

    Impl() {
        document.Parse(read_text_file(source_file("api-docs/openapi.json")).c_str());
        if (document.HasParseError()) abort();
        Closing(document).close_all();
        for (const auto& [path, item] : document["paths"].GetObject()) {
            for (const auto& [method, operation] : item.GetObject()) {
                if (!operation.IsObject()) continue;
                for (const auto& response : operation["responses"].GetObject()) {
                    const std::string status = response.name.GetString();
                    if (status != "default") documented.insert(name_of(method.GetString(), path.GetString(), status));
                }
            }
        }
    }

    static std::string name_of(std::string method, const std::string& path, const std::string& status) {
        std::transform(method.begin(), method.end(), method.begin(),
                       [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
        return method + " " + path + " " + status;
    }

    // The documented path that matches; the one without parameters wins.
    std::string template_of(const std::string& path) const {
        std::string found;
        for (const auto& entry : document["paths"].GetObject()) {
            const std::string name = entry.name.GetString();
            if (name == path) return name;
            if (std::regex_match(path, std::regex(std::regex_replace(name, std::regex(R"(\{[^}]*\})"), "[^/]+")))) found = name;
        }
        return found;
    }

    std::vector<std::string> words(const std::string& pointer) const {
        std::vector<std::string> words;
        const Value* list = value_at(document, pointer);
        if (list == nullptr || !list->IsArray()) return words;
        for (const Value& word : list->GetArray()) words.emplace_back(word.GetString());
        return words;
    }

    // Follows a local "$ref"; moves `pointer` along.
    const Value& resolved(const Value& value, std::string& pointer) const {
        if (!value.HasMember("$ref")) return value;
        pointer = std::string(value["$ref"].GetString()).substr(1);
        return *value_at(document, pointer);
    }

    const valijson::Schema& schema_at(const std::string& pointer) {
        const auto [entry, is_new] = schemas.try_emplace(pointer);
        if (is_new) {
            Document root;
            root.CopyFrom(document, root.GetAllocator());
            root.AddMember("$ref", Value(("#" + pointer).c_str(), root.GetAllocator()), root.GetAllocator());
            const valijson::adapters::RapidJsonAdapter adapter(root);
            valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(adapter, entry->second);
        }
        return entry->second;
    }

    std::string invalid(const std::string& pointer, const std::string& body) {
        Document answer;
        answer.Parse(body.c_str());
        if (answer.HasParseError()) return "the body is not JSON: " + body;
        valijson::Validator validator;
        valijson::ValidationResults results;
        if (validator.validate(schema_at(pointer), valijson::adapters::RapidJsonAdapter(answer), &results)) return "";
        std::string text;
        for (const auto& error : results) {
            for (const std::string& step : error.context) text += step;
            text += ": " + error.description + "\n";
        }
        return text + body;
    }

    std::string breach(const std::string& method, const std::string& path, const HttpReply& reply) {
        const std::string where = method + " " + path + " answered " + std::to_string(reply.status) + ": ";
        const std::string found = template_of(path == "/docs/" ? "/docs" : path);
        const std::string verb = method == "HEAD" ? "get" : lower(method);
        if (found.empty() || !document["paths"][found.c_str()].HasMember(verb.c_str())) {
            if (reply.status != (found.empty() ? 404 : 405)) return where + "the document does not have it";
            const std::string wrong = invalid("/components/schemas/Problem", reply.body);
            return wrong.empty() ? "" : where + wrong;
        }
        const Value& responses = document["paths"][found.c_str()][verb.c_str()]["responses"];
        std::string status = std::to_string(reply.status);
        if (responses.HasMember(status.c_str())) {
            seen.insert(name_of(verb, found, status));
        } else {
            status = "default";
            if (reply.status < 400 || !responses.HasMember("default")) return where + "not documented";
        }
        std::string pointer = "/paths/" + escaped(found) + "/" + verb + "/responses/" + status;
        const Value& response = resolved(responses[status.c_str()], pointer);
        for (const auto& header : response["headers"].GetObject()) {
            const bool optional = std::string(header.name.GetString()) == "Idempotent-Replayed";
            if (!optional && !reply.header(header.name.GetString()))
                return where + "without the header " + header.name.GetString();
        }
        if (!response.HasMember("content")) return reply.body.empty() ? "" : where + "a body where none is documented";
        const std::string type(reply.header("content-type").value_or("none"));
        const std::string media = type.substr(0, type.find(';'));
        if (!response["content"].HasMember(media.c_str())) return where + "the content type " + type + " is not documented";
        if (media != "application/json" || method == "HEAD") return "";
        const std::string wrong = invalid(pointer + "/content/" + escaped(media) + "/schema", reply.body);
        return wrong.empty() ? "" : where + wrong;
    }
};

Contract::Contract() : impl_(std::make_unique<Impl>()) {}
Contract::~Contract() = default;
std::string Contract::breach(const std::string& method, const std::string& path, const HttpReply& reply) {
    return impl_->breach(method, path, reply);
}
const std::set<std::string>& Contract::documented() const { return impl_->documented; }
const std::set<std::string>& Contract::seen() const { return impl_->seen; }
std::vector<std::string> Contract::words(const std::string& pointer) const { return impl_->words(pointer); }
bool Contract::allows(const std::string& schema, const std::string& text) const {
    const Value& rule = impl_->document["components"]["schemas"][schema.c_str()];
    if (rule.HasMember("minLength") && text.size() < rule["minLength"].GetUint()) return false;
    if (rule.HasMember("maxLength") && text.size() > rule["maxLength"].GetUint()) return false;
    return std::regex_search(text, std::regex(rule["pattern"].GetString()));
}
std::string Contract::version() const { return impl_->document["info"]["version"].GetString(); }

Contract& contract() {
    static Contract one;
    return one;
}

}  // namespace messaging::test
