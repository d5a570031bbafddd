// Pages: the Swagger pages and the OpenAPI document, as files of one folder held in memory.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "http/message.h"

namespace messaging::handler {

// Reads the folder once, at construction; a folder that is not there is an empty one. A file NAME.gz is sent for the
// file NAME beside it, to clients that take gzip. Any thread.
class Pages {
public:
    explicit Pages(const std::string& directory);

    bool has(const std::string& name) const { return files_.contains(name); }
    // With ETag, and 304 where the client has it already (RFC 9110, 13.1.2). Precondition: has(name).
    http::Response answer(const std::string& name, const http::Request& request) const;

private:
    struct File {
        std::shared_ptr<const std::string> body;
        std::shared_ptr<const std::string> gzip;  // null where there is none
        std::string etag;
    };
    std::map<std::string, File> files_;
};

}  // namespace messaging::handler
