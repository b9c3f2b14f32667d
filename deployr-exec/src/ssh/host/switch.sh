# <number> <release> <deployment> <attempt>: lets `current` lead to the release, unless a
# later turn was here. Prints the number of the release that was present.
[ -d "$base" ] || find_placed "$1" "$2"
lock
# Under the lock: nobody discards it between this look and the switch.
find_placed "$1" "$2"
check_turn "$3" "$4"
now=$(present) # also refuses to replace what is not ours
printf '%s %s\n' "$3" "$4" | put "$base/turn.new"
still_locked
mv -f -- "$base/turn.new" "$base/turn"
if [ "$now" != "$1" ]; then
    rm -f -- "$base/.current.tmp"
    ln -s "releases/${folder##*/}" "$base/.current.tmp"
    replace "$base/.current.tmp" "$base/current"
fi
settle_names "$base"
printf '%s\n' "$now"
