// The routes.
#include "handler/api.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <fstream>
#include <iterator>
#include <memory>
#include <utility>

#include "handler/encode.h"

namespace messaging::handler {
namespace {

using Digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

Digest sha256(std::string_view text) {
    Digest digest{};
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
    return digest;
}

std::string hex(const Digest& digest) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const unsigned char byte : digest) {
        text.push_back(kDigits[byte >> 4]);
        text.push_back(kDigits[byte & 15]);
    }
    return text;
}

bool is_valid_key(std::string_view key) {
    if (key.empty() || key.size() > 255) return false;
    for (const char c : key) {
        if (c < '!' || c > '~') return false;
    }
    return true;
}

const char* content_type_of(std::string_view file) {
    if (file.ends_with(".html")) return "text/html; charset=utf-8";
    if (file.ends_with(".css")) return "text/css; charset=utf-8";
    if (file.ends_with(".js")) return "text/javascript; charset=utf-8";
    if (file.ends_with(".json")) return "application/json";
    if (file.ends_with(".png")) return "image/png";
    return "application/octet-stream";
}

// One result per item, in the order given: created ones take the ids in turn.
http::Response created_answer(const NewMessages& messages, const service::EnqueueResult& result) {
    std::size_t good = 0;
    const int status = result.created.size() == messages.items.size() ? 201 : 207;
    auto response =
        answer(status, status == 201 ? "created" : "some messages were refused: see each result", [&](core::JsonWriter& json) {
            json.begin_array();
            for (std::size_t i = 0; i < messages.items.size(); ++i) {
                json.begin_object().key("index").integer(static_cast<std::int64_t>(i));
                if (const auto* problem = std::get_if<Problem>(&messages.items[i])) {
                    json.key("status").integer(problem->status).key("code").string(problem->code);
                    json.key("message").string(problem->message);
                } else if (good < result.created.size()) {
                    const service::CreatedMessage& created = result.created[good++];
                    json.key("status").integer(201).key("id").string(std::to_string(created.id));
                    json.key("created_at").string(created.created_at);
                }
                json.end_object();
            }
            json.end_array();
        });
    if (result.replayed) response.headers.emplace_back("Idempotent-Replayed", "true");
    return response;
}

}  // namespace

Api::Api(service::MessageStore& messages, service::ControlStore& control, ApiOptions options)
    : messages_(messages),
      control_(control),
      options_(std::move(options)),
      router_([](const http::Request&, http::Responder responder, const std::string& allow) {
          if (allow.empty()) {
              responder.send(answer({404, "not_found", "there is nothing at this path: see /docs/index.html"}));
              return;
          }
          auto response = answer({405, "method_not_allowed", "this path takes " + allow});
          response.headers.emplace_back("Allow", allow);
          responder.send(response);
      }) {
    add_routes();
}

void Api::add_routes() {
    using Member = void (Api::*)(const http::Request&, http::Responder);
    const auto guarded = [this](Member member) {
        return [this, member](const http::Request& request, http::Responder responder) {
            if (!allowed(request)) {
                responder.send(answer({401, "unauthorized", "send the header Authorization: Bearer with the API token"}));
                return;
            }
            (this->*member)(request, std::move(responder));
        };
    };
    const auto open = [this](Member member) {
        return [this, member](const http::Request& request, http::Responder responder) {
            (this->*member)(request, std::move(responder));
        };
    };
    router_.add("POST", "/start", guarded(&Api::start));
    router_.add("POST", "/stop", guarded(&Api::stop));
    router_.add("GET", "/status", guarded(&Api::status));
    router_.add("GET", "/messages", guarded(&Api::list));
    router_.add("POST", "/messages", guarded(&Api::create));
    router_.add("GET", "/messages/{id}", guarded(&Api::get));
    router_.add("POST", "/messages/{id}/retry", guarded(&Api::retry));
    router_.add("GET", "/metrics", guarded(&Api::metrics));
    router_.add("GET", "/docs/{file}", open(&Api::docs));
    router_.add("GET", "/livez", open(&Api::live));
    router_.add("GET", "/readyz", open(&Api::ready));
}

http::RequestHandler Api::handler() {
    return [this](http::Request request, http::Responder responder) {
        const auto began = std::chrono::steady_clock::now();
        responder.on_sent([this, began, method = request.method, route = router_.pattern_of(request.path)](int status) {
            options_.on_request(method, route, status,
                                std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - began));
        });
        router_.route(std::move(request), std::move(responder));
    };
}

http::Response Api::too_large() { return answer({413, "body_too_large", "send fewer or shorter messages in one request"}); }

http::Response Api::forgotten() { return answer({500, "internal", "the service failed; its log has the reason"}); }

// Both sides are hashed, so that neither length nor first difference shows in the time it takes.
bool Api::allowed(const http::Request& request) const {
    if (options_.token.empty()) return true;
    const std::string_view header = request.header("authorization").value_or("");
    const Digest given = sha256(header);
    const Digest expected = sha256("Bearer " + options_.token);
    return CRYPTO_memcmp(given.data(), expected.data(), given.size()) == 0;
}

void Api::start(const http::Request& request, http::Responder responder) { set_running(true, request, std::move(responder)); }

void Api::stop(const http::Request& request, http::Responder responder) { set_running(false, request, std::move(responder)); }

void Api::set_running(bool running, const http::Request& request, http::Responder responder) {
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    control_.set_running(running, "api " + request.peer, [shared, running](const core::Result<service::ServiceState>& state) {
        if (!state) {
            shared->send(answer(to_problem(state.error())));
            return;
        }
        shared->send(answer(200, running ? "sending is on" : "sending is off: what is in flight finishes",
                            [&](core::JsonWriter& json) { write_state(json, state.value()); }));
    });
}

