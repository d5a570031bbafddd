// One GET with a short deadline.
#include "app/health.h"

#include <curl/curl.h>

#include <cstdio>
#include <string>

#include "http/handles.h"

namespace messaging::app {

int run_healthcheck(int port, const char* path) {
    const std::string url = "http://127.0.0.1:" + std::to_string(port) + path;
    const http::EasyHandle easy(curl_easy_init());
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

}  // namespace messaging::app
