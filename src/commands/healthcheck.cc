// Sends one HEAD request with a short deadline.
#include "commands/healthcheck.h"

#include <curl/curl.h>

#include <cstdio>
#include <string>

#include "app/config_values.h"
#include "http_client/handles.h"

namespace messaging::commands {

int run_healthcheck(const std::string& address, int port, const char* path) {
    // "Every address" is reached by this machine's own.
    const std::string host = address == "0.0.0.0" ? "127.0.0.1" : address == "::" ? "::1" : address;
    const std::string url = app::url_of(host, port) + path;
    const http_client::EasyHandle easy(curl_easy_init());
    long status = 0;
    curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, 2000L);
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(easy.get(), CURLOPT_NOBODY, 1L);
    const CURLcode code = curl_easy_perform(easy.get());
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status == 200) return 0;
    std::fprintf(stderr, "%s: %s\n", url.c_str(),
                 code == CURLE_OK ? ("HTTP " + std::to_string(status)).c_str() : curl_easy_strerror(code));
    return 1;
}

}  // namespace messaging::commands