void Api::status(const http::Request&, http::Responder responder) {
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    control_.read_status([shared](const core::Result<service::StatusView>& status) {
        shared->send(status ? answer(200, "ok", [&](core::JsonWriter& json) { write_status(json, status.value()); })
                            : answer(to_problem(status.error())));
    });
}

void Api::list(const http::Request& request, http::Responder responder) {
    const auto checked = read_list_query(request);
    if (const auto* problem = std::get_if<Problem>(&checked)) {
        responder.send(answer(*problem));
        return;
    }
    const auto& query = std::get<service::ListQuery>(checked);
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    messages_.list(query, [shared, query](const core::Result<service::ListPage>& page) {
        if (!page) {
            shared->send(answer(to_problem(page.error())));
            return;
        }
        shared->send(answer(
            200, "ok",
            [&](core::JsonWriter& json) {
                json.begin_array();
                for (const core::MessageView& message : page->messages) write_message(json, message);
                json.end_array();
            },
            [&](core::JsonWriter& json) {
                json.key("limit").integer(query.limit).key("next_cursor");
                if (page->next) {
                    json.string(write_cursor(query, *page->next));
                } else {
                    json.null();
                }
            }));
    });
}

void Api::create(const http::Request& request, http::Responder responder) {
    const auto checked = read_new_messages(request, options_.max_content_bytes);
    const auto* problem = std::get_if<Problem>(&checked);
    const auto* messages = std::get_if<NewMessages>(&checked);
    if (messages != nullptr && !messages->is_array) problem = std::get_if<Problem>(&messages->items.front());
    std::optional<service::IdempotencyKey> key;
    const Problem bad_key{400, "bad_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters"};
    if (const auto header = request.header("idempotency-key")) {
        if (problem == nullptr && !is_valid_key(*header)) problem = &bad_key;
        key = {std::string(*header), hex(sha256(request.body))};
    }
    if (problem != nullptr) {
        responder.send(answer(*problem));
        return;
    }
    std::vector<service::NewMessage> good;
    for (const auto& item : messages->items) {
        if (const auto* message = std::get_if<service::NewMessage>(&item)) good.push_back(*message);
    }
    if (good.empty()) {
        responder.send(created_answer(*messages, {}));
        return;
    }
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    messages_.enqueue(
        std::move(good), std::move(key), [shared, all = *messages](const core::Result<service::EnqueueResult>& result) {
            if (!result && result.error().kind == core::ErrorKind::kConflict) {
                shared->send(
                    answer({422, "idempotency_key_reused", "this Idempotency-Key belongs to another body: use a new one"}));
            } else {
                shared->send(result ? created_answer(all, result.value()) : answer(to_problem(result.error())));
            }
        });
}

void Api::get(const http::Request& request, http::Responder responder) {
    const auto id = read_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) {
        responder.send(answer(*problem));
        return;
    }
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    messages_.get(std::get<core::MessageId>(id), [shared](const auto& found) {
        shared->send(
            found ? answer(200, "ok",
                           [&](core::JsonWriter& json) { write_message(json, found.value().first, &found.value().second); })
                  : answer(to_problem(found.error())));
    });
}

void Api::retry(const http::Request& request, http::Responder responder) {
    const auto id = read_id(request);
    if (const auto* problem = std::get_if<Problem>(&id)) {
        responder.send(answer(*problem));
        return;
    }
    const auto shared = std::make_shared<http::Responder>(std::move(responder));
    messages_.retry(std::get<core::MessageId>(id), [shared](const core::Result<core::Nothing>& result) {
        shared->send(result ? answer(202, "the message will be sent again") : answer(to_problem(result.error())));
    });
}

void Api::metrics(const http::Request&, http::Responder responder) {
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = options_.metrics_text();
    responder.send(response);
}

void Api::live(const http::Request&, http::Responder responder) { responder.send(answer(200, "alive")); }

void Api::ready(const http::Request& request, http::Responder responder) {
    bool ready = true;
    const auto checks = options_.checks();
    for (const Check& check : checks) ready = ready && (check.ok || !check.critical);
    WriteJson data;
    if (request.query_parameter("verbose")) {
        data = [&](core::JsonWriter& json) {
            json.begin_array();
            for (const Check& check : checks) {
                json.begin_object().key("name").string(check.name).key("ok").boolean(check.ok);
                json.key("critical").boolean(check.critical).end_object();
            }
            json.end_array();
        };
    }
    responder.send(ready ? answer(200, "ready", data) : answer(503, "not ready", data));
}

void Api::docs(const http::Request& request, http::Responder responder) {
    const std::string file(request.path_parameter("file"));
    std::ifstream stream;
    // A plain name only: no way out of the folder.
    if (file.find_first_of("/\\") == std::string::npos && !file.starts_with('.')) {
        stream.open(options_.docs_dir + "/" + file, std::ios::binary);
    }
    if (!stream.is_open()) {
        responder.send(answer({404, "not_found", "there is no such page: see /docs/index.html"}));
        return;
    }
    http::Response response;
    response.content_type = content_type_of(file);
    response.headers = {{"X-Content-Type-Options", "nosniff"},
                        {"Content-Security-Policy",
                         "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                         "connect-src 'self'"}};
    response.body.assign(std::istreambuf_iterator<char>(stream), {});
    responder.send(response);
}

}  // namespace messaging::handler
