// fork, exec, and what a test wants of a child.
#include "support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

namespace messaging::test {
namespace {

std::string environment_value(const char* name, const char* fallback) {
    const char* const value = std::getenv(name);
    return value == nullptr ? fallback : value;
}

// execve() wants a path; searching here keeps the time between fork and exec free of anything unsafe there.
std::string find_program(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    std::istringstream folders(environment_value("PATH", "/usr/bin:/bin"));
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string path = folder + "/" + name;
        if (access(path.c_str(), X_OK) == 0) return path;
    }
    return name;
}

std::vector<std::string> child_environment(const ProcessOptions& options) {
    std::map<std::string, std::string> variables{{"PATH", environment_value("PATH", "/usr/bin:/bin")}};
    for (char** entry = environ; !options.empty_environment && *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const auto equals = text.find('=');
        if (equals != std::string::npos) variables[text.substr(0, equals)] = text.substr(equals + 1);
    }
    for (const auto& [name, value] : options.environment) variables[name] = value;
    std::vector<std::string> lines;
    for (const auto& [name, value] : variables) lines.push_back(name + "=" + value);
    return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment, const ProcessOptions& options,
                         int output, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, options.death_signal);
    if (getppid() != parent) _exit(127);  // the test died before prctl
    setpgid(0, 0);                        // Ctrl-C at the terminal is the test's to handle
    std::signal(SIGPIPE, SIG_DFL);
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) _exit(127);
    execve(program, arguments, environment);
    _exit(127);
}

}  // namespace

Process::Process(const ProcessOptions& options) {
    std::vector<std::string> arguments = options.arguments;
    std::vector<std::string> environment = child_environment(options);
    const std::string program = find_program(arguments.at(0));
    const std::vector<char*> argument_pointers = pointers(arguments);
    const std::vector<char*> environment_pointers = pointers(environment);
    const char* const file = options.output_file.empty() ? "/dev/null" : options.output_file.c_str();
    const int output = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ == 0) become(program.c_str(), argument_pointers.data(), environment_pointers.data(), options, output, parent);
    if (output >= 0) close(output);
    if (pid_ < 0) std::abort();
}

Process::Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)), ended_(other.ended_) {}

Process::~Process() {
    if (pid_ < 0 || !running()) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

bool Process::running() {
    if (ended_ || pid_ < 0) return false;
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
    ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return false;
}

void Process::send(int signal_number) {
    if (running()) kill(pid_, signal_number);
}

std::optional<int> Process::wait(std::chrono::milliseconds patience) {
    wait_until([this] { return !running(); }, patience);
    return ended_;
}

std::optional<int> Process::stop(int signal_number, std::chrono::milliseconds patience) {
    send(signal_number);
    if (const auto ended = wait(patience)) return ended;
    send(SIGKILL);
    wait();
    return std::nullopt;
}

CommandResult run_command(ProcessOptions options, std::chrono::milliseconds patience) {
    const TemporaryDirectory directory;
    options.output_file = directory.path() + "/output";
    Process process(options);
    const auto ended = process.wait(patience);
    return {ended.value_or(-1), read_text_file(options.output_file)};
}

std::string read_text_file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

TemporaryDirectory::TemporaryDirectory(const std::string& parent)
    : path_((parent.empty() ? environment_value("TMPDIR", "/tmp") : parent) + "/messaging-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

int free_port() {
    const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(descriptor, generic, length) != 0 || getsockname(descriptor, generic, &length) != 0) std::abort();
    close(descriptor);
    return ntohs(address.sin_port);
}

long resident_bytes(pid_t pid) {
    const std::string pages = read_text_file("/proc/" + std::to_string(pid) + "/statm");
    const auto space = pages.find(' ');
    return space == std::string::npos ? -1 : std::atol(pages.c_str() + space) * sysconf(_SC_PAGESIZE);
}

}  // namespace messaging::test
