// The statements of repository/ and the triggers of migrations/, on the model's State.
#pragma once

#include <vector>

#include "model/claim_model.h"

namespace messaging::model {

constexpr bool has(unsigned mask, std::size_t message) { return ((mask >> message) & 1U) != 0; }

// What a transaction that overlaps another one does not see as it is.
struct Overlap {
    bool fence_was_seen = false;                              // the claims were there when the record looked
    bool blind = false;                                       // mark_sent finds no entry: they came after its snapshot
    const std::array<Message, kMaxMessages>* seen = nullptr;  // the rows as reclaim's snapshot has them
    const Message* locked = nullptr;                          // a row that reclaim cannot lock, and does not count
};

class Tables {
public:
    Tables(State& state, Mistakes mistakes) : s_(state), mistakes_(mistakes) {}

    void insert(std::size_t message);
    void send_again(std::size_t message);
    void delete_row(std::size_t message);
    void truncate();
    void undo_claims();
    void set_endpoint(Endpoint endpoint);
    void write_finding(Finding finding);
    void release_strays();

    // What the claim answers: the messages as they are in it, all kAbsent where there was nothing to hold.
    struct Claimed {
        Claim claim;
        std::uint8_t place = kGone;  // in the ledger
    };
    Claimed claim(Owner owner, unsigned mask, Source source);
    // One record transaction. `instance`: who the engine believed to be; `finished`: by its place.
    void record(Owner instance, const std::vector<Item>& outcomes, const std::array<bool, kMaxClaims>& finished,
                const Overlap& overlap = {});
    void reclaim(const std::array<bool, kUndone + 1>& taken, const Overlap& overlap = {});
    void reschedule_orphans(std::size_t e);
    void commit();  // waits for the disk, so that everything before it is durable too

    void remove_claim(std::size_t claim);

private:
    bool any_held() const;
    void mark_sent(const Item& item, bool blind);
    void mark_failed(const Item& item);
    void release(const Item& item);
    bool fence_holds(Owner instance, const Item& item, const Overlap& overlap) const;
    void schedule(std::size_t message, Schedule when);
    std::uint8_t add_claim(const Claim& claim);
    void detach(std::size_t claim);

    State& s_;
    Mistakes mistakes_;
};

}  // namespace messaging::model
