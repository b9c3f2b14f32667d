# <number>: `up`, or `ended`, perhaps `with <code>`; then its last output.
run=$base/run/$1
if [ -e "$run/exit" ]; then
    echo "ended with $(cat "$run/exit")"
elif process_of "$run/pid" >/dev/null; then
    echo up
else
    echo ended
fi
[ -e "$run/log" ] || exit 0
from=$(cat "$run/from" 2>/dev/null) || from=0
[ "$from" -le "$(wc -c <"$run/log")" ] || from=0 # shortened since
tail -c +"$((from + 1))" "$run/log" | tail -n 50 | tail -c 65536
