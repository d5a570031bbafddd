// What an engine of the model thinks of the endpoint: its breaker, what it has read, and what it has found.
#pragma once

#include "model/claim_model.h"

namespace messaging::model {

void on_accepted(Engine& engine);
void on_refused(Engine& engine, bool gone);  // gone: by 410
void open_breaker(Engine& engine);
// A reading is two steps: what it sees, and what the engine makes of that when it has the answer.
void begin_reading(Engine& engine, Endpoint endpoint);
void end_reading(Engine& engine, Mistakes mistakes);
void forget_opinions(Engine& engine);

}  // namespace messaging::model
