#!/usr/bin/env bats
# The example application of examples/shop, as its README.md has it: the commands of that page, run one after another.

load system
setup_file() {
    make_checkout examples
    rm -rf "$checkout/examples/shop/node_modules"
}
setup() { cd "$checkout"; }
teardown_file() {
    local customer
    for customer in ada ben; do stop_receiver $customer 2>/dev/null || true; done
    clean_checkout
}

page=examples/shop/README.md
start_receiver() { # customer, number of the block
    block sh "$2" $page | sed "s,http://127.0.0.1:8080,$(address API_URL)," >"$BATS_FILE_TMPDIR/$1.sh"
    # exec: what runs has this process id, so that it can be stopped.
    (cd "$checkout" && exec bash -c "$(sed 's/ node / exec node /' "$BATS_FILE_TMPDIR/$1.sh")") >>"$BATS_FILE_TMPDIR/$1.log" 2>&1 3>&- &
    echo $! >"$BATS_FILE_TMPDIR/$1.pid"
    eventually listens "$1"
}
stop_receiver() { kill "$(cat "$BATS_FILE_TMPDIR/$1.pid")"; rm "$BATS_FILE_TMPDIR/$1.pid"; }
port_of() { if [ "$1" = ada ]; then echo 9101; else echo 9102; fi; }
listens() { (: <"/dev/tcp/127.0.0.1/$(port_of "$1")") 2>/dev/null; }
said() { [ "$(cat "$BATS_FILE_TMPDIR/$1.log")" = "$2" ] || { echo "$1: $(cat "$BATS_FILE_TMPDIR/$1.log")" >"$BATS_FILE_TMPDIR/last"; return 1; }; }
says() { eventually said "$@" || { cat "$BATS_FILE_TMPDIR/last" >&2; return 1; }; }
is() { [ "$(sql "$1")" = "$2" ]; }

@test "the shop: signed orders, a customer who is not there, and the replay of what was missed" {
    for customer in ada ben; do ! listens $customer || skip "port $(port_of $customer) is taken"; done
    go rebuild </dev/null
    # shellcheck disable=SC2329  # called by the block
    make() { go "$@"; }
    npm() { command npm "$@" 3>&- >"$BATS_TEST_TMPDIR/npm" 2>&1 || skip "npm could not fetch standardwebhooks: $(tail -n 1 "$BATS_TEST_TMPDIR/npm")"; }
    eval "$(block sh 1 $page)"
    unset -f make npm
    start_receiver ada 2
    start_receiver ben 3

    block sql 1 $page | run_sql
    says ada 'order.placed {"order":1,"product":"a pencil","quantity":1}'
    says ben 'order.placed {"order":2,"product":"a lamp","quantity":1}'
    grep -F 'order.placed {"order":1,' "$BATS_TEST_DIRNAME/../../$page"
    block sql 2 $page | run_sql
    says ada 'order.placed {"order":1,"product":"a pencil","quantity":1}
order.shipped {"order":1}'
    is "SELECT count(*) FROM messages" 3

    stop_receiver ada
    block sql 3 $page | run_sql
    says ben 'order.placed {"order":2,"product":"a lamp","quantity":1}
order.placed {"order":5,"product":"a chair","quantity":4}'
    eventually is "SELECT endpoint, attempts FROM messaging.dead_letters" 'ada|3'
    block sql 4 $page | run_sql >"$BATS_TEST_TMPDIR/shown"
    grep -q 'attempt 3' "$BATS_TEST_TMPDIR/shown"

    start_receiver ada 2
    block sql 5 $page | run_sql
    says ada 'order.placed {"order":1,"product":"a pencil","quantity":1}
order.shipped {"order":1}
order.placed {"order":4,"product":"ink","quantity":2}'
    eventually is "SELECT state, replayed FROM messaging.replays" 'done|1'
    is "SELECT count(*) FROM messaging.message_status WHERE status <> 'sent'" 0
    [ "$(wc -l <"$BATS_FILE_TMPDIR/ben.log")" = 2 ]

    # What the customer's own secret has not signed is refused, by the library.
    now=$(date +%s)
    signature=$(printf 'msg_x.%s.{}' "$now" | openssl dgst -sha256 -hmac 'another secret' -binary | base64)
    [ "$(curl -s -o /dev/null -w '%{http_code}' -H 'webhook-id: msg_x' -H "webhook-timestamp: $now" -H "webhook-signature: v1,$signature" -d '{}' http://127.0.0.1:9101/orders)" = 401 ]
    eventually grep -q '^refused: ' "$BATS_FILE_TMPDIR/ada.log"
}
@test "the role of the shop inserts events, and reads no messages" {
    is "SELECT count(*) FROM shop.orders" 4 || skip "the shop is not there"
    run sql "SET ROLE shop; SELECT count(*) FROM messages WHERE content IS NULL"
    [[ $output == *"permission denied"* ]]
    run sql "SET ROLE shop; UPDATE messaging.endpoints SET url = 'http://127.0.0.1/'"
    [[ $output == *"permission denied"* ]]
}
