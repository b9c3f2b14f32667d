# <name> <offset>: prints what the command says from there on, until it ends.
job=$base/jobs/$1 offset=$2
while :; do
    ended=
    if [ -e "$job/exit" ] || ! process_of "$job/pid" >/dev/null; then
        ended=yes
    fi
    size=$(wc -c <"$job/log")
    if [ "$size" -gt "$offset" ]; then
        tail -c +"$((offset + 1))" "$job/log" | head -c "$((size - offset))"
        offset=$size
    fi
    [ -z "$ended" ] || exit 0
    nap
done
