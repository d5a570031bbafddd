#!/usr/bin/env bats
# scripts/test-compose where no Docker engine answers: it needs nothing but what a checkout has.

setup() {
    repository=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    work=$(mktemp -d)
    export DOCKER_HOST=unix:///nonexistent/docker.sock
}
teardown() { rm -rf "$work"; }

@test "without an engine it says how to give it one, and is no failure" {
    unset ENGINE_COMMAND
    run "$repository/scripts/test-compose"
    [ "$status" = 0 ]
    [[ $output == "compose: NOT RUN: no Docker engine answers"*ENGINE_COMMAND ]]
    [ "${#lines[@]}" = 1 ]
}

@test "it asks the program that is named for an engine, and says why it got none" {
    printf '#!/bin/sh\necho "$@" >>%s/asked\necho "no kernel for it" >&2\nexit 1\n' "$work" >"$work/engine"
    chmod +x "$work/engine"
    cd "$work"
    ENGINE_COMMAND=./engine run "$repository/scripts/test-compose"
    [ "$status" = 0 ]
    [[ $output == "compose: NOT RUN:"*"no kernel for it" ]]
    [ "$(cat "$work/asked")" = up ]
}
