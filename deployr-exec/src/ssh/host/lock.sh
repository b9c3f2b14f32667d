# The project's lock, held until the script ends. With `flock` the kernel ends it with
# whoever holds it. Without, it is a lease: a link, since links are made whole or not at
# all, to `<owner>:<expiry>`.
LEASE=30
mine=

lock() {
    left=200
    if has flock; then
        exec 9>>"$base/lock"
        until flock -n 9; do
            wait_for_lock
        done
        return 0
    fi
    until take_lease; do
        wait_for_lock
    done
    trap 'give_back' EXIT
}

wait_for_lock() {
    left=$((left - 1))
    [ "$left" -gt 0 ] ||
        die "$BUSY" "another call has held the lock of $base for 10 s; try again"
    nap
}

take_lease() {
    now=$(date +%s)
    holder=$(readlink "$base/lease" 2>/dev/null) || holder=
    if [ -n "$holder" ] && [ "${holder##*:}" -lt "$now" ]; then
        # One of those who find it expired moves it away; who moves another's puts it back.
        mv -- "$base/lease" "$base/lease.$$" 2>/dev/null || return 1
        if [ "$(readlink "$base/lease.$$")" = "$holder" ]; then
            rm -f -- "$base/lease.$$"
        else
            mv -- "$base/lease.$$" "$base/lease"
            return 1
        fi
    fi
    mine=$$.$(random):$((now + LEASE))
    ln -s "$mine" "$base/lease" 2>/dev/null
}

# To be asked right before what the lock is for.
still_locked() {
    [ -z "$mine" ] || [ "$(readlink "$base/lease" 2>/dev/null)" = "$mine" ] ||
        die "$BUSY" "the lock of $base was lost, since this call was too slow; try again"
}

give_back() {
    if [ "$(readlink "$base/lease" 2>/dev/null)" = "$mine" ]; then
        rm -f -- "$base/lease"
    fi
}
