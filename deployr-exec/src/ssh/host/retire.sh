# <number> <seconds> <keep|remove>: stops a release that is not present; removes it then.
[ -d "$base" ] || exit 0
not_present() {
    [ "$(present)" != "$1" ] ||
        die "$REFUSED" "release $1 is the present one; switch to another release first"
}
not_present "$1"
if [ "$3" = remove ]; then
    # An earlier attempt may have begun it, and the next one waits for its end.
    for job in "$base/jobs/"*; do
        if [ "$(cat "$job/number" 2>/dev/null)" = "$1" ] && [ ! -e "$job/exit" ] &&
            process_of "$job/pid" >/dev/null; then
            die "$BUSY" "a command still runs in the folder of release $1; it goes when that has ended"
        fi
    done
fi
stop_runs "$2" "$base/run/$1" "$base/run/$1."*
if [ "$3" = keep ]; then
    exit 0
fi
if folder=$(release_of "$1"); then
    lock
    not_present "$1"
    # It loses its name first, so that one which is half deleted is never mistaken for a
    # whole one.
    still_locked
    remove "$base/releases/.$1.0.gone"
    mv -- "$folder" "$base/releases/.$1.0.gone"
fi
remove "$base/releases/.$1."* "$base/run/$1" "$base/run/$1."*
