// Faults: three processes of the service, and everything that goes wrong with them, PostgreSQL, Redis and the good receiver.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "soak/chance.h"
#include "soak/receivers.h"
#include "support/private_redis.h"
#include "support/world.h"

namespace messaging::test {

struct Fault {
    const char* name;
    std::function<void()> begin;
    std::function<void()> end;
};

class Faults {
public:
    static constexpr std::size_t kProcesses = 3;

    // The database is one of shared_postgres(), named "soak". Starts the processes.
    Faults(std::string database_url, GoodReceiver& receiver, unsigned seed);

    // After a fault's end the processes, PostgreSQL, Redis and the receiver are what they were.
    const std::vector<Fault>& all() const { return all_; }
    // Processes that were killed or stopped: each may have sent what it has not recorded.
    long deaths() const { return deaths_; }

private:
    std::unique_ptr<Service> start();
    void terminate_sessions(const std::string& like);
    void cut_at_random(const std::string& like, double chance, int times);
    void lock_rows();
    void end(int signal_number);
    std::vector<Fault> make_all();

    std::string database_url_;
    GoodReceiver& receiver_;
    Chance chance_;
    long deaths_ = 0;
    PrivateRedis redis_;
    std::array<std::unique_ptr<Service>, kProcesses> processes_;
    std::unique_ptr<Service>* victim_ = nullptr;
    std::vector<Fault> all_;
};

}  // namespace messaging::test
