# <number> <release> <address> <line> <supervisor> <root> <project>: brings the process of
# a release up, unless it is, and prints its port. Its environment comes over stdin.
env=$(whole_env) || exit
find_placed "$1" "$2"
number=$1 run=$base/run/$1
can_supervise
make_run "$number"
lock
if process_of "$run/pid" >/dev/null; then
    if [ ! -e "$run/exit" ] || [ "$(present)" = "$number" ]; then
        cat "$run/port"
        exit 0
    fi
fi
stop_run "$number" 0

listening=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    awk '$4 == "0A" { n = split($2, part, ":"); printf "%s ", part[n] }')
is_free() {
    case " $listening " in
        *" $(printf %04X "$1") "*) return 1 ;;
    esac
    # Those of releases that are starting up, or waiting to be started again.
    for other in "${base%/*}"/*/run/*/port; do
        if [ "$other" != "$run/port" ] && [ -L "${other%port}pid" ] &&
            [ "$(cat "$other")" = "$1" ]; then
            return 1
        fi
    done
}
# The one that it had; or one from below those that the system gives to connections.
port=$(cat "$run/port" 2>/dev/null) || port=0
tries=0
until [ "$port" -ne 0 ] && is_free "$port"; do
    tries=$((tries + 1))
    [ "$tries" -lt 1000 ] ||
        die "$BUSY" "a thousand ports that were tried are all taken"
    port=$((20000 + $(random) % 10000))
done

printf '%s\n' "$port" | put "$run/port"
still_locked
launch "$number" "$folder" "$3" "$port" "$4" "$5" "$6" "$7"
printf '%s\n' "$port"
