// The command line: subcommands, and flags with the same names as the environment's settings.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.h"
#include "app/config_values.h"
#include "app/serve.h"
#include "commands/doctor.h"
#include "commands/faker.h"
#include "commands/healthcheck.h"
#include "commands/migrate.h"
#include "commands/receiver.h"
#include "telemetry/version.h"

namespace {

using messaging::app::Config;

constexpr int kUsageExit = 64;   // EX_USAGE of sysexits.h
constexpr int kConfigExit = 78;  // EX_CONFIG

constexpr rlim_t kMaxDescriptors = 65536;

std::map<std::string, std::string> flags;  // setting -> value given as a flag

// Flag over environment; an empty variable counts as not set, but for REDIS_URL.
const char* look_up(const std::string& name) {
    const auto flag = flags.find(name);
    if (flag != flags.end()) return flag->second.c_str();
    const char* const value = std::getenv(name.c_str());
    const bool is_set = value != nullptr && (*value != '\0' || messaging::app::empty_means_something(name));
    return is_set ? value : nullptr;
}

std::string flag_name(const char* setting) {
    std::string name = "--";
    for (const char* c = setting; *c != '\0'; ++c) name.push_back(*c == '_' ? '-' : static_cast<char>(std::tolower(*c)));
    return name;
}

void exit_if_wrong(const std::vector<std::string>& errors) {
    for (const std::string& error : errors) std::fprintf(stderr, "configuration: %s\n", error.c_str());
    if (!errors.empty()) std::exit(kConfigExit);
}

// Every error at once, and nothing started.
Config config_or_exit(bool serving) {
    auto result = messaging::app::read_config(look_up, serving);
    exit_if_wrong(result.errors);
    return result.config;
}

// Else the first socket gets the number of standard output, and what is printed is sent over it.
void open_standard_descriptors() {
    int fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO) fd = dup(fd);  // the lowest that is free
    if (fd >= 0) close(fd);
}

// The usual soft limit of 1,024 is meant for programs that call select(); nothing here does.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = std::max(limit.rlim_cur, std::min(limit.rlim_max, kMaxDescriptors));
    setrlimit(RLIMIT_NOFILE, &limit);
}

using Names = std::vector<std::string_view>;

// The command takes every setting as a flag, so that one set of flags fits all commands but `receiver`. The --help of a
// command lists the settings that it uses.
void add_settings(CLI::App* command, const Names& that_count) {
    for (const auto& setting : messaging::app::settings()) {
        const std::string name = setting.name;
        auto* const option = command->add_option_function<std::string>(
            flag_name(setting.name), [name](const std::string& value) { flags[name] = value; }, setting.meaning);
        option->default_str(setting.default_value);
        const bool counts = that_count.empty() || std::find(that_count.begin(), that_count.end(), name) != that_count.end();
        option->group(counts ? "Settings" : "");  // of no group: not in the help
    }
}

// A subcommand, and what it does once the command line is parsed. Returns the exit status.
struct Command {
    CLI::App* app;
    std::function<int()> run;
};

Command add_serve(CLI::App& program) {
    auto* const app = program.add_subcommand("serve", "send messages, and serve the API");
    add_settings(app, {});
    return {app, [] { return messaging::app::run_serve(config_or_exit(true)); }};
}

Command add_migrate(CLI::App& program) {
    struct Options {
        std::string command;
        bool force = false;
    };
    const auto options = std::make_shared<Options>();
    auto* const app =
        program.add_subcommand("migrate", "create or update the schema, undo its newest migration, or list the migrations");
    app->add_option("command", options->command, "up, down or status")
        ->required()
        ->check(CLI::IsMember({"up", "down", "status"}));
    app->add_flag("--force", options->force, "down: even if messages are lost, or an engine runs");
    add_settings(app, {"DATABASE_URL", "MIGRATIONS_DIR", "MAX_CONTENT_BYTES"});
    return {app, [options] { return messaging::commands::run_migrate(config_or_exit(false), options->command, options->force); }};
}

Command add_doctor(CLI::App& program) {
    auto* const app = program.add_subcommand("doctor", "check the database, and print what to do about each finding");
    add_settings(app, {"DATABASE_URL", "MIGRATIONS_DIR", "ENGINES"});
    return {app, [] { return messaging::commands::run_doctor(config_or_exit(false)); }};
}

