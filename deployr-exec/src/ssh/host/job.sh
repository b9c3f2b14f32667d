# <name> <number> <words…>: runs a command in the folder of a release, once, whoever asks
# how often, and apart from the connection. Prints `running`, `lost` or `exit <code>`. Its
# environment comes over stdin.
env=$(whole_env) || exit
job=$base/jobs/$1 number=$2
shift 2
folder=$(release_of "$number") || die "$GONE" "release $number is not in $base/releases"
has setsid || die "$REFUSED" "the program setsid is needed to run commands; install util-linux"
umask 077
mkdir -p -- "$job"
if [ ! -L "$job/pid" ] && [ ! -e "$job/exit" ]; then
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
        code=0
        # Nothing of ours has a name any more once the variables are there.
        (umask 022 && cd -- "$folder" && eval "$env" && exec "$@") </dev/null >>"$job/log" 2>&1 || code=$?
        printf "%s\n" "$code" >"$job/exit.new"
        mv -f -- "$job/exit.new" "$job/exit"
    ' deployr-job "$job" 'set -- $(sed "s/.*) //" "/proc/$1/stat"); echo "${20}.$(cat /proc/sys/kernel/random/boot_id)"' \
        "$folder" "$number" "$@" >/dev/null 2>&1 &
    left=200
    until [ -L "$job/pid" ]; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "$BUSY" "the command of $job did not come up"
        nap
    done
fi
if [ -e "$job/exit" ]; then
    echo "exit $(cat "$job/exit")"
elif process_of "$job/pid" >/dev/null || [ -e "$job/exit" ]; then
    echo running
else
    nap
    if [ -e "$job/exit" ]; then
        echo "exit $(cat "$job/exit")"
    else
        echo lost
    fi
fi
