# <name> <number> <words…>: runs a command in the folder of a release, once, whoever asks
# how often, and apart from the connection. Prints `running`, `lost` or `exit <code>`; where
# nothing can be written any more, why not on a line after that. Its environment comes over
# stdin.
env=$(whole_env) || exit
job=$base/jobs/$1 number=$2
shift 2
folder=$(release_of "$number") || die "$GONE" "release $number is not in $base/releases"
has setsid || die "$REFUSED" "the program setsid is needed to run commands; install util-linux"
umask 077
mkdir -p -- "$job"

# Whether something can be written; says why not.
room() {
    echo room | put "$job/room" && rm -f -- "$job/room"
}

tell() {
    printf '%s\n' "$1"
    why=$(room 2>&1) || printf '%s\n' "$why"
}

if [ ! -L "$job/pid" ] && [ ! -e "$job/exit" ]; then
    room
    : >>"$job/log"
    if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
    # Of several only the one that makes the link runs it.
    # Through a pipe: it is neither in a command line nor in a file.
    printf '%s\n' "$env" | setsid sh -c '
        job=$1 started=$2 folder=$3 DEPLOYR_RELEASE=$4
        shift 4
        export DEPLOYR_RELEASE
        env=$(cat)
        ln -s "$$:$(sh -c "$started" started "$$")" "$job/pid" 2>/dev/null || exit 0
        printf "%s\n" "$DEPLOYR_RELEASE" >"$job/number"
        # Room for its end, if the command should fill the disk.
        printf "%3s\n" "" >"$job/exit.new"
        code=0
        # Nothing of ours has a name any more once the variables are there.
        (umask 022 && cd -- "$folder" && eval "$env" && exec "$@") </dev/null >>"$job/log" 2>&1 || code=$?
        printf "%3s\n" "$code" 1<>"$job/exit.new" && mv -f -- "$job/exit.new" "$job/exit"
    ' deployr-job "$job" 'set -- $(sed "s/.*) //" "/proc/$1/stat"); echo "${20}.$(cat /proc/sys/kernel/random/boot_id)"' \
        "$folder" "$number" "$@" >/dev/null 2>&1 &
    left=200
    until [ -L "$job/pid" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "$BUSY" "the command of $job did not come up"
        nap
    done
fi
if [ ! -e "$job/exit" ] && process_of "$job/pid" >/dev/null; then
    echo running
    exit 0
fi
[ -e "$job/exit" ] || nap # it may have ended between these two looks
if [ -e "$job/exit" ]; then
    set -- $(cat "$job/exit")
    tell "exit ${1-}"
else
    tell lost
fi
