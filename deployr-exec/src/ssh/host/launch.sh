# How what shall run gets a supervisor, under the lock.

can_supervise() {
    has setsid || die "$REFUSED" "the program setsid is needed to run releases; install util-linux"
    [ -r /proc/self/environ ] || die "$REFUSED" "processes need a host with /proc, as Linux has"
}

# Makes the folder of run $1.
make_run() {
    umask 077
    mkdir -p -- "$base/run/$1"
}

# Starts the supervisor with text $6 of root $7 and project $8 for run $1, which has the
# variables `env`: in folder $2, on address $3, port $4, line $5.
launch() {
    run=$base/run/$1
    printf '%s\n' "$env" | put "$run/env"
    printf '%s\n' "$6" | put "$run/supervise"
    : >>"$run/log"
    wc -c <"$run/log" >"$run/from"
    if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
    setsid sh "$run/supervise" "$7" "$8" "$1" "$2" "$3" "$4" "$5" \
        </dev/null >>"$run/log" 2>&1 9>&- &
    left=200
    until [ -L "$run/pid" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "$BUSY" "the supervisor of $run did not come up: $(tail -n 3 "$run/log")"
        nap
    done
}
