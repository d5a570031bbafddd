#!/usr/bin/env bats
# The local runtime in a checkout of its own, whose path has a blank and brackets. The program comes built: MESSAGING_BINARY names it.

setup_file() {
    export checkout="$BATS_FILE_TMPDIR/a check[out]"
    mkdir -p "$checkout/build"
    cd "$BATS_TEST_DIRNAME/../.."
    cp -r scripts migrations .env.example docker-compose.yml "$checkout/"
    cp "${MESSAGING_BINARY:?names the program}" "$checkout/build/messaging"
    # The build is not what is tested.
    printf 'build:\n\t@true\n' >"$checkout/Makefile"
    chmod 755 "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
    unset DATABASE_URL REDIS_URL WEBHOOK_URL API_TOKEN PORT ALLOWED_NETWORKS
    export RUNTIME=local POSTGRES_PORT=21432 REDIS_PORT=21379 PORT=21080 RECEIVER_PORT=21090
}
setup() { cd "$checkout"; rm -f .env; }
teardown() { cd "$checkout" && timeout 60 scripts/runtime clean >/dev/null 2>&1; strays; }
strays() { # fails when a process of this checkout is left
    local left
    left=$(find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$BATS_FILE_TMPDIR/*/.local*" 2>/dev/null || true)
    # PostgreSQL is found by its user: in a container root may not see where it works.
    [ "$(id -u)" != 0 ] || left+=$(setpriv --reuid=postgres --regid=postgres --init-groups grep -lszxF -- "MESSAGING_CHECKOUT=$checkout" /proc/[0-9]*/environ 2>/dev/null || true)
    left+=$(grep -lszxF -- "MESSAGING_CHECKOUT=$checkout" /proc/[0-9]*/environ 2>/dev/null || true)
    [ -z "$left" ] || { echo "left: $left" >&2; return 1; }
}
data_of() { if [ "$(id -u)" = 0 ]; then echo "/var/lib/messaging-local/$(cat "$1/.local/id")"; else echo "$1/.local/postgres"; fi; }  # checkout
go() { timeout 120 scripts/runtime "$@" 9>&- </dev/null; }
api() { curl -fsS -m 5 "http://127.0.0.1:21080$1"; }
sql() { PGPASSFILE="$(data_of "$checkout").pgpass" psql -wqtAX "postgres://messaging@127.0.0.1:${2:-21432}/messaging" -c "$1"; }  # statement, port
service_environment() { tr '\0' '\n' <"/proc/$(go ps | sed -n 's/^service *pid \([0-9]*\).*/\1/p')/environ"; }

