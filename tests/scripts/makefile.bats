#!/usr/bin/env bats
# What the Makefile makes of what is typed behind it; nothing is built or run.

setup() {
    cd "$BATS_TEST_DIRNAME/../.."
    # The test itself may run under a make: its flags and its level are not these makes'.
    unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL COUNT SEED MINUTES SECONDS VERSION
}

@test "an empty COUNT or SEED is the default, and what is no number is said in a sentence" {
    [[ $(make -n faker) == *"--count 5000 --seed 0"* ]]
    [[ $(make -n faker COUNT= SEED=) == *"--count 5000 --seed 0"* ]]
    [[ $(make -n faker COUNT=7 SEED=8) == *"--count 7 --seed 8"* ]]
    for wrong in "'" '1; touch x' 5k -1 '"' ' 1 2'; do
        run make faker COUNT="$wrong"
        [ "$status" = 2 ]
        [[ $output == *"COUNT must be a number"* && $output != *"syntax"* && ${#lines[@]} = 1 ]]
    done
    [[ $(make -n fuzz SECONDS=x 2>&1 || true) == *"SECONDS must be a number"* ]]
    [[ $(make -n soak MINUTES="'" 2>&1 || true) == *"MINUTES must be a number"* ]]
    [ ! -e x ]
}
@test "a path that cmake cannot build in is said before anything is done" {
    for name in 'a[x]' 'a"b' 'a;b' 'a|b' 'a\b'; do
        mkdir "$BATS_TEST_TMPDIR/$name"
        cp -r Makefile scripts "$BATS_TEST_TMPDIR/$name/"
        run make -C "$BATS_TEST_TMPDIR/$name" build
        [ "$status" != 0 ]
        [[ $output == *"cmake cannot build in $BATS_TEST_TMPDIR/$name"* ]]
    done
}
@test "who may not use sudo is told what is missing, and how root installs it" {
    mkdir "$BATS_TEST_TMPDIR/fake"
    cd "$BATS_TEST_TMPDIR/fake"
    printf '#!/bin/sh\necho 1000\n' >id
    printf '#!/bin/sh\necho sudo: a password is required >&2\nexit 1\n' >sudo
    printf '#!/bin/sh\n[ "$3" = rapidjson-dev ] || echo install ok installed\n' >dpkg-query
    chmod +x ./*
    cd "$BATS_TEST_DIRNAME/../.."
    for option in '' --test --bench; do
        PATH="$BATS_TEST_TMPDIR/fake:$PATH" run scripts/install-deps $option
        [ "$status" = 1 ]
        [[ $output == *"missing: rapidjson-dev. Root can install"*"'scripts/install-deps${option:+ $option}'"* && $output != *"installing"* ]]
    done
}
@test "help lists every target that is meant for people" {
    for target in rebuild up down faker test check; do
        [[ $(make help) == *"$target"* ]]
    done
}
@test "help has its explanations in one column" {
    [ "$(make --no-print-directory help | grep -cvE '^.{15} [^ ]')" = 0 ]
}
@test "make test names what could not run, and ends as the tests do" {
    cd "$BATS_TEST_TMPDIR"
    mkdir scripts fake
    cp "$BATS_TEST_DIRNAME/../../Makefile" .
    cp "$BATS_TEST_DIRNAME/../../scripts/not-run" scripts/
    for one in scripts/install-deps scripts/check-config-docs scripts/configure fake/cmake; do ln -s /bin/true $one; done
    cat >fake/ctest <<'SH'
#!/bin/sh
mkdir -p build-test/Testing/Temporary
cat >build-test/Testing/Temporary/LastTest.log <<'LOG'
# a receiver in go: NOT RUN: no go
it runs
NOT RUN: a receiver on IPv6: no IPv6
[ RUN      ] DiskFull.First
../tests/fault/disk_full_test.cc:61: Skipped
NOT RUN: no disk

[  SKIPPED ] DiskFull.First (0 ms)
../tests/fault/disk_full_test.cc:61: Skipped
NOT RUN: no disk

[  SKIPPED ] DiskFull.Second (12 ms)
[       OK ] DiskFull.Third (1 ms)
../tests/e2e/watching_test.cc:157: Skipped
this machine allows no ptrace
[  SKIPPED ] Health.OneThatHangs (0 ms)
[  SKIPPED ] 1 test, listed below:
[  SKIPPED ] Health.OneThatHangs
ok 12 a folder that others own
ok 13 root's own folder # skip this is about root
LOG
exit ${CTEST_STATUS:-0}
SH
    chmod +x fake/ctest
    PATH="$PWD/fake:$PATH" run make --no-print-directory test
    [ "$status" = 0 ]
    [ "$(LC_ALL=C sort <<<"$output")" = "NOT RUN: a receiver on IPv6: no IPv6
NOT RUN: no disk: DiskFull.First and 1 more
NOT RUN: this is about root: root's own folder
NOT RUN: this machine allows no ptrace: Health.OneThatHangs
a receiver in go: NOT RUN: no go" ]
    CTEST_STATUS=8 PATH="$PWD/fake:$PATH" run make --no-print-directory test
    [ "$status" = 2 ]
}
@test "every script that uses cd knows its own place, whatever CDPATH says and through a symlink" {
    mkdir -p "$BATS_TEST_TMPDIR/other/scripts"
    count=0
    while read -r script; do
        grep -qE '^unset CDPATH' "$script" || { echo "$script: unset CDPATH before the first cd" >&2; return 1; }
        [ "$(grep -cE 'dirname .*\$0' "$script")" = 0 ]
        first=$(grep -nE '(^|[;&|({] *)cd ' "$script" | head -n 1)
        [[ $first == *'cd -P -- "$(dirname -- "${BASH_SOURCE[0]}")/.."'* ]] || { echo "$script: $first" >&2; return 1; }
        count=$((count + 1))
    done < <(grep -lE '^#!.*bash' scripts/* .ci/run | xargs grep -lE '(^|[;&|({] *)cd ')
    [ $count -gt 5 ]
    # shellcheck disable=SC2016
    printf 'show:\n\t@echo "[$$CDPATH]"\n' >"$BATS_TEST_TMPDIR/show.mk"
    [ "$(CDPATH=/tmp make -s -f Makefile -f "$BATS_TEST_TMPDIR/show.mk" show)" = "[]" ]
    ln -s "$PWD" "$BATS_TEST_TMPDIR/link"
    cd "$BATS_TEST_TMPDIR/link"
    CDPATH="$BATS_TEST_TMPDIR/other" run scripts/runtime unknown
    [ "$status" = 64 ]
    [[ $output == *"rebuild|up|down"* ]]
}
@test "a moved or copied checkout is configured anew, in every build directory" {
    mkdir -p "$BATS_TEST_TMPDIR/first/scripts"
    cp Makefile "$BATS_TEST_TMPDIR/first/"
    [ ! -e scripts/configure ] || cp scripts/configure "$BATS_TEST_TMPDIR/first/scripts/"
    cd "$BATS_TEST_TMPDIR/first"
    printf 'cmake_minimum_required(VERSION 3.25)\nproject(nothing NONE)\nadd_custom_target(unit_tests)\n' >CMakeLists.txt
    for one in scripts/install-deps scripts/build-docs; do ln -s /bin/true $one; done
    configure() { make --no-print-directory test-unit build BUILD=out 2>&1; }
    mkdir -p src build-test out && printf '#!/bin/sh\n' >build-test/unit_tests && chmod +x build-test/unit_tests
    configure
    [ "$(configure | grep -c anew)" = 0 ]
    cp -a "$BATS_TEST_TMPDIR/first" "$BATS_TEST_TMPDIR/second"
    cd "$BATS_TEST_TMPDIR/second"
    run configure
    [ "$status" = 0 ]
    [[ $output == *"build-test was made at $BATS_TEST_TMPDIR/first/build-test"*"out was made at $BATS_TEST_TMPDIR/first/out"* ]]
    grep "^CMAKE_HOME_DIRECTORY:INTERNAL=$BATS_TEST_TMPDIR/second$" build-test/CMakeCache.txt out/CMakeCache.txt
    ! grep -n 'cmake -S' Makefile
}
