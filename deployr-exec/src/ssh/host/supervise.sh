# <number> <folder> <address> <port> <line>: runs a release, and starts it again when it
# ends, while it is the present one. Ends when `pid` is no longer its own.
number=$1 folder=$2 address=$3 port=$4 line=$5
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

pause=1
while is_mine; do
    rm -f -- "$run/exit"
    since=$(date +%s)
    (is_mine && become "$line" "$env" "$folder" "$run/" "$port" "$address" "$number") &
    code=0
    wait "$!" || code=$?
    end_members "$number/" 0 # what it has left behind would hold its port
    printf '%s\n' "$code" >"$run/exit.new"
    mv -f -- "$run/exit.new" "$run/exit"
    until [ "$(present 2>/dev/null)" = "$number" ]; do
        sleep 1
        is_mine || exit 0
    done
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
