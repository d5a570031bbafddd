// Process: a child process of a test, which never outlives it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/loop_runner.h"

namespace messaging::test {

struct ProcessOptions {
    std::vector<std::string> arguments;                            // the program first, by name or path
    std::vector<std::pair<std::string, std::string>> environment;  // in addition to, or in place of, the test's own
    bool empty_environment = false;                                // nothing of the test's own but PATH
    std::string output_file;                                       // stdout and stderr, appended; empty = dropped
    std::string directory;                                         // working directory; empty = the test's
    int death_signal = SIGKILL;                                    // what the child gets when the test dies
};

// Starts in the constructor; a program that cannot be executed exits 127. Destroying kills and reaps it.
// Linux ties the death signal to the *thread* that starts the child: start from a thread that lives on, such as main.
class Process {
public:
    explicit Process(const ProcessOptions& options);
    ~Process();
    Process(Process&& other) noexcept;
    Process& operator=(Process&&) = delete;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }
    bool running();
    void send(int signal_number);
    // How it ended, once it has: the exit code, or 128 + the signal. nullopt at the deadline.
    std::optional<int> wait(std::chrono::milliseconds patience = kPatience);
    // Sends the signal and waits; one that does not end in time is killed. Answers as wait() does.
    std::optional<int> stop(int signal_number = SIGTERM, std::chrono::milliseconds patience = kPatience);

private:
    pid_t pid_ = -1;
    std::optional<int> ended_;
};

// Runs a command to its end.
struct CommandResult {
    int exit_code = 0;   // as Process::wait() has it; -1 when it was killed at the deadline
    std::string output;  // stdout and stderr
};
CommandResult run_command(ProcessOptions options, std::chrono::milliseconds patience = std::chrono::seconds(120));

std::string read_text_file(const std::string& path);
long resident_bytes(pid_t pid);  // -1 when there is no such process

// A new directory under `parent` (empty = TMPDIR, else /tmp), removed with all of its contents at the end.
class TemporaryDirectory {
public:
    explicit TemporaryDirectory(const std::string& parent = "");
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

// A TCP port of 127.0.0.1 that was free a moment ago.
int free_port();

}  // namespace messaging::test
