# <number> <seconds> <address> <line>: runs a release's own health command, for so long,
# and prints its exit code. Its environment comes over stdin.
folder=$(release_of "$1") || die "$GONE" "release $1 is not in $base/releases"
umask 077
mkdir -p -- "$base/run/$1"
end_members "$1/health/" 0 # one that took too long, before the next
env=$(whole_env) || exit
port=$(cat "$base/run/$1/port" 2>/dev/null) || port=
(become "$4" "$env" "$folder" "$base/run/$1/health/" "$port" "$3" "$1") \
    </dev/null >>"$base/run/$1/log" 2>&1 &
child=$!
(
    sleep "$2"
    end_members "$1/health/" 0
) </dev/null >/dev/null 2>&1 &
watch=$!
code=0
wait "$child" || code=$?
kill "$watch" 2>/dev/null || :
echo "$code"
