# Processes of releases. `run/<number>/pid` is a link to `<pid>:<start>`: the supervisor;
# while it is there, the release shall run. `run/<number>.<name>` is the same for a worker.
# All that a release starts has DEPLOYR_RUN.

# Prints what tells process $1 from a later one of its number.
started() {
    set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
    case ${1-Z} in
        Z | X) return 1 ;;
    esac
    printf '%s.%s\n' "${20}" "$(cat /proc/sys/kernel/random/boot_id)"
}

# Prints the process that link $1 tells of, if it is there.
process_of() {
    told=$(readlink "$1" 2>/dev/null) || return 1
    [ "$(started "${told%%:*}")" = "${told#*:}" ] || return 1
    printf '%s\n' "${told%%:*}"
}

# Prints all processes whose mark begins with $1: `7/` for release 7.
members() {
    grep -lF -- "DEPLOYR_RUN=$base/run/$1" /proc/[0-9]*/environ 2>/dev/null |
        sed 's|^/proc/\([0-9]*\)/.*|\1|'
}

# Sends signal $1 to those that are there of the others.
send() {
    name=$1
    shift
    [ "$#" -eq 0 ] || kill -s "$name" "$@" 2>/dev/null || :
}

# Ends all that is marked with $1: asks, and kills after $2 seconds.
end_members() {
    left=$(members "$1")
    [ -n "$left" ] || return 0
    [ "$2" -eq 0 ] || send TERM $left
    until_killed=$(($2 * 20))
    while left=$(members "$1") && [ -n "$left" ]; do
        [ "$until_killed" -gt 0 ] || send KILL $left
        until_killed=$((until_killed - 1))
        [ "$until_killed" -gt -200 ] ||
            die "$BUSY" "processes $(echo $left) of $base/run/$1 do not end, not even killed"
        nap
    done
}

# Ends run $1 within $2 seconds. Its files and its log stay.
stop_run() {
    [ -d "$base/run/$1" ] || return 0
    # First, so that it starts nothing again.
    supervisor=$(process_of "$base/run/$1/pid") || supervisor=
    rm -f -- "$base/run/$1/pid" "$base/run/$1/env"
    send KILL $supervisor
    end_members "$1/" "$2"
    rm -f -- "$base/run/$1/exit"
}

# Ends the runs in the other folders, all at the same time, within $1 seconds.
stop_runs() {
    seconds=$1 ending='' code=0
    shift
    for one; do
        (stop_run "${one##*/}" "$seconds") &
        ending="$ending $!"
    done
    for one in $ending; do
        wait "$one" || code=$?
    done
    [ "$code" -eq 0 ] || exit "$code"
}

# Leaves a process as it would be without these scripts.
own_surroundings() {
    if [ -n "$locale" ]; then
        LC_ALL=$locale
    else
        unset LC_ALL
    fi
    unset SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_AUTH_SOCK SSH_ORIGINAL_COMMAND
}

# Runs line $1 with the variables $2 in folder $3, marked with $4, on port $5 of address
# $6 (a worker has neither), as release $7. Called in a subshell, which it becomes. None of its own words may be
# a name: the project's variables may have any.
become() {
    own_surroundings
    umask 022
    cd -- "$3"
    NODE_ENV=production HOST=$6
    export NODE_ENV HOST
    [ -n "$6" ] || unset HOST
    eval "$2"
    PORT=$5 DEPLOYR_RELEASE=$7 DEPLOYR_RUN=$4
    export PORT DEPLOYR_RELEASE DEPLOYR_RUN
    [ -n "$5" ] || unset PORT
    exec /bin/sh -c "$1"
}
