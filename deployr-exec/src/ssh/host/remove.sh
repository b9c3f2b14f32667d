# <seconds> <keep|purge>: takes the project away, by the names that these scripts give. What is
# shared stays unless it is to be purged. Prints the names of what else is there, which others
# have made, a line each: that stays.
[ -d "$base" ] || exit 0
grace=$1 shared=$2

# Whether a project was ever placed here; `jobs` is the last of it to go.
was_placed() {
    [ -d "$base/jobs" ] || [ -e "$base/turn" ] || [ -e "$base/lock" ] || [ -L "$base/lease" ]
}

take_away() {
    for one; do
        still_locked
        remove "$one"
    done
}

if was_placed; then
    present >/dev/null # refuses to remove releases that what is not ours may lead to
    lock
    # First, so that nothing that is half gone is present, or started again.
    still_locked
    rm -f -- "$base/current" "$base/.current.tmp"
    stop_runs "$grace" "$base/run/"[0-9]*
    for job in "$base/jobs/"*-*; do
        if leader=$(process_of "$job/pid"); then
            kill -s KILL -- "-$leader" 2>/dev/null || :
        fi
    done
    take_away "$base/turn" "$base/turn.new" "$base/run/"[0-9]* \
        "$base/releases/"[0-9]*-* "$base/releases/."[0-9]*.*
    rmdir -- "$base/releases" "$base/run" 2>/dev/null || :
    take_away "$base/jobs/"*-*
    rmdir -- "$base/jobs" 2>/dev/null || :
fi
if [ "$shared" = purge ]; then
    remove "$base/shared"
else
    rmdir -- "$base/shared" 2>/dev/null || :
fi
# While it is held: nobody waits for it who could then think to have it.
rm -f -- "$base/lock" "$base/lease."[0-9]*
[ -z "$mine" ] || give_back
if rmdir -- "$base" 2>/dev/null || [ ! -d "$base" ]; then
    exit 0
fi
if [ -e "$base/lock" ] || [ -L "$base/lease" ]; then
    die "$BUSY" "another call works in $base; try again"
fi
for one in "$base/"* "$base/".[!.]* "$base/"..?*; do
    if [ "$one" != "$base/shared" ] && { [ -e "$one" ] || [ -L "$one" ]; }; then
        printf '%s\n' "${one##*/}"
    fi
done
