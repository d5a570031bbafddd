# The commands that build, run and test the project. `make help` lists them.
SHELL := /bin/bash
unexport CDPATH
BUILD := $(or $(BUILD),build)
JOBS ?= $(shell nproc)
COUNT ?= 5000
SEED ?= 0
MINUTES ?= 10
SECONDS ?= 10
VERSION ?= 18

# A value that stands in a command line: a number, or make ends before it runs anything.
without_digits = $(subst 0,,$(subst 1,,$(subst 2,,$(subst 3,,$(subst 4,,$(subst 5,,$(subst 6,,$(subst 7,,$(subst 8,,$(subst 9,,$(1)))))))))))
number = $(if $(call without_digits,$($(1)))$(word 2,$($(1))),$(error $(1) must be a number, and not: $($(1))),$(if $(strip $($(1))),$($(1)),$(2)))

.PHONY: help deps docs build test test-faults soak fuzz test-unit test-postgres check asan tsan compose-test bench bench-peers bench-pure bench-quick format lint rebuild up down clean logs ps psql env faker migrate

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

deps: ## install what is missing (Debian 12)
	@scripts/install-deps

build: deps docs ## build/messaging
	@scripts/configure $(BUILD) -DBUILD_TESTS=OFF
	@if [ -x $(BUILD)/messaging ] && [ -z "$$(find src CMakeLists.txt -newer $(BUILD)/messaging -print -quit)" ]; then \
	    log=$$(cmake --build $(BUILD) -j $(JOBS) 2>&1) || { echo "$$log" >&2; exit 1; }; \
	else cmake --build $(BUILD) -j $(JOBS); fi

docs: deps ## the Swagger pages
	@scripts/build-docs $(BUILD)/docs

rebuild: ## start everything with fresh data, and say what to try (RUNTIME=docker|local)
	@scripts/runtime rebuild

up: ## start everything, data kept
	@scripts/runtime up

down: ## stop everything, data kept
	@scripts/runtime down

clean: ## stop everything, and remove its data and the builds
	@scripts/runtime clean
	@rm -rf build build-* api-docs/node_modules tests/support/verifier/node_modules

logs: ## follow the service's log
	@scripts/runtime logs

ps: ## what runs
	@scripts/runtime ps

env: ## the addresses, as KEY=value lines
	@scripts/runtime env

psql: ## a psql session in the database
	@scripts/runtime psql

faker: ## insert COUNT=5000 believable messages (SEED=n repeats them)
	@scripts/runtime faker --count $(call number,COUNT,5000) --seed $(call number,SEED,0)

migrate: ## bring the schema up
	@scripts/runtime migrate up

test: ## every test, set-up included; the bench programs are built, and not run
	@scripts/install-deps --test
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_BENCH=ON
	@cmake --build build-test -j $(JOBS)
	@scripts/check-config-docs build-test/messaging
	@ctest --test-dir build-test -j $(JOBS) --output-on-failure; status=$$?; \
	    scripts/not-run build-test/Testing/Temporary/LastTest.log; exit $$status

test-faults: ## fault tests: kills, cuts, full disks; a few minutes
	@scripts/install-deps --test
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@cmake --build build-test -j $(JOBS)
	@scripts/test-faults build-test

soak: ## random faults under load for MINUTES=10; SEED=n repeats their order
	@scripts/install-deps --test
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@cmake --build build-test -j $(JOBS) --target soak
	@SOAK_MINUTES=$(call number,MINUTES,10) SOAK_SEED=$(call number,SEED,0) build-test/soak --gtest_brief=1

fuzz: ## random input for everything that reads what others wrote, SECONDS=10 a target; SEED=n repeats it
	@scripts/install-deps --test
	@scripts/configure build-fuzz -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_BUILD_TYPE=RelWithDebInfo -DFUZZ=ON -DBUILD_TESTS=OFF
	@cmake --build build-fuzz -j $(JOBS)
	@scripts/fuzz build-fuzz $(call number,SECONDS,10) $(call number,SEED,0)
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@cmake --build build-test -j $(JOBS) --target fuzz_rows
	@FUZZ_SECONDS=$(call number,SECONDS,10) FUZZ_SEED=$(call number,SEED,0) build-test/fuzz_rows --gtest_brief=1

