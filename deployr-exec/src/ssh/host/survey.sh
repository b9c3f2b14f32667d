# <number> <commit> <release> <attempt>: makes the project's folders and says what is
# there: `placed`; or `fresh`, or `stale` where something else of that number is to be
# removed, then the project's folder, and where `rsync` can be used the folder of the
# present release.
mkdir -p -- "$base/releases" "$base/shared" "$base/run" "$base/jobs"
chmod 700 "$base/run" "$base/jobs"
# What earlier attempts have left of work that was cut off.
for left in "$base/releases/.$1."*; do
    attempt=${left##*"/.$1."}
    attempt=${attempt%%.*}
    case $attempt in
        *[!0-9]* | '') ;;
        *) [ "$attempt" -gt "$4" ] || remove "$left" ;;
    esac
done
if folder=$(release_of "$1") && holds "$folder" "$3"; then
    echo placed
    exit 0
fi
now=$(present)
[ "$now" != "$1" ] ||
    die "$REFUSED" "another release of this number is present there, as happens when the store was made anew; give the target another root"
if release_of "$1" >/dev/null || [ -n "$(ls -d "$base/run/$1" "$base/run/$1."* 2>/dev/null)" ]; then
    echo stale
else
    echo fresh
fi
printf '%s\n' "$base"
if has rsync && [ -n "$now" ]; then
    release_of "$now" || :
fi
