// Inserts messages in chunks by COPY, and shows the progress.
#include "commands/faker.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>

#include "commands/fake_messages.h"
#include "pg/session.h"
#include "repository/message_loader.h"

namespace messaging::commands {
namespace {

constexpr std::int64_t kChunk = 5000;  // rows in one transaction
constexpr int kBarWidth = 30;

volatile std::sig_atomic_t interrupted = 0;

class Progress {
public:
    explicit Progress(std::int64_t total) : total_(total), terminal_(isatty(STDOUT_FILENO) == 1) {}

    void show(std::int64_t done) {
        const int percent = static_cast<int>(done * 100 / total_);
        if (terminal_) {
            const int filled = static_cast<int>(done * kBarWidth / total_);
            std::string bar;
            for (int i = 0; i < kBarWidth; ++i) bar += i < filled ? "█" : "░";
            std::printf("\r%s %3d %%  %lld of %lld  %.0f rows/s ", bar.c_str(), percent, static_cast<long long>(done),
                        static_cast<long long>(total_), rate(done));
            if (done == total_) std::printf("\n");
            std::fflush(stdout);
        } else if (percent / 10 > shown_tenth_) {
            shown_tenth_ = percent / 10;
            std::printf("%3d %%  %lld of %lld\n", percent, static_cast<long long>(done), static_cast<long long>(total_));
            std::fflush(stdout);
        }
    }
    double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count(); }
    double rate(std::int64_t done) const { return static_cast<double>(done) / std::max(seconds(), 1e-6); }

private:
    std::int64_t total_;
    bool terminal_;
    int shown_tenth_ = 0;
    std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

core::Result<core::Unit> load_chunk(repository::MessageLoader& loader, FakeMessages& messages, std::int64_t rows) {
    auto outcome = loader.begin();
    for (std::int64_t row = 0; outcome && row < rows; ++row) {
        const FakeMessage message = messages.next();
        outcome = loader.add(message.recipient, message.content);
    }
    return outcome ? loader.commit() : outcome;
}

}  // namespace

int run_faker(const FakerOptions& options) {
    auto session = pg::Session::connect(options.database_url, "messaging faker");
    if (!session) {
        std::fprintf(stderr, "faker: %s\n", session.error().message.c_str());
        return 1;
    }
    interrupted = 0;
    std::signal(SIGINT, [](int) { interrupted = 1; });
    std::signal(SIGTERM, [](int) { interrupted = 1; });
    repository::MessageLoader loader(session.value());
    FakeMessages messages(options.seed);
    Progress progress(options.count);
    std::int64_t done = 0;
    while (done < options.count && interrupted == 0) {
        const std::int64_t rows = std::min(kChunk, options.count - done);
        const auto outcome = load_chunk(loader, messages, rows);
        if (!outcome) {
            std::fprintf(stderr, "\nfaker: %s (%lld messages are in)\n", outcome.error().message.c_str(),
                         static_cast<long long>(done));
            return 1;
        }
        done += rows;
        progress.show(done);
    }
    std::printf("%lld messages in %.2f s: %.0f rows/s\n", static_cast<long long>(done), progress.seconds(), progress.rate(done));
    return done == options.count ? 0 : 130;
}

}  // namespace messaging::commands
