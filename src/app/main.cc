// The command line: subcommands, and flags with the same names as the environment's settings.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
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

// The command takes every setting as a flag, so that one set of flags fits all commands but `receiver`. Its --help lists the
// settings that it uses.
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

}  // namespace

int main(int argc, char** argv) {
    open_standard_descriptors();
    CLI::App program(
        "Delivers messages from PostgreSQL to webhooks. Settings come from flags and the environment: see `messaging config`.");
    program.set_version_flag("--version", messaging::telemetry::version());
    program.require_subcommand(1);

    auto* const serve = program.add_subcommand("serve", "send messages, and serve the API");
    auto* const migrate =
        program.add_subcommand("migrate", "create or update the schema, undo its newest migration, or list the migrations");
    std::string migrate_command;
    migrate->add_option("command", migrate_command, "up, down or status")
        ->required()
        ->check(CLI::IsMember({"up", "down", "status"}));
    bool force = false;
    migrate->add_flag("--force", force, "down: even if messages are lost, or an engine runs");
    auto* const doctor = program.add_subcommand("doctor", "check the database, and print what to do about each finding");
    auto* const faker = program.add_subcommand("faker", "insert believable unsent messages");
    messaging::commands::FakerOptions fake;
    faker->add_option("--count", fake.count, "messages")->check(CLI::Range(1, 1'000'000'000))->capture_default_str();
    faker->add_option("--seed", fake.seed, "the same seed, the same messages")->capture_default_str();
    auto* const receiver = program.add_subcommand("receiver", "a webhook receiver for demonstrations and tests");
    messaging::commands::ReceiverOptions receive;
    std::string delay = "0ms";
    receiver->add_option("--addr", receive.address, "address to listen on")->capture_default_str();
    receiver->add_option("--port", receive.port, "port to listen on; 0 = any free one")
        ->check(CLI::Range(0, 65535))
        ->capture_default_str();
    receiver->add_option("--status", receive.status, "HTTP status of the answers")
        ->check(CLI::Range(200, 599))
        ->capture_default_str();
    receiver->add_option("--delay", delay, "wait before an answer, such as 200ms")->capture_default_str();
    receiver->add_option("--failure-rate", receive.failure_rate, "share answered with 500")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    int retry_after = -1;
    receiver->add_option("--retry-after", retry_after, "seconds, sent with every answer that is not 2xx")
        ->check(CLI::Range(0, 86400));
    receiver->add_flag("--hang", receive.hang, "take requests, and never answer");
    receiver->add_flag("--quiet", receive.quiet, "no line per message");
    auto* const health = program.add_subcommand("healthcheck", "ask the service on this machine whether it is alive");
    bool ready = false;
    health->add_flag("--ready", ready, "ask whether it can send, which needs PostgreSQL");
    auto* const config = program.add_subcommand("config", "show the settings, and the waits between attempts");
    bool markdown = false;
    config->add_flag("--markdown", markdown, "the table of docs/operations.md");
    bool check = false;
    config->add_flag("--check", check,
                     "print only the settings that are wrong for serve; exit status 78 if there are any, else 0");
    add_settings(serve, {});
    add_settings(config, {});
    add_settings(migrate, {"DATABASE_URL", "MIGRATIONS_DIR", "MAX_CONTENT_BYTES"});
    add_settings(doctor, {"DATABASE_URL", "MIGRATIONS_DIR", "ENGINES"});
    add_settings(faker, {"DATABASE_URL"});
    add_settings(health, {"HTTP_ADDR", "PORT"});

    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return program.exit(error) == 0 ? 0 : kUsageExit;
    }
    raise_descriptor_limit();
    if (serve->parsed()) return messaging::app::run_serve(config_or_exit(true));
    if (migrate->parsed()) return messaging::commands::run_migrate(config_or_exit(false), migrate_command, force);
    if (doctor->parsed()) return messaging::commands::run_doctor(config_or_exit(false));
    if (health->parsed()) {
        // HTTP_ADDR and PORT are all it needs: a container of the receiver has nothing else.
        auto read = messaging::app::read_config(look_up, false);
        std::erase_if(read.errors,
                      [](const std::string& error) { return !error.starts_with("PORT ") && !error.starts_with("HTTP_ADDR "); });
        exit_if_wrong(read.errors);
        return messaging::commands::run_healthcheck(read.config.http_addr, read.config.port, ready ? "/readyz" : "/livez");
    }
    if (faker->parsed()) {
        fake.database_url = config_or_exit(false).database_url;
        return messaging::commands::run_faker(fake);
    }
    if (receiver->parsed()) {
        const auto parsed = messaging::app::parse_duration(delay);
        if (!parsed) {
            std::fprintf(stderr, "--delay %s\n", parsed.error().message.c_str());
            return kUsageExit;
        }
        receive.delay = parsed.value();
        if (retry_after >= 0) receive.retry_after = std::chrono::seconds(retry_after);
        return messaging::commands::run_receiver(receive);
    }
    if (check) {
        config_or_exit(true);
        return 0;
    }
    std::fputs((markdown ? messaging::app::config_markdown() : messaging::app::describe_config(look_up)).c_str(), stdout);
    return markdown || messaging::app::read_config(look_up, false).errors.empty() ? 0 : kConfigExit;
}
