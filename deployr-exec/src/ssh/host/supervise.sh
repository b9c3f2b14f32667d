# <run> <folder> <address> <port> <line>: runs a release (`7`) or a worker of one (`7.mail`),
# and starts it again when it ends, while that release is the present one. A worker also
# waits for that before it is first started. Ends when `pid` is no longer its own.
unit=$1 number=${1%%.*} worker=${1#"${1%%.*}"} folder=$2 address=$3 port=$4 line=$5
run=$base/run/$1
me=$$:$(started $$)
ln -s "$me" "$run/pid" 2>/dev/null || exit 0 # another was faster
env=$(cat "$run/env")
rm -f -- "$run/env"

is_mine() {
    [ "$(readlink "$run/pid" 2>/dev/null)" = "$me" ]
}

# A log that is longer is moved aside; what is written in that moment is lost.
LIMIT=10485760
(
    while sleep 10 && is_mine; do
        if [ "$(wc -c <"$run/log")" -gt "$LIMIT" ]; then
            cp -- "$run/log" "$run/log.1"
            : >"$run/log"
        fi
    done
) &

is_present() {
    [ "$(present 2>/dev/null)" = "$number" ]
}

await_switch() {
    until is_present; do
        sleep 1
        is_mine || exit 0
    done
}

# Those of other releases: two of one name would do the same work twice.
end_others() {
    for other in "$base/run/"*"$worker"; do
        [ "$other" = "$run" ] || end_members "${other##*/}/" 10
    done
}

pause=1 grace=0
[ -z "$worker" ] || grace=10
while is_mine; do
    if [ -n "$worker" ]; then
        await_switch
        (end_others) || {
            sleep "$pause"
            continue
        }
    fi
    rm -f -- "$run/exit"
    since=$(date +%s)
    (is_mine && become "$line" "$env" "$folder" "$run/" "$port" "$address" "$number") &
    code=0
    wait "$!" || code=$?
    (end_members "$unit/" "$grace") || : # what it has left behind would hold its port
    printf '%s\n' "$code" >"$run/exit.new"
    mv -f -- "$run/exit.new" "$run/exit"
    if ! is_present; then
        await_switch
        pause=1
        continue
    fi
    if [ "$(($(date +%s) - since))" -gt 60 ]; then
        pause=1
    fi
    echo "deployr: ended with $code, starts again in $pause s"
    sleep "$pause"
    pause=$((pause * 2))
    if [ "$pause" -gt 60 ]; then
        pause=60
    fi
done