Command add_faker(CLI::App& program) {
    const auto options = std::make_shared<messaging::commands::FakerOptions>();
    auto* const app = program.add_subcommand("faker", "insert believable unsent messages");
    app->add_option("--count", options->count, "messages")->check(CLI::Range(1, 1'000'000'000))->capture_default_str();
    app->add_option("--seed", options->seed, "the same seed, the same messages")->capture_default_str();
    add_settings(app, {"DATABASE_URL"});
    return {app, [options] {
                options->database_url = config_or_exit(false).database_url;
                return messaging::commands::run_faker(*options);
            }};
}

Command add_receiver(CLI::App& program) {
    struct Options {
        messaging::commands::ReceiverOptions receiver;
        std::string delay = "0ms";
        int retry_after = -1;  // seconds; -1 = none
    };
    const auto options = std::make_shared<Options>();
    auto& receiver = options->receiver;
    auto* const app = program.add_subcommand("receiver", "a webhook receiver for demonstrations and tests");
    app->add_option("--addr", receiver.address, "address to listen on")->capture_default_str();
    app->add_option("--port", receiver.port, "port to listen on; 0 = any free one")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    app->add_option("--status", receiver.status, "HTTP status of the answers")
        ->check(CLI::Range(200, 599))
        ->capture_default_str();
    app->add_option("--delay", options->delay, "wait before an answer, such as 200ms")->capture_default_str();
    app->add_option("--failure-rate", receiver.failure_rate, "share answered with 500")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app->add_option("--retry-after", options->retry_after, "seconds, sent with every answer that is not 2xx")
        ->check(CLI::Range(0, 86400));
    app->add_flag("--hang", receiver.hang, "take requests, and never answer");
    app->add_flag("--quiet", receiver.quiet, "no line per message");
    return {app, [options] {
                const auto delay = messaging::app::parse_duration(options->delay);
                if (!delay) {
                    std::fprintf(stderr, "--delay %s\n", delay.error().message.c_str());
                    return kUsageExit;
                }
                options->receiver.delay = delay.value();
                if (options->retry_after >= 0) options->receiver.retry_after = std::chrono::seconds(options->retry_after);
                return messaging::commands::run_receiver(options->receiver);
            }};
}

Command add_healthcheck(CLI::App& program) {
    const auto ready = std::make_shared<bool>(false);
    auto* const app = program.add_subcommand("healthcheck", "ask the service on this machine whether it is alive");
    app->add_flag("--ready", *ready, "ask whether it can send, which needs PostgreSQL");
    add_settings(app, {"HTTP_ADDR", "PORT"});
    return {app, [ready] {
                // HTTP_ADDR and PORT are all it needs: a container of the receiver has nothing else.
                auto read = messaging::app::read_config(look_up, false);
                std::erase_if(read.errors, [](const std::string& error) {
                    return !error.starts_with("PORT ") && !error.starts_with("HTTP_ADDR ");
                });
                exit_if_wrong(read.errors);
                return messaging::commands::run_healthcheck(read.config.http_addr, read.config.port,
                                                            *ready ? "/readyz" : "/livez");
            }};
}

Command add_config(CLI::App& program) {
    struct Options {
        bool markdown = false;
        bool check = false;
    };
    const auto options = std::make_shared<Options>();
    auto* const app = program.add_subcommand("config", "show the settings, and the waits between attempts");
    app->add_flag("--markdown", options->markdown, "the table of docs/settings.md");
    app->add_flag("--check", options->check,
                  "print only the settings that are wrong for serve; exit status 78 if there are any, else 0");
    add_settings(app, {});
    return {app, [options] {
                if (options->check) {
                    config_or_exit(true);
                    return 0;
                }
                const std::string text =
                    options->markdown ? messaging::app::config_markdown() : messaging::app::describe_config(look_up);
                std::fputs(text.c_str(), stdout);
                const bool is_fine = options->markdown || messaging::app::read_config(look_up, false).errors.empty();
                return is_fine ? 0 : kConfigExit;
            }};
}

}  // namespace

int main(int argc, char** argv) {
    open_standard_descriptors();
    CLI::App program(
        "Delivers messages from PostgreSQL to webhooks. Settings come from flags and the environment: see `messaging config`.");
    program.set_version_flag("--version", messaging::telemetry::version());
    program.require_subcommand(1);
    const std::vector<Command> commands{add_serve(program),    add_migrate(program),     add_doctor(program), add_faker(program),
                                        add_receiver(program), add_healthcheck(program), add_config(program)};
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return program.exit(error) == 0 ? 0 : kUsageExit;
    }
    raise_descriptor_limit();
    const auto given = std::find_if(commands.begin(), commands.end(), [](const Command& one) { return one.app->parsed(); });
    return given->run();
}
