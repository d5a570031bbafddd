// What the thread sanitizer reports and is no race; linked into the tests and into the program where that sanitizer is on.
//
// libevent tells epoll of a closed descriptor with the next turn of its loop. Another thread may have been given the same number
// meanwhile: epoll then answers that it does not know the descriptor. The sanitizer takes the two uses of the number for a race.
// Only reports about descriptor numbers have epoll_ctl among their frames.
extern "C" const char* __tsan_default_suppressions();  // NOLINT(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
const char* __tsan_default_suppressions() { return "race:epoll_ctl\n"; }  // NOLINT
