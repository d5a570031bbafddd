# A checkout of its own whose `make rebuild` starts a whole system; read by the tests that need one. The program comes built:
# MESSAGING_BINARY names it.

make_checkout() { # further folders...
    export checkout="$BATS_FILE_TMPDIR/checkout"
    mkdir -p "$checkout/build"
    cd "$BATS_TEST_DIRNAME/../.." || return
    # The build is not what is tried.
    cp -r scripts migrations .env.example docker-compose.yml "$@" "$checkout/"
    cp "${MESSAGING_BINARY:?names the program}" "$checkout/build/messaging"
    { sed '/^build:/,/^$/d' Makefile; printf 'build:\n\t@true\n'; } >"$checkout/Makefile"
    chmod 755 "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR" 2>/dev/null || true
}
clean_checkout() { cd "$checkout" || return; go clean >/dev/null 2>&1; }

go() { env -i PATH="$PATH" HOME="$HOME" RUNTIME=local timeout 120 make --no-print-directory "$@" 9>&- 3>&-; }
blocks() { # language, file: the fenced code blocks
    sed -n "/^\`\`\`$1\$/,/^\`\`\`\$/p" "$BATS_TEST_DIRNAME/../../$2" | grep -v '^```'
}
block() { # language, number, file: one of them
    awk -v open="\`\`\`$1" -v wanted="$2" '$0 == "```" { on = 0 } on && n == wanted { print } $0 == open { on = 1; n++ }' "$BATS_TEST_DIRNAME/../../$3"
}
address() { go env </dev/null | sed -n "s/^$1=//p"; }
run_sql() { { echo '\set ON_ERROR_STOP on'; cat; } | go psql; }
sql() { (set -a; eval "$(go env </dev/null)"; psql -qtAX "$DATABASE_URL" -c "$1"); }
eventually() { # command...
    local end=$((SECONDS + 20))
    until "$@"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}
