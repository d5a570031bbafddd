#!/usr/bin/env bats
# Every way in which people write .env.

setup() {
    cd "$BATS_TEST_TMPDIR"
    reader="$BATS_TEST_DIRNAME/../../scripts/env-file"
}
# What NAME becomes; the file's text as printf takes it.
value_of() { # name, text
    printf "$2" >env
    env -i PATH="$PATH" bash -c '. "$1"; read_env_file env; printf "%s|" "${!2-unset}"' - "$reader" "$1"
}
same() { [ "$1" = "$2" ] || { echo "got '$1', expected '$2'" >&2; return 1; }; }
refused() { # text, words
    printf "$1" >env
    run env -i PATH="$PATH" bash -c '. "$1"; read_env_file env; echo went on' - "$reader"
    [ "$status" = 78 ] && [[ $output == *"$2"* ]] && [[ $output != *"went on"* ]] || { echo "$status: $output" >&2; return 1; }
}

@test "plain lines, with and without a line break at the end" {
    same "$(value_of LOG_LEVEL 'LOG_LEVEL=debug\n')" 'debug|'
    same "$(value_of LOG_LEVEL 'PORT=1\nLOG_LEVEL=debug')" 'debug|'
    same "$(value_of EMPTY 'EMPTY=\n')" '|'
    same "$(value_of OTHER 'EMPTY=\n')" 'unset|'
}
@test "values with =, and names with digits" {
    same "$(value_of API_TOKEN 'API_TOKEN=c2VjcmV0dG9rZW4=\n')" 'c2VjcmV0dG9rZW4=|'
    same "$(value_of HTTP2 'HTTP2=true\n')" 'true|'
    same "$(value_of lower_1 'lower_1=x\n')" 'x|'
}
@test "export, blanks, comments" {
    same "$(value_of URL "export URL='http://a/'\n")" 'http://a/|'
    same "$(value_of URL 'export\tURL = http://a/ \n')" 'http://a/|'
    same "$(value_of N '  N=3\n')" '3|'
    same "$(value_of URL 'URL=http://a/#part # mine # and more\n')" 'http://a/#part|'
    same "$(value_of URL '# URL=x\n\n   # y\nURL=z\n')" 'z|'
    same "$(value_of URL 'URL= # nothing\n')" '|'
    same "$(value_of URL 'URL=a b  c \n')" 'a b  c|'
}
@test "quotes" {
    same "$(value_of URL 'URL="http://a/x"\n')" 'http://a/x|'
    same "$(value_of URL 'URL="a # b" # comment\n')" 'a # b|'
    same "$(value_of URL "URL='a \\\\n \$x # b'\n")" 'a \n $x # b|'
    same "$(value_of URL 'URL="a \\"b\\" \\\\ $x"\n')" 'a "b" \ $x|'
    same "$(value_of URL 'URL="a\\nb"\n')" $'a\nb|'
    same "$(value_of URL 'URL="x\\qy"\n')" 'x\qy|'
    same "$(value_of URL "URL=it's\n")" "it's|"
}
@test "carriage returns and a byte order mark" {
    same "$(value_of LOG_LEVEL 'LOG_LEVEL=debug\r\nPORT=1\r\n')" 'debug|'
    same "$(value_of URL 'URL="x"\r\n')" 'x|'
    same "$(value_of LOG_LEVEL '\xef\xbb\xbfLOG_LEVEL=debug\n')" 'debug|'
}
@test "bytes that are no UTF-8" {
    same "$(LC_ALL=C.UTF-8 value_of A 'A=x\xe9\xff y\n')" $'x\xe9\xff y|'
    printf 'A="x\xe9"\n' >env
    same "$(env -i PATH="$PATH" LC_ALL=C.UTF-8 bash -c '. "$1"; read_env_file env; printf "%s %s" "$A" "$LC_ALL"' - "$reader")" $'x\xe9 C.UTF-8'
}
@test "what is no text is refused: NUL bytes, old line breaks, lines without end, a link to nothing" {
    refused 'A=x\0y\n' 'no text'
    refused '\xff\xfeA\0=\0x\0' 'no text'
    refused 'A=1\rB=2\r' 'line 1: there is a carriage return'
    printf 'A=1\nB=%0100000d\n' 7 >env
    run env -i PATH="$PATH" timeout 10 bash -c '. "$1"; read_env_file env; echo went on' - "$reader"
    [ "$status" = 78 ]
    [[ $output == *"line 2: it is longer than 65536 bytes"* ]]
    rm env
    ln -s nothing env
    run env -i PATH="$PATH" bash -c '. "$1"; read_env_file env; echo went on' - "$reader"
    [ "$status" = 78 ]
    [[ $output == *"is not a file"* ]]
}
@test "nothing is run or replaced" {
    same "$(value_of URL 'URL=$(touch here)`touch here`${HOME};touch here\n')" '$(touch here)`touch here`${HOME};touch here|'
    [ ! -e here ]
}
@test "the environment counts more, the last line counts most" {
    printf 'A=file\nB=first\nB=last\n' >env
    same "$(env -i PATH="$PATH" A=environment bash -c '. "$1"; read_env_file env; echo "$A $B"' - "$reader")" 'environment last'
}
@test "what cannot be read is refused with its line, and nothing is started" {
    refused 'PORT=1\nLOG_LEVEL debug\n' 'line 2'
    refused 'URL="http://a/\n' 'closing " is missing'
    refused "URL='a' b\n" "behind the closing '"
    refused '2X=1\n' 'line 1'
    refused 'A-B=1\n' 'line 1'
    mkdir folder
    run env -i PATH="$PATH" bash -c '. "$1"; read_env_file folder; echo went on' - "$reader"
    [ "$status" = 78 ]
    [[ $output == *"is not a file"* ]]
}
@test "no .env at all is fine" {
    run env -i PATH="$PATH" bash -c '. "$1"; read_env_file nowhere; echo went on' - "$reader"
    [ "$status" = 0 ]
}
@test "of a line that cannot be read, nothing but the name of a setting is shown" {
    for line in 'API_TOKEN: s3cret' 'export API_TOKEN s3cret' 's3cret' 'x s3cret' '-----s3cret-----'; do
        printf 'PORT=1\n%s\n' "$line" >env
        run env -i PATH="$PATH" bash -c '. "$1"; read_env_file env PORT API_TOKEN; echo went on' - "$reader"
        [ "$status" = 78 ]
        [[ $output == *"env, line 2: "* && $output != *s3cret* && $output != *"went on"* ]]
        [[ $line != *API_TOKEN* || $output == *"behind API_TOKEN there must be a ="* ]]
    done
}
@test "a name that is no setting is not exported" {
    printf 'LD_PRELOAD=/nowhere.so\nPORT=1\nAPI_TOKEN_FILE=x\nCOMPOSE_PROJECT_NAME=y\nBASH_ENV=z\n' >env
    # shellcheck disable=SC2016
    same "$(env -i PATH="$PATH" bash -c '. "$1"; read_env_file env PORT API_TOKEN; env | grep -vE "^(PATH|PWD|SHLVL|_)=" | sort | paste -sd" "; warn_of_names env 2>&1 | wc -l' - "$reader")" \
        $'API_TOKEN_FILE=x COMPOSE_PROJECT_NAME=y PORT=1\n2'
}
