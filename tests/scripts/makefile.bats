#!/usr/bin/env bats
# What the Makefile makes of what is typed behind it; nothing is built or run.

setup() { cd "$BATS_TEST_DIRNAME/../.."; }

@test "an empty COUNT or SEED is the default, and neither runs as shell" {
    [[ $(make -n faker) == *"--count '5000' --seed '0'"* ]]
    [[ $(make -n faker COUNT= SEED=) == *"--count '5000' --seed '0'"* ]]
    [[ $(make -n faker COUNT=7 SEED=8) == *"--count '7' --seed '8'"* ]]
    [[ $(make -n faker COUNT='1; touch x') == *"--count '1; touch x'"* ]]
}
@test "help lists every target that is meant for people" {
    for target in rebuild up down faker test check; do
        [[ $(make help) == *"$target"* ]]
    done
}