test-unit: ## the tests without I/O, in a second
	@scripts/install-deps --test
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@cmake --build build-test -j $(JOBS) --target unit_tests
	@build-test/unit_tests --gtest_brief=1

test-postgres: ## the integration and e2e tests against PostgreSQL VERSION=18, of 13 to 18
	@scripts/install-deps --test
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@cmake --build build-test -j $(JOBS)
	@scripts/test-postgres build-test $(call number,VERSION,18) $(JOBS)

asan: ## the tests under address and undefined-behaviour sanitizers
	@scripts/install-deps --test
	@scripts/configure build-asan -DCMAKE_BUILD_TYPE=Debug -DSANITIZE=address,undefined
	@cmake --build build-asan -j $(JOBS)
	@ctest --test-dir build-asan -LE fault -j $(JOBS) --output-on-failure
	@ctest --test-dir build-asan -R '^fault/receivers$$' --output-on-failure

tsan: ## the tests under the thread sanitizer
	@scripts/install-deps --test
	@scripts/configure build-tsan -DCMAKE_BUILD_TYPE=Debug -DSANITIZE=thread
	@cmake --build build-tsan -j $(JOBS)
	@ctest --test-dir build-tsan -LE fault -j $(JOBS) --output-on-failure

SOURCES = $$(git ls-files --cached --others --exclude-standard 'src/*.cc' 'src/*.h' 'tests/*.cc' 'tests/*.h')

compose-test: ## docker-compose.yml tried with a Docker engine
	@scripts/test-compose

format: ## lay the sources out as .clang-format says
	@clang-format-14 -i $(SOURCES)

SCALE ?= 1
SCENARIO ?=
BENCH_BUILD = scripts/install-deps --bench && scripts/configure $(BUILD) -DBUILD_TESTS=OFF -DBUILD_BENCH=ON && cmake --build $(BUILD) -j $(JOBS)

bench: ## every scenario but the large ones against its target (SCALE=0.01 is a trial; SCENARIO=drain runs that one)
	@$(BENCH_BUILD)
	@scripts/bench full $(BUILD) $(SCALE) $(SCENARIO)

bench-peers: ## graphile-worker and pg-boss beside ours (SCALE=0.1)
	@$(BENCH_BUILD)
	@scripts/bench peers $(BUILD) $(SCALE)

bench-pure: ## what needs no I/O, by Google Benchmark; half a minute
	@$(BENCH_BUILD) --target bench_pure
	@$(BUILD)/bench_pure --benchmark_min_time=0.2

bench-quick: ## drain ratio, latency, instructions per message; under a minute
	@$(BENCH_BUILD)
	@scripts/bench quick $(BUILD)

lint: ## formatting, layers, documents, clang-tidy, shellcheck, the OpenAPI document
	@scripts/install-deps --test
	@clang-format-14 --dry-run -Werror $(SOURCES)
	@scripts/check-layers
	@scripts/check-docs
	@shellcheck -x scripts/env-file scripts/runtime scripts/runtime-docker scripts/runtime-local scripts/build-docs scripts/install-deps \
	    scripts/test-compose scripts/test-faults scripts/test-postgres scripts/install-postgres scripts/fuzz scripts/configure scripts/not-run .ci/run
	@scripts/configure build-test -DCMAKE_BUILD_TYPE=RelWithDebInfo
	@scripts/tidy build-test
	@cd api-docs && { [ -x node_modules/.bin/redocly ] || npm ci --ignore-scripts >/dev/null; } && \
	    REDOCLY_TELEMETRY=off node_modules/.bin/redocly lint openapi.json

check: SEED = 1
check: lint compose-test fuzz asan tsan test ## what CI runs; the random input is the same each time
	@$(MAKE) --no-print-directory test-postgres VERSION=13
	@$(MAKE) --no-print-directory test-postgres VERSION=18
