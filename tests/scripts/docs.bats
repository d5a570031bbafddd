#!/usr/bin/env bats
# What the documents say, tried: the checks of scripts/check-docs and what they find, the receivers of docs/guide.md, and the SQL and curl
# examples against a system that `make rebuild` has started. The program comes built: MESSAGING_BINARY names it.

load system
setup_file() {
    export source="$BATS_TEST_DIRNAME/../.." copy="$BATS_FILE_TMPDIR/copy"
    make_checkout
}
teardown_file() { clean_checkout; }

all_sent() { [ "$(sql 'SELECT count(*) FROM messages WHERE NOT is_sent AND endpoint_id = 1')" = 0 ]; }  # the others are at example.com
none_misplaced() { [ -z "$(sql 'SELECT * FROM messaging.misplaced()')" ]; }

@test "the documents hold" {
    run "$source/scripts/check-docs"
    echo "$output"
    [ "$status" = 0 ]
}
fresh_copy() {
    rm -rf "$copy" && mkdir -p "$copy/api-docs"
    cd "$source"
    cp -r README.md CHANGELOG.md LICENSE Makefile docker-compose.yml CMakeLists.txt src scripts tests docs migrations examples "$copy/"
    cp api-docs/openapi.json "$copy/api-docs/"
}
found() { # words, file, a program for sed
    fresh_copy
    sed -i "$3" "$copy/$2"
    run "$source/scripts/check-docs" "$copy"
    [ "$status" = 1 ] && [[ $output == *"$1"* ]] || { echo "$2, $3: $status: $output" >&2; return 1; }
}
@test "what does not hold is found" {
    found 'the link docs/guid.md leads nowhere' README.md 's,(docs/guide.md),(docs/guid.md),'
    found 'the link guide.md#retry names a heading' docs/settings.md 's,guide.md#retries,guide.md#retry,'
    found 'there is no src/nowhere/config.cc' docs/contributing.md 's,src/app/config.cc,src/nowhere/config.cc,'
    found 'there is no target `make rebiuld`' README.md 's/^    make rebuild/    make rebiuld/'
    found 'nothing is called MAX_TRIES' docs/guide.md 's/`MAX_ATTEMPTS`/`MAX_TRIES`/'
    found 'the table of metrics lacks messaging_running' docs/operations.md '/^| `messaging_running`/d'
    found 'there is no metric messaging_sprinting' docs/operations.md 's/`messaging_running`/`messaging_sprinting`/'
    found 'the error code busy is in one of' docs/guide.md 's/, `busy`//'
    found 'the figure 9.87 ms is not in' README.md 's/9.97 ms/9.87 ms/'
    found 'the figure 4,472/s is not in' README.md 's,4\,471/s,4\,472/s,'
    found 'lacks the row | resident memory at full drain' docs/performance.md 's/27.8 MB/17.8 MB/'
    found 'README.md: ' README.md '1s/$/\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n/'
}
@test "each receiver of the guide takes a repeated message once" {
    run "$source/scripts/check-docs" --run
    echo "$output" | sed 's/^/# /' >&3
    [ "$status" = 0 ]
    [[ $output == *"in js: ok"* && $output == *"in python: ok"* ]]
}
@test "a receiver that takes a repeated message twice is found" {
    fresh_copy
    sed -i 's/if id not in seen: seen.add(id); print/print/' "$copy/docs/guide.md"
    run "$source/scripts/check-docs" --run "$copy"
    [ "$status" = 1 ]
    [[ $output == *"in python: FAILED: it took the repeated message 2 time(s)"* ]]
}
@test "each function of the guide tells right signatures from wrong ones" {
    run "$source/scripts/check-docs" --run
    [ "$status" = 0 ]
    [[ $output == *"verifier in js: ok"* && $output == *"verifier in python: ok"* && $output == *"verifier in go: "* ]]
}
@test "a function that takes a wrong signature, or an old request, is found" {
    fresh_copy
    sed -i 's/abs((now or time.time()) - int(timestamp)) > 300/False/; s/crypto.timingSafeEqual(expected, signature)/true/' "$copy/docs/guide.md"
    run "$source/scripts/check-docs" --run "$copy"
    [ "$status" = 1 ]
    [[ $output == *"verifier in js: FAILED: true for "* && $output == *"verifier in python: FAILED: true for "* ]]
}
@test "the waits in the guide are the program's" {
    line=$("$MESSAGING_BINARY" config | grep '^Retries:')
    grep -xF "    $line" "$source/docs/guide.md"
}
@test "README.md quotes what make rebuild says" {
    sed -n '/^Sending is on. Try:/,/^TEXT/p' "$source/scripts/runtime" | sed '/^TEXT/d; s/\$hint//; s,\$API_URL,http://127.0.0.1:8080,g
        s,^\${RECEIVER_URL:+,,; s,\$RECEIVER_URL,http://127.0.0.1:9090,; s,^},,; s/^./    &/' >"$BATS_TEST_TMPDIR/said"
    sed -n '/^    Sending is on. Try:/,/^      make logs/p' "$source/README.md" | diff "$BATS_TEST_TMPDIR/said" -
}
@test "make rebuild without any setting, make faker, and the SQL of README.md, guide.md and the pages for operators" {
    cd "$checkout"
    go rebuild </dev/null
    echo 'CREATE ROLE shop; CREATE ROLE support; CREATE ROLE messaging_app' | run_sql
    blocks sql README.md | run_sql
    eventually all_sent
    [[ $(curl -fsS "$(address RECEIVER_URL)/recent") == *"\"$(sql 'SELECT messaging.webhook_id(1)')\""*"+905551111111"* ]]
    go faker COUNT=2000 </dev/null
    eventually all_sent
    blocks sql docs/guide.md | run_sql
    for page in operations settings security maintenance; do blocks sql docs/$page.md; done | run_sql
    eventually all_sent
    eventually none_misplaced
}
@test "the calls of guide.md" {
    cd "$checkout"
    blocks sh docs/guide.md | sed "s,http://127.0.0.1:8080,$(address API_URL),g" >"$BATS_TEST_TMPDIR/calls"
    [ "$(grep -c curl "$BATS_TEST_TMPDIR/calls")" -ge 12 ]
    bash -e "$BATS_TEST_TMPDIR/calls" >"$BATS_TEST_TMPDIR/answers"
    grep -q '"status":207' "$BATS_TEST_TMPDIR/answers"
    eventually all_sent
}
@test "promtool reads the conditions to alert on" {
    command -v promtool >/dev/null || skip "promtool is not here"
    sed -n '/^## Alert on/,/^## Logs/p' "$source/docs/operations.md" | grep '^|' | grep -o '`[a-z_(]*messaging_[^`]*`' | tr -d '`' | sed 's/\\|/|/g' | sort -u >"$BATS_TEST_TMPDIR/conditions"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/conditions")" -ge 15 ]
    { echo 'groups: [{name: conditions, rules: ['; sed "s/'/''/g; s/.*/{record: 'a', expr: '&'},/" "$BATS_TEST_TMPDIR/conditions" | awk '{ sub(/record: .a./, "record: c" NR); print }'; echo ']}]'; } >"$BATS_TEST_TMPDIR/rules.yml"
    promtool check rules "$BATS_TEST_TMPDIR/rules.yml"
}
