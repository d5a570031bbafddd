// Registration, activity and shutdown of one engine.
#include "engine/engine.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <utility>

#include "engine/instance_store.h"

namespace messaging::engine {
namespace {

constexpr std::chrono::milliseconds kRegisterWait{5};
constexpr std::chrono::milliseconds kRegisterRetry{500};
constexpr std::chrono::milliseconds kShutdownPeriod{20};  // between checks of what is still under way

}  // namespace

Engine::Engine(EnginePorts ports, loop::TimerFactory& timers, const core::Clock& clock, core::Random& random,
               EngineObserver& observer, EngineOptions options)
    : instances_(ports.instances),
      figures_(ports.figures),
      observer_(observer),
      options_(std::move(options)),
      relay_(ports.receipts, ports.backlog, timers, random, observer,
             {.instance_id = [this] { return instance_id_; },
              .on_confirmed = [this](std::int64_t batch) { recorder_.confirm(batch); }}),
      recorder_(ports.records, open_claims_, timers, clock, observer,
                {.instance_id = [this] { return instance_id_; },
                 .on_sent_batch = [this](std::int64_t batch,
                                         const std::vector<core::Receipt>& receipts) { relay_.add(batch, receipts); },
                 .on_confirmations_recorded = [this](const std::vector<std::int64_t>& batches) { relay_.forget(batches); },
                 .on_scheduled = [this](std::chrono::milliseconds delay) { claimer_.expect_due(delay); },
                 .on_held = [this] { claimer_.expect_held(); },
                 .on_progress = [this] { claimer_.on_capacity(); }}),
      endpoints_(ports.endpoints, timers, clock,
                 {.on_read = [this](const auto& endpoints) { on_endpoints_read(endpoints); },
                  .on_waited = [this](std::vector<core::Delivery> deliveries) { on_endpoints_awaited(std::move(deliveries)); }}),
      endpoint_reporter_(ports.endpoint_states, observer),
      dispatcher_(
          ports.sender, ports.rates, timers, clock, random, observer, options_.dispatch,
          {.on_outcome = [this](core::Outcome outcome) { recorder_.add(std::move(outcome)); },
           .on_capacity = [this] { claimer_.on_capacity(); },
           .on_held_capacity = [this] { claimer_.expect_held(); },
           .on_finding =
               [this](EndpointFinding finding) { endpoint_reporter_.add(std::move(finding), dispatcher_.receivers_answer()); }}),
      claimer_(ports.claims, timers, clock, random, observer, options_.max_claim,
               {.instance_id = [this] { return instance_id_; },
                .capacity = [this] { return recorder_.full() ? 0 : dispatcher_.capacity(); },
                .held_capacities = [this] { return held_capacities(); },
                .other_held_capacity = [this] { return recorder_.full() ? 0 : dispatcher_.other_held_capacity(); },
                .known_claims = [this] { return open_claims_.claims(); },
                .messages_in_memory = [this] { return messages_in_memory(); },
                .on_claimed = [this](std::vector<core::Delivery> deliveries) { add_claimed(std::move(deliveries)); },
                .on_stopped = [this] { on_claim_saw_stop(); },
                .on_idle = [this] { doorbell_.on_idle(); },
                .on_found = [this](std::size_t messages, bool by_poll) { doorbell_.on_found(messages, by_poll); },
                .on_overload = [this] { doorbell_.on_overload(); }}),
      doorbell_(ports.doorbell, timers, clock, random, observer,
                {.poll = [this] { claimer_.poll(); }, .poll_all = [this] { claimer_.poll_all(); }}),
      reclaimer_(ports.instances, timers, clock, random, observer, options_.dispatch.outcomes.backoff.base,
                 {.instance_id = [this] { return instance_id_; },
                  .on_reclaimed = [this](const Reclaimed& reclaimed) { on_reclaimed(reclaimed); },
                  .on_instance_gone = [this] { wake(); }}),
      heartbeat_timer_(timers.make_timer([this] { heartbeat(); })),
      register_timer_(timers.make_timer([this] { phase_ == Phase::kRegistering ? register_anew() : move_claims(); })),
      deadline_timer_(timers.make_timer([this] {
          shutdown_ = Shutdown::kDeadlinePassed;
          dispatcher_.release_in_flight();
      })),
      shutdown_timer_(timers.make_timer([this] { shutdown_step(); })),
      give_up_timer_(timers.make_timer([this] { finish_shutdown(false); })) {
    relay_.start();
}

bool Engine::may_follow(Phase from, Phase to) {
    switch (to) {
        case Phase::kOffline: return true;
        case Phase::kRegistering: return from == Phase::kOffline;
        case Phase::kMovingClaims: return from == Phase::kRegistering;
        case Phase::kActive: return from == Phase::kRegistering || from == Phase::kMovingClaims;
    }
    return false;
}

void Engine::enter(Phase next) {
    assert(may_follow(phase_, next));
    phase_ = next;
}

void Engine::on_listen_session_up() {
    ++listen_session_count_;
    enter(Phase::kRegistering);
    register_anew();
}

void Engine::on_listen_session_down() {
    enter(Phase::kOffline);
    doorbell_.on_session_lost();
    register_timer_->stop();
    heartbeat_timer_->stop();
    reclaimer_.stop();
    update_activity();
}

void Engine::on_claim_session_up() {
    claimer_.on_session_up();
    if (phase_ == Phase::kActive) endpoints_.read_at_once();  // the listen session may have been the faster one
}

void Engine::on_record_session_up() { recorder_.retry_now(); }

void Engine::on_ready() { wake(); }

void Engine::on_due() { claimer_.expect_due(std::chrono::milliseconds(0)); }

void Engine::wake() {
    claimer_.poll();  // first, because a message waits for it
    doorbell_.on_notification();
}

// Anybody may send such notifications, a hundred thousand at once. So one reading is under way, and at most one more follows it.
void Engine::on_control_changed() {
    if (reading_state_) {
        control_changed_again_ = true;
    } else {
        read_control();
    }
}

void Engine::register_anew() {
    // A claim under way belongs to the old instance and is not yet among the known claims, so it would not be moved.
    if (!claimer_.idle()) {
        register_timer_->start(kRegisterWait);
        return;
    }
    instances_.register_instance(options_.name, options_.session_tag,
                                 [this, session = listen_session_count_](core::Result<core::InstanceId> result) {
                                     if (session != listen_session_count_ || phase_ != Phase::kRegistering) return;
                                     report(observer_, kRegisterOperation, result);
                                     if (result) {
                                         registered_as_ = result.value();
                                         on_registered();
                                     } else {
                                         register_timer_->start(kRegisterRetry);
                                     }
                                 });
}

void Engine::on_registered() {
    if (instance_id_ == 0) {  // its first instance: it has no claims to move
        instance_id_ = registered_as_;
        become_active();
    } else {
        enter(Phase::kMovingClaims);
        move_claims();
    }
}

// Moves the claims that the engine had before it lost its session, and that no other engine has reclaimed. Recording goes on
// meanwhile: claim ids fence it, and a move does not change them.
void Engine::move_claims() {
    instances_.move_claims(registered_as_, open_claims_.claims(),
                           [this, session = listen_session_count_](core::Result<std::vector<core::ClaimId>> moved) {
                               if (session != listen_session_count_ || phase_ != Phase::kMovingClaims) return;
                               report(observer_, kMoveClaimsOperation, moved);
                               if (!moved) {
                                   register_timer_->start(kRegisterRetry);
                                   return;
                               }
                               relay_.on_registered_anew(std::exchange(instance_id_, registered_as_), registered_as_);
                               open_claims_.keep_only(moved.value());
                               dispatcher_.drop_waiting_unless([this](core::ClaimId claim) { return open_claims_.holds(claim); });
                               become_active();
                           });
}

void Engine::become_active() {
    enter(Phase::kActive);
    heartbeat_timer_->start(kHeartbeatPeriod);
    reclaimer_.start();
    read_control();
}

void Engine::read_control() {
    read_state();
    if (phase_ == Phase::kActive) endpoints_.read();
}

void Engine::read_state() {
    if (phase_ != Phase::kActive) return;
    reading_state_ = true;
    instances_.read_state([this](core::Result<bool> running) {
        reading_state_ = false;
        if (running) set_running(running.value());
        if (std::exchange(control_changed_again_, false)) read_control();
    });
}

void Engine::on_endpoints_read(const core::Result<std::vector<core::Endpoint>>& endpoints) {
    report(observer_, kLoadEndpointsOperation, endpoints);
    if (!endpoints) return;  // what was read before stays in force, and the next heartbeat asks again
    endpoints_loaded_ = true;
    dispatcher_.set_endpoints(endpoints.value());
    update_activity();
    // One may have been enabled just now.
    const auto is_held = [](const core::Endpoint& endpoint) { return core::is_sent_from_hold(endpoint.state); };
    if (std::any_of(endpoints->begin(), endpoints->end(), is_held)) claimer_.expect_held();
}

// Meanwhile another instance may have reclaimed their claims.
void Engine::on_endpoints_awaited(std::vector<core::Delivery> deliveries) {
    std::erase_if(deliveries, [this](const core::Delivery& delivery) { return !open_claims_.holds(delivery.claim_id); });
    if (!deliveries.empty()) dispatch(std::move(deliveries));
    claimer_.expect_held();  // what the reader had no capacity for
}

void Engine::set_running(bool running) {
    running_ = running;
    update_activity();
}

void Engine::update_activity() {
    const bool active = phase_ == Phase::kActive;
    const bool may_send = active && endpoints_loaded_ && !shutting_down();
    const bool may_claim = may_send && running_;
    may_claim ? doorbell_.join() : doorbell_.leave();
    claimer_.set_active(may_claim);
    dispatcher_.set_paused(!may_claim);
    if ((active || shutting_down()) && !may_claim) dispatcher_.release_waiting();
}

void Engine::heartbeat() {
    heartbeat_timer_->start(kHeartbeatPeriod);
    instances_.heartbeat(instance_id_, static_cast<int>(dispatcher_.in_flight()), claimer_.lowest_floor(),
                         [this, session = listen_session_count_](const core::Result<bool>& is_there) {
                             report(observer_, kHeartbeatOperation, is_there);
                             if (session == listen_session_count_ && is_there && !is_there.value()) on_row_gone();
                         });
    write_figures();
    read_state();
    endpoints_.refresh();
}

// What cannot be written is forgotten: these are figures, and the messages' own rows tell what became of them.
void Engine::write_figures() {
    auto figures = dispatcher_.take_figures();
    if (figures.empty()) return;
    observer_.on_figures(figures);
    figures_.add_figures(std::move(figures),
                         [this](const core::Result<core::Unit>& added) { report(observer_, kFiguresOperation, added); });
}

// The other engines reclaim the claims of an instance that has no row.
void Engine::on_row_gone() {
    if (phase_ != Phase::kActive) return;
    observer_.on_error(kHeartbeatOperation,
                       {core::ErrorKind::kNotFound, "the instance's row was deleted; the engine registers again", ""});
    heartbeat_timer_->stop();
    reclaimer_.stop();
    enter(Phase::kOffline);
    update_activity();
    enter(Phase::kRegistering);
    register_anew();
}

std::vector<core::MessageId> Engine::messages_in_memory() const {
    std::vector<core::MessageId> messages = dispatcher_.messages_in_memory();
    const std::vector<core::MessageId> unrecorded = recorder_.unrecorded_messages();
    messages.insert(messages.end(), unrecorded.begin(), unrecorded.end());
    const std::vector<core::MessageId> awaiting = endpoints_.waiting_messages();
    messages.insert(messages.end(), awaiting.begin(), awaiting.end());
    return messages;
}

void Engine::on_reclaimed(const Reclaimed& reclaimed) {
    observer_.on_reclaimed(reclaimed.messages);
    claimer_.expect_due(std::chrono::milliseconds(0));
}

// The answer to a claim can be older than the last state that was read. So the state is read again.
void Engine::on_claim_saw_stop() {
    set_running(false);
    read_control();
}

void Engine::add_claimed(std::vector<core::Delivery> deliveries) {
    for (const core::Delivery& delivery : deliveries) open_claims_.add(delivery.claim_id, 1);
    // A message can be claimed before the notification has come that its endpoint is new, or was changed.
    const auto is_read = [this](const core::Delivery& delivery) { return endpoints_.has_read(delivery); };
    const auto first_unread = std::stable_partition(deliveries.begin(), deliveries.end(), is_read);
    if (first_unread != deliveries.end()) {
        std::vector<core::Delivery> unread(std::make_move_iterator(first_unread), std::make_move_iterator(deliveries.end()));
        deliveries.erase(first_unread, deliveries.end());
        hold(endpoints_.await(std::move(unread)));
    }
    dispatch(std::move(deliveries));
}

void Engine::dispatch(std::vector<core::Delivery> deliveries) {
    dispatcher_.add(std::move(deliveries));
    // Sending was stopped while the claim was under way.
    if (!running_ || shutting_down()) dispatcher_.release_waiting();
}

// The deliveries that the endpoint reader has no capacity for go to the hold, as for a slow endpoint.
void Engine::hold(const std::vector<core::Delivery>& deliveries) {
    for (const core::Delivery& delivery : deliveries) {
        core::Outcome outcome = core::uncounted(delivery, core::OutcomeKind::kHeld);
        observer_.on_outcome(outcome);
        recorder_.add(std::move(outcome));
    }
}

// No capacity for endpoints whose deliveries wait in memory for a reading of the endpoints.
std::vector<core::EndpointCapacity> Engine::held_capacities() const {
    if (recorder_.full()) return {};
    std::vector<core::EndpointCapacity> capacities;
    for (const core::EndpointId endpoint : endpoints_.awaited_endpoints()) capacities.push_back({endpoint, 0});
    const auto others = dispatcher_.held_capacities();
    capacities.insert(capacities.end(), others.begin(), others.end());
    return capacities;
}

void Engine::start_shutdown(std::chrono::milliseconds deadline, std::function<void(bool)> done) {
    if (shutting_down()) return;
    shutdown_ = Shutdown::kDraining;
    on_shutdown_ = std::move(done);
    deadline_timer_->start(deadline);
    give_up_timer_->start(deadline * 2);
    relay_.stop();
    update_activity();
    if (instance_id_ == 0) {  // never was an instance: nothing is in memory
        finish_shutdown(true);
    } else {
        shutdown_timer_->start(kShutdownPeriod);
    }
}

void Engine::shutdown_step() {
    if (shutdown_ == Shutdown::kDone) return;
    if (dispatcher_.in_flight() > 0 || dispatcher_.waiting() > 0 || !endpoints_.waiting_messages().empty() ||
        recorder_.unrecorded() > 0 || !claimer_.idle()) {
        shutdown_timer_->start(kShutdownPeriod);
        return;
    }
    // When this instance is gone, another instance writes the receipts that are still unconfirmed.
    if (shutdown_ == Shutdown::kDraining && (relay_.writing() || !recorder_.idle())) {
        if (!relay_.writing()) recorder_.flush_now();
        shutdown_timer_->start(kShutdownPeriod);
        return;
    }
    reclaimer_.stop();
    heartbeat_timer_->stop();
    write_figures();
    instances_.unregister_instance(instance_id_,
                                   [this](const core::Result<core::Unit>& result) { finish_shutdown(result.ok()); });
}

void Engine::finish_shutdown(bool clean) {
    if (shutdown_ == Shutdown::kDone) return;
    shutdown_ = Shutdown::kDone;
    deadline_timer_->stop();
    give_up_timer_->stop();
    std::exchange(on_shutdown_, nullptr)(clean);
}

}  // namespace messaging::engine
