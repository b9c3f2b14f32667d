# <number> <seconds> <keep|remove>: stops a release that is not present; removes it then.
[ -d "$base" ] || exit 0
not_present() {
    [ "$(present)" != "$1" ] ||
        die "$REFUSED" "release $1 is the present one; switch to another release first"
}
not_present "$1"
stop_release "$1" "$2"
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
remove "$base/releases/.$1."* "$base/run/$1"
