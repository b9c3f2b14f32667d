# <number>: `up`, or `ended <code>`, or `port taken`; then its last output.
run=$base/run/$1
if [ -e "$run/exit" ]; then
    echo "ended with $(cat "$run/exit")"
elif process_of "$run/pid" >/dev/null; then
    echo up
else
    echo ended
fi
tail -c +"$(($(cat "$run/from" 2>/dev/null || echo 0) + 1))" "$run/log" 2>/dev/null | tail -n 50 | tail -c 65536
