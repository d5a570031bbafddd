// Contract: answers of the API held against api-docs/openapi.json.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "support/http_call.h"

namespace messaging::test {

// Any thread that is the only one to use it. The document is read once.
class Contract {
public:
    Contract();
    ~Contract();
    Contract(const Contract&) = delete;
    Contract& operator=(const Contract&) = delete;

    // Stricter than the document in one respect: an object may have no field that the document does not name.
    // Empty when the document allows this answer to a `method` on `path` (without query); else what is wrong with it.
    // A path or method that the document does not have must have been answered by 404 or 405.
    std::string breach(const std::string& method, const std::string& path, const HttpReply& reply);

    // "GET /messages 200" for each documented answer, and for each that breach() has been shown.
    const std::set<std::string>& documented() const;
    const std::set<std::string>& seen() const;
    // The texts of a list in the document, such as an enum, by its JSON pointer; empty where there is none.
    std::vector<std::string> words(const std::string& pointer) const;
    // Whether the string schema of that name under /components/schemas allows the text.
    bool allows(const std::string& schema, const std::string& text) const;
    std::string version() const;  // info.version

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// The one of this test program.
Contract& contract();

}  // namespace messaging::test