@test "rebuild, up again, down, up: the data stays, and nothing is left" {
    go rebuild
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    [ "$(grep -c 'does not exist' .local/postgres.log)" = 0 ]
    go up
    go down
    [[ $(go ps) != *pid* ]]
    for action in psql faker migrate; do
        run go $action </dev/null
        [ "$status" = 1 ]
        [[ $output == *"PostgreSQL is stopped: make up"* ]]
    done
    go up
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
    api /readyz
}
@test "a folder .local of somebody else's is left alone" {
    mkdir -p .local/share
    echo precious >.local/share/file
    for action in up rebuild clean; do
        run go $action
        [ "$status" != 0 ]
        [[ $output == *"files that are not this system's"* ]]
    done
    [ "$(cat .local/share/file)" = precious ]
    rm -r .local
}
@test "files of somebody else's that have come into our folder stay when it is cleaned" {
    go up
    echo precious >.local/mine
    run go clean
    [[ $output == *"stays: it has other files"* ]]
    [ "$(ls -A .local)" = mine ]
    rm -r .local
}
@test "a port is taken when somebody listens and does not answer, and when somebody has it and does not listen" {
    python3 - <<'PY' 9>&- &
import socket, time
full = socket.socket(); full.bind(("127.0.0.1", 21080)); full.listen(0)
fillers = [socket.socket() for _ in range(4)]
for one in fillers: one.setblocking(False); one.connect_ex(("127.0.0.1", 21080))
bound = socket.socket(); bound.bind(("127.0.0.1", 21090))
time.sleep(60)
PY
    holder=$!
    sleep 1
    run go up
    kill $holder
    [ "$status" = 0 ]
    [[ $output == *"port 21080 is taken: using 21081"* && $output == *"port 21090 is taken: using 21091"* ]]
}
@test "a wrong setting is refused before anything is touched, and never answered with advice that deletes data" {
    go up
    before=$(go ps)
    echo 'WEBHOOK_URL="no url"' >.env
    for action in up rebuild; do
        run go $action
        [ "$status" = 78 ]
        [[ $output == *"WEBHOOK_URL must be"* && $output == *"Correct"* && $output != *"make rebuild"* ]]
    done
    [ "$(go ps)" = "$before" ]
    echo 'LOG_LEVEL debug' >.env
    run go up
    [ "$status" = 78 ]
    [[ $output == *"line 1"* ]]
    [ "$(rm .env; go ps)" = "$before" ]
}
@test "a changed setting, a changed program and a changed address start the service anew" {
    go up
    printf 'export WEBHOOK_URL="http://127.0.0.1:36999/x" # mine\nMAX_ATTEMPTS=3' >.env
    go up
    service_environment | grep -x 'WEBHOOK_URL=http://127.0.0.1:36999/x'
    service_environment | grep -x 'MAX_ATTEMPTS=3'
    [[ $(go ps) == *"receiver   stopped"* ]]
    first=$(go ps | grep service)
    go up
    [ "$(go ps | grep service)" = "$first" ]
    cp build/messaging build/new && printf x >>build/new && mv build/new build/messaging
    go up
    [ "$(go ps | grep service)" != "$first" ]
}
@test "a name in .env that is no setting is said with its line and the nearest setting" {
    printf 'LOG_LEVEL=info\nWEBHOKURL=http://127.0.0.1/\n\nCOMPOSE_PROJECT_NAME=x\nAPI_PORT=1\nXYZZY=1\nCOUNT=7\nhttp_proxy=\nmax_attempts=3\n' >.env
    run go up
    [ "$status" = 0 ]
    [[ $output == *".env, line 2: WEBHOKURL is no setting and has no effect: did you mean WEBHOOK_URL?"* ]]
    [[ $output == *".env, line 5: API_PORT is no setting and has no effect: did you mean PORT?"* ]]
    [[ $output == *".env, line 6: XYZZY is no setting and has no effect"* && $output != *XYZZY*mean*max* ]]
    [[ $output == *".env, line 9: max_attempts is no setting and has no effect: did you mean MAX_ATTEMPTS?"* ]]
    [ "$(grep -c "is no setting" <<<"$output")" = 4 ]
}
@test "endpoints may be on this machine, and the environment or .env can open more or nothing" {
    go up
    service_environment | grep -Fx 'ALLOWED_NETWORKS=127.0.0.0/8,::1'
    echo 'ALLOWED_NETWORKS=10.0.0.0/8' >.env
    go up
    service_environment | grep -Fx 'ALLOWED_NETWORKS=10.0.0.0/8'
    ALLOWED_NETWORKS='' go up
    service_environment | grep -Fx 'ALLOWED_NETWORKS='
    echo 'ALLOWED_NETWORKS=10.0.0.1/8' >.env
    run go up
    [ "$status" != 0 ]
    [[ $output == *"ALLOWED_NETWORKS must be networks separated by commas"*"write 10.0.0.0/8"* ]]
}
@test "an API at another address is found there" {
    echo HTTP_ADDR=127.0.0.2 >.env
    go up
    [[ $(go env) == *API_URL=http://127.0.0.2:21080* ]]
    curl -fsS -m 5 http://127.0.0.2:21080/readyz
    echo HTTP_ADDR=0.0.0.0 >.env
    echo ALLOW_UNAUTHENTICATED=true >>.env
    go up
    [[ $(go env) == *API_URL=http://127.0.0.1:21080* ]]
    api /readyz
}
@test "a port that is none is refused, and an address that is not used is said" {
    for wrong in PORT=0 REDIS_PORT=65536 POSTGRES_PORT=x RECEIVER_PORT=-1; do
        run env "$wrong" timeout 120 scripts/runtime up 9>&- </dev/null
        [ "$status" = 78 ]
        [[ $output == *"${wrong%=*} must be a number from 1 to 65535"* ]]
    done
    [[ $(go ps) != *pid* ]]
    REDIS_URL='' run go up
    [[ $output == *"REDIS_URL is not used here"* ]]
}
@test "a changed port moves what runs, once" {
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    service=$(go ps | grep service)
    POSTGRES_PORT=21433 REDIS_PORT=21380 RECEIVER_PORT=21091 PORT=21081 run go up
    [ "$status" = 0 ]
    [[ $output == *"postgres moves from port 21432 to port 21433"* ]]
    for moved in postgres.*21433 redis.*21380 receiver.*21091 service.*21081; do go ps | grep "$moved"; done
    [ "$(sql 'SELECT count(*) FROM messages' 21433)" = 1 ]
    curl -fsS -m 5 http://127.0.0.1:21081/readyz
    [ "$(redis-cli -p 21380 ping)" = PONG ]
    before=$(go ps)
    export POSTGRES_PORT=21433 REDIS_PORT=21380 RECEIVER_PORT=21091 PORT=21081
    go up
    [ "$(go ps)" = "$before" ]
    go down
}
@test "with docker, too, a changed port counts" {
    mkdir -p fake
    # shellcheck disable=SC2016
    printf '#!/bin/sh\ncase "$*" in *Health*) echo healthy ;; *inspect*) echo 0 ;; *"ps -q"*) echo id ;; esac\n' >fake/docker
    chmod +x fake/docker
    export RUNTIME=docker PATH="$checkout/fake:$PATH"
    go up
    grep -x PORT=21080 .local/docker-ports
    PORT=21081 go up
    grep -x PORT=21081 .local/docker-ports
    grep -x REDIS_PORT=21379 .local/docker-ports
    echo WEBHOKURL=x >.env
    [[ $(go up 2>&1) == *"did you mean WEBHOOK_URL"* ]]
    go clean
}
@test "root that may not see where others' processes work, as in a container, finds PostgreSQL, stops it and starts it again" {
    [ "$(id -u)" = 0 ] || skip "this is about root"
    go() { setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace timeout 120 scripts/runtime "$@" 9>&- </dev/null; }
    go up
    first=$(go ps | grep '^postgres .*pid')
    go up
    [ "$(go ps | grep '^postgres')" = "$first" ]
    go down
    strays
    go up
    api /readyz
    go rebuild
    [ "$(go ps | grep -c pid)" = 4 ]
}
@test "on a machine where PostgreSQL was never installed root is told nothing of its user" {
    [ "$(id -u)" = 0 ] || skip "this is about root"
    mkdir -p fake
    printf '#!/bin/sh\n[ "$*" != "passwd postgres" ] || exit 2\nexec %s "$@"\n' "$(command -v getent)" >fake/getent
    printf '#!/bin/sh\n[ "$1" != --reuid=postgres ] || { echo "failed to parse reuid" >&2; exit 1; }\nexec %s "$@"\n' "$(command -v setpriv)" >fake/setpriv
    chmod +x fake/getent fake/setpriv
    for action in ps down clean; do
        PATH="$checkout/fake:$PATH" run go $action
        [ "$status" = 0 ]
        [[ $output != *reuid* ]]
    done
    rm -r fake
}
@test "two at once: the second waits" {
    go up >first.log 2>&1 &
    go up >second.log 2>&1
    wait $!
    cat first.log second.log | grep -q "another make"
    [ -s .local/id ] && [ -e "$(data_of "$checkout")" ]
    [ "$(go ps | grep -c pid)" = 4 ]
    [ "$(go ps | grep postgres | grep -o 'pid [0-9]* [0-9]' | wc -l)" = 0 ]
    api /readyz
}
@test "what runs is found when .local was deleted under it" {
    go up
    rm -rf .local
    go up
    [ "$(go ps | grep -c pid)" = 4 ]
    api /readyz
    go down
    strays
}
@test "without .local no server at the default port is taken for the checkout's own" {
    go up
    rm -rf .local
    PGPORT=21432 go up
    grep -x 21432 .local/postgres.port
    [[ $(go env) == *"DATABASE_URL=postgres://messaging@127.0.0.1:21432/messaging"* ]]
    go down
    strays
}
@test "killed at any step, the next one works" {
    for delay in 0.2 0.6 1.2; do
        timeout -s KILL "$delay" scripts/runtime up >/dev/null 2>&1 9>&- </dev/null || true
    done
    go up
    [ "$(go ps | grep -c pid)" = 4 ]
}
@test "killed when the cluster is whole and not at its place yet, the next one makes one with a password of its own" {
    mkdir -p fake
    # shellcheck disable=SC2016  # the script's
    printf '#!/bin/sh\ncase "$*" in *postgres.new\ *|*messaging-local/*.new\ *) kill -9 $PPID; exit 1 ;; esac\nexec %s "$@"\n' "$(command -v mv)" >fake/mv
    chmod +x fake/mv
    PATH="$checkout/fake:$PATH" run go up
    rm -r fake
    [ "$status" = 137 ]
    data=$(data_of "$checkout")
    [ -s "$data.pgpass" ] && [ ! -e "$data" ] && [ ! -e "$data.password" ]
    first=$(cat "$data.pgpass")
    go up
    [ "$(cat "$data.pgpass")" != "$first" ]
    sql "SELECT 1"
    go clean
    [ -z "$(ls -d "$data"* 2>/dev/null)" ]
}
@test "a postmaster.pid whose number another program has by now stops no start" {
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    go down
    as=()
    [ "$(id -u)" != 0 ] || as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    "${as[@]}" sleep 60 9>&- &
    other=$!
    sed "1s/.*/$other/" <<<$'0\n/nowhere' >"$(data_of .)/postmaster.pid"
    [ "$(id -u)" != 0 ] || chown postgres: "$(data_of .)/postmaster.pid"
    go up
    kill $other
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
}
@test "stale and foreign numbers in files count for nothing" {
    go up
    go down
    sleep 300 9>&- 3>&- &
    foreign=$!
    for one in postgres redis receiver service; do echo $foreign >".local/$one.pid"; done
    [[ $(go ps) != *pid* ]]
    go up
    go down
    kill $foreign
}
@test "everything killed, then up" {
    go up
    for one in postgres redis receiver service; do
        pid=$(go ps | sed -n "s/^$one *pid \([0-9]*\).*/\1/p")
        kill -9 "$pid"
    done
    go up
    [ "$(go ps | grep -c pid)" = 4 ]
}
@test "a taken port is replaced and said" {
    python3 -m http.server --bind 127.0.0.1 21080 >/dev/null 2>&1 9>&- 3>&- &
    taken=$!
    until (exec 4<>/dev/tcp/127.0.0.1/21080) 2>/dev/null; do sleep 0.1; done
    run go up
    kill $taken
    [ "$status" = 0 ]
    [[ $output == *"port 21080 is taken: using 21081"* ]]
}
@test "settings from files" {
    echo secret-token >token
    echo http://127.0.0.1:36999/y >url
    printf 'API_TOKEN_FILE=%s/token\nWEBHOOK_URL_FILE="%s/url"\n' "$checkout" "$checkout" | sed "s/=\(.*\)token$/='\1token'/" >.env
    go rebuild
    [ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:21080/status)" = 401 ]
    [ "$(curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer secret-token' http://127.0.0.1:21080/status)" = 200 ]
}
@test "what the other runtime has started is stopped first" {
    mkdir -p fake .local
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$@" >>"%s/calls"\n' "$checkout" >fake/docker
    chmod +x fake/docker
    echo docker >.local/runtime
    PATH="$checkout/fake:$PATH" go up
    grep 'compose .*down' calls
    api /readyz
}
@test "a pg_config of an installation without a server is passed over, and without any server nothing is deleted" {
    mkdir -p "$BATS_TEST_TMPDIR/bin"
    printf '#!/bin/sh\necho /opt/none/bin\n' >"$BATS_TEST_TMPDIR/bin/pg_config"
    chmod 755 "$BATS_TEST_TMPDIR/bin/pg_config"
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    go down
    PATH=$BATS_TEST_TMPDIR/bin:$PATH go up
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
    go down
    printf '#!/bin/sh\nexit 1\n' >"$BATS_TEST_TMPDIR/bin/pg_config"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH go up
    sed -i 's|/usr/lib/postgresql|/opt/none|' scripts/runtime-local
    PATH=$BATS_TEST_TMPDIR/bin:$PATH run go rebuild
    sed -i 's|/opt/none/|/usr/lib/postgresql/|' scripts/runtime-local
    [ "$status" != 0 ]
    [[ $output == *"is not installed"* ]]
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
}
@test "a Redis that hangs is started anew, and holds up no other make" {
    go up
    kill -STOP "$(go ps | sed -n 's/^redis *pid \([0-9]*\).*/\1/p')"
    timeout 60 scripts/runtime up 9>&- </dev/null
    api /readyz
}
@test "a service that ends at once is not waited for" {
    go up
    sql "UPDATE messaging._migration SET checksum = 'x'"
    began=$SECONDS
    printf 'MAX_ATTEMPTS=4\n' >.env
    run go up
    [ "$status" = 1 ]
    [ $((SECONDS - began)) -lt 20 ]
    [[ $output == *"deletes all messages"* ]]
}
@test "a checkout that cannot be written to is said" {
    somebody=()
    # Root may write everywhere, and is somebody else here.
    [ "$(id -u)" != 0 ] || somebody=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    chmod a-w .
    run timeout 120 "${somebody[@]}" scripts/runtime up 9>&- </dev/null
    chmod u+w .
    [ "$status" = 1 ]
    [[ $output == *"cannot be written"* ]]
}
@test "data that no checkout is known to use are listed for root, and never with a command that removes them" {
    go up
    data=$(data_of "$checkout")
    [ -s "$data/PG_VERSION" ] || [ "$(id -u)" = 0 ]
    [[ $(go ps) != *"$data"* ]]
    if [ "$(id -u)" = 0 ]; then
        [ "$(cat "$data.checkout")" = "$checkout" ]
        note=/var/lib/messaging-local/0123456789abcdef.checkout
        mkdir -p "${note%.checkout}"
        echo "$checkout/deleted" >$note
        run setpriv --reuid=65534 --regid=65534 --clear-groups scripts/runtime ps
        others=$output
        run go ps
        rm -r $note ${note%.checkout}
        [[ $others == *"postgres "* && $others != *"not used"* ]]
        [[ $output == *"not used by the checkout at $checkout/deleted (moved, deleted"*": ${note%.checkout}"* && $output != *"rm -r"* ]]
        go clean
        [ ! -e "$data.checkout" ] && [ ! -e "$data" ]
    fi
}
@test "the data of a moved checkout stay its own: nobody is told to remove them, and a clone in the old place does not get them" {
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    go down
    data=$(data_of "$checkout")
    moved="$BATS_FILE_TMPDIR/moved"
    mv "$checkout" "$moved"
    mkdir "$checkout"
    cp -r "$moved"/{scripts,migrations,build,Makefile,docker-compose.yml} "$checkout/"
    cd "$moved"
    told=$(go ps)
    cd "$checkout"
    told+=$(go ps)
    go up
    [ "$(sql 'SELECT count(*) FROM messages')" = 0 ]
    told+=$(go ps)
    go clean
    rm -r "$checkout"
    mv "$moved" "$checkout"  # whatever comes, teardown finds it
    cd "$checkout"
    [[ $told != *"rm -r"* && $told != *"by the deleted"* ]]
    [ -e "$data" ]
    go up
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
}
@test "a copy of a checkout is another system" {
    go up
    copy="$BATS_FILE_TMPDIR/copy"
    cp -a "$checkout" "$copy"
    cd "$copy"
    [[ $(go ps) != *pid* ]]
    go clean
    rm -r "$copy"
    cd "$checkout"
    [ "$(go ps | grep -c pid)" = 4 ]
    sql "SELECT 1"
    [ -e "$(data_of "$checkout")" ]
}
@test "down stops the checkout's own programs, and not what else works in their folders" {
    go up
    (cd .local/redis && exec sleep 300 9>&- 3>&-) &
    in_redis=$!
    (cd "$(data_of "$checkout")" && exec sleep 300 9>&- 3>&-) &
    in_postgres=$!
    sleep 300 >>.local/postgres.log 9>&- 3>&- &
    in_log=$!
    for one in postgres redis; do [[ $(go ps) =~ $one\ +pid\ [0-9]+, ]]; done
    go down
    kill $in_redis $in_postgres $in_log  # fails where one of them is gone
    ! (exec 3<>/dev/tcp/127.0.0.1/21379) 2>/dev/null
}
@test "a moved checkout finds what runs, and its data" {
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    moved="$BATS_FILE_TMPDIR/moved [away]"
    mv "$checkout" "$moved"
    cd "$moved"
    run go ps
    [[ $output == *"moved from $checkout"*"make up"* ]]
    run go up
    mv "$moved" "$checkout.back" && mv "$checkout.back" "$checkout" && cd "$checkout"  # whatever comes, teardown finds it
    [ "$status" = 0 ]
    [[ $output == *"moved from $checkout: stopping"* ]]
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
    run go down
    [[ $output == *"moved from $moved: stopping"* ]]
    ! (exec 3<>/dev/tcp/127.0.0.1/21080) 2>/dev/null
    ! (exec 3<>/dev/tcp/127.0.0.1/21432) 2>/dev/null
    go up
    [ "$(sql 'SELECT count(*) FROM messages')" = 1 ]
    [ "$(go ps | grep -c pid)" = 4 ]
}
@test "ps says nothing but what runs, also after a process died" {
    go up
    kill -9 "$(go ps | sed -n 's/^service *pid \([0-9]*\).*/\1/p')"
    run go ps
    [ "$(grep -vcE '^(postgres|redis|receiver|service|not used by) ' <<<"$output")" = 0 ]
}
@test "a symlink to the checkout, a symlinked .local and CDPATH lead to the same system" {
    mkdir -p "$BATS_FILE_TMPDIR/elsewhere" "$BATS_FILE_TMPDIR/state" && ln -sfn "$BATS_FILE_TMPDIR/state" .local
    ln -sfn "$checkout" "$BATS_FILE_TMPDIR/link"
    cp -r scripts "$BATS_FILE_TMPDIR/elsewhere/"
    go up
    before=$(go ps)
    [ "$(grep -c pid <<<"$before")" = 4 ]
    cd "$BATS_FILE_TMPDIR/link"
    [ "$(go ps)" = "$before" ]
    go up
    [ "$(go ps)" = "$before" ]
    export CDPATH="$BATS_FILE_TMPDIR/elsewhere"
    [ "$(go ps)" = "$before" ]
    go clean
    unset CDPATH
    cd "$checkout"
    rm -f .local
    strays
}
@test "psql, faker and migrate take no other server at the port of a stopped PostgreSQL for the checkout's own" {
    go up
    go down
    mkdir -p fake
    ln -sf /bin/true fake/pg_isready
    for action in psql faker migrate; do
        PATH="$checkout/fake:$PATH" run go $action
        [ "$status" = 1 ]
        [[ $output == *"PostgreSQL is stopped: make up"* ]]
    done
}
@test "another user is told whose the system is, before anything is done" {
    [ "$(id -u)" = 0 ] || skip "root makes another user's .local here"
    mkdir .local
    chown nobody .local
    for action in up rebuild down clean psql faker migrate; do
        run go $action
        [ "$status" = 1 ]
        [[ $output == *"belongs to nobody"*"Run 'make $action' as nobody"* ]]
    done
    [[ $(go ps) == *"belongs to nobody: others may not see"* ]]
    rmdir .local  # nothing is in it
}
@test "down gives the service twice the SHUTDOWN_TIMEOUT that it runs with and a second, docker too" {
    SHUTDOWN_TIMEOUT=1s go up
    data=$(data_of "$checkout")
    kill -STOP "$(go ps | sed -n 's/^service *pid \([0-9]*\).*/\1/p')"
    began=$SECONDS
    run go down
    [ $((SECONDS - began)) -lt 15 ]
    [[ $output == *"service has not ended within 3 s: it is killed"* ]]
    eval "$(sed -n '/^shutdown_grace() {/,/^}/p' scripts/runtime)"
    [ "$(for one in 15s 2m 250ms 08s 1h ''; do shutdown_grace "$one"; done | paste -sd' ')" = "31 241 2 17 7201 31" ]
    mkdir -p fake
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "$SHUTDOWN_GRACE $*" >>"%s/calls"\ncase "$*" in *Health*) echo healthy ;; *inspect*) echo 0 ;; *"ps -q"*) echo id ;; esac\n' "$checkout" >fake/docker
    chmod +x fake/docker
    PATH="$checkout/fake:$PATH" RUNTIME=docker SHUTDOWN_TIMEOUT=45s go up
    PATH="$checkout/fake:$PATH" RUNTIME=docker go down
    grep -q '^91s compose .*up -d service' calls
    grep -q '^91s compose .*down' calls
    PATH="$checkout/fake:$PATH" RUNTIME=docker go clean
    [ ! -e "$data" ]
    rm -r fake calls
    grep -q 'stop_grace_period: ${SHUTDOWN_GRACE:-31s}' docker-compose.yml
}
@test "proxies and settings for other servers in the environment change nothing" {
    export http_proxy=http://127.0.0.1:1 HTTP_PROXY=http://127.0.0.1:1 PGSERVICE=nowhere PGSSLMODE=require PGOPTIONS=-cfoo=1 PGHOSTADDR=192.0.2.1
    export PGPORT=1 PGDATA=/nowhere REDISCLI_AUTH=x POSIXLY_CORRECT=1
    go rebuild
    [ "$(go psql -qtAX -c 'SELECT 1')" = 1 ]
    [ "$(go ps | grep -c pid)" = 4 ]
}
@test "the program of BUILD is the one that runs" {
    mkdir -p out && cp build/messaging out/
    BUILD=out go up
    [ "$(readlink "/proc/$(go ps | sed -n 's/^service *pid \([0-9]*\).*/\1/p')/exe")" = "$checkout/out/messaging" ]
    rm -r out
}
@test "root's first up with umask 077 leaves a folder that PostgreSQL can enter, and mends a closed one" {
    [ "$(id -u)" = 0 ] || skip "this is about root"
    mkdir -p /var/lib/messaging-local
    chmod 700 /var/lib/messaging-local
    (umask 077 && go up)
    [ "$(stat -c %a /var/lib/messaging-local)" = 755 ]
}
@test "a port file that has no port is made anew, and after the last port comes a low one" {
    mkdir -p .local
    : >.local/postgres.port
    echo garbage >.local/redis.port
    echo 99999 >.local/service.port
    env -u POSTGRES_PORT -u REDIS_PORT PORT=21080 timeout 120 scripts/runtime up 9>&- </dev/null
    api /readyz
    go down
    python3 -m http.server --bind 127.0.0.1 65535 >/dev/null 2>&1 9>&- 3>&- &
    taken=$!
    until (exec 4<>/dev/tcp/127.0.0.1/65535) 2>/dev/null; do sleep 0.1; done
    PORT=65535 run go up
    kill $taken
    [ "$status" = 0 ]
    [[ $output == *"port 65535 is taken: using 1"* && $output != *65536* ]]
}
@test "rebuild does not show the token in the arguments of curl" {
    mkdir -p fake
    printf '#!/bin/sh\necho "$@" >>"%s/calls"\nexec %s "$@"\n' "$checkout" "$(command -v curl)" >fake/curl
    chmod +x fake/curl
    echo 'API_TOKEN=secret-token' >.env
    PATH="$checkout/fake:$PATH" go rebuild
    grep -q /start calls
    [ "$(grep -c secret-token calls)" = 0 ]
    rm -r fake calls
}
@test "data that were deleted in part are neither started nor replaced, and the way out is said" {
    go up
    go down
    data=$(data_of "$checkout")
    for part in global/pg_control PG_VERSION; do
        rm "$data/$part"
        run go up
        [ "$status" = 1 ]
        [[ $output == *"the PostgreSQL data in $data are not whole: $part is missing"*"make rebuild"* ]]
        [ -d "$data/base" ]
    done
    go rebuild
    api /readyz
}
@test "PostgreSQL lets nobody in without the password, whose file only the owner reads and the lines of make env name" {
    umask 022
    go up
    data=$(data_of "$checkout")
    [ "$(stat -c '%a %u' "$data.pgpass")" = "600 $(id -u)" ]
    [ ! -e "$data.password" ]
    for database in messaging postgres; do
        PGPASSFILE=/dev/null run psql -wqtAX "postgres://messaging@127.0.0.1:21432/$database" -c "SELECT 1"
        [ "$status" = 2 ]
        [[ $output == *"no password supplied"* ]]
    done
    go env | sed 's/^/export /' >lines
    [ "$(grep -c "$(sed 's/.*://' "$data.pgpass")" lines)" = 0 ]
    # Any shell reads them, and the path has a blank where root's data are not elsewhere.
    [ "$(env -u PGPASSFILE sh -c '. ./lines; psql -wqtAX "$DATABASE_URL" -c "SELECT 1"')" = 1 ]
    rm lines
    eval "$(sed -n '/^quoted() {/,/^}/p' scripts/runtime)"
    for path in "/a b/it's" '/a$b[c]' /plain/a_b-c.d; do [ "$(sh -c "printf %s $(quoted "$path")")" = "$path" ]; done
    [ "$(quoted /plain/a_b-c.d)" = /plain/a_b-c.d ]
    # The caller's own file is not asked.
    [ "$(PGPASSFILE=/dev/null go psql -qtAX -c 'SELECT 1')" = 1 ]
    mv "$data.pgpass" "$BATS_TEST_TMPDIR/pgpass"
    run go up
    [ "$status" = 1 ]
    [[ $output == *"The password is in $data.pgpass"* ]]
    mv "$BATS_TEST_TMPDIR/pgpass" "$data.pgpass"
    go up
    go rebuild
    [ ! -e "$data.pgpass" ] || [ "$(id -u)" != 0 ]
    sql "SELECT 1"
}
@test "a cluster that was made before there were passwords keeps working" {
    go up
    sql "INSERT INTO messages (recipient, content) VALUES ('a', 'b')"
    go down
    data=$(data_of "$checkout")
    sed -i 's/scram-sha-256$/trust/' "$data/pg_hba.conf"
    rm "$data.pgpass"
    go up
    [[ $(go env) != *PGPASSFILE* ]]
    [ "$(go psql -qtAX -c 'SELECT count(*) FROM messages')" = 1 ]
    api /readyz
}
@test "no other user of this machine can have Redis write to another folder, or load a library" {
    go up
    for command in "CONFIG SET dir /tmp" "CONFIG SET dbfilename x" "MODULE LOAD /x.so"; do
        # shellcheck disable=SC2086  # words
        [[ $(redis-cli -p 21379 $command) == ERR* ]]
    done
}
