# What all scripts of a host begin with. Their arguments: the root, the project, and what
# each says at its top. Whatever comes from outside is an argument or comes over stdin; no
# text is ever put into a script.
set -eu
umask 022
locale=${LC_ALL-}
LC_ALL=C
export LC_ALL

# What the engine tells apart by the exit code; anything else is the system's complaint.
GONE=64     # the release is not there
REFUSED=65  # and will be refused again
BUSY=66     # and may go well another time

case $1 in
    /*) base=$1/$2 ;;
    *) base=$HOME/$1/$2 ;;
esac
shift 2

die() {
    code=$1
    shift
    printf '%s\n' "$*" >&2
    exit "$code"
}

# The variables of a project, which come over stdin; half of them are worse than none.
whole_env() {
    given=$(cat)
    case $given in
        *'# whole') printf '%s\n' "$given" ;;
        *) die "$BUSY" "the connection broke while it sent the variables" ;;
    esac
}

# Writes what comes over stdin into file $1: not the shell itself, since some shells do not
# say why they cannot.
put() {
    cat >"$1"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

nap() {
    sleep 0.05 2>/dev/null || sleep 1
}

# Prints a number from 0 to 65535.
random() {
    od -An -N2 -tu2 /dev/urandom | tr -d ' '
}

# Prints the folder of release $1, if it is there.
release_of() {
    for folder in "$base/releases/$1-"*; do
        if [ -d "$folder" ]; then
            printf '%s\n' "$folder"
            return 0
        fi
    done
    return 1
}

# Whether folder $1 holds the release with id $2, and not another one of its number.
holds() {
    grep -qF -- "\"release\":\"$2\"" "$1/.deployr-release" 2>/dev/null
}

# Sets `folder` to that of release $1 with id $2, or with whatever id where that is `any`.
find_placed() {
    folder=$(release_of "$1") && { [ "$2" = any ] || holds "$folder" "$2"; } ||
        die "$GONE" "release $1 is not in $base/releases; deploy its commit again"
}

# Prints the number of the release that `current` leads to; nothing where there is none.
present() {
    if [ -L "$base/current" ]; then
        to=$(readlink "$base/current")
        n=${to#releases/}
        case $to in
            releases/[0-9]*-*)
                n=${n%%-*}
                case $n in
                    *[!0-9]*) ;;
                    *)
                        printf '%s\n' "$n"
                        return 0
                        ;;
                esac
                ;;
        esac
        die "$REFUSED" "$base/current leads to $to, so it was not made by deployr; move it away and try again"
    fi
    [ ! -e "$base/current" ] ||
        die "$REFUSED" "$base/current is not a link, so it was not made by deployr; move it away and try again"
}

# What is of no use any more, also where parts of it may not be written to.
remove() {
    rm -rf -- "$@" 2>/dev/null && return 0
    for one; do
        [ ! -d "$one" ] || chmod -R u+rwx -- "$one" 2>/dev/null || :
    done
    rm -rf -- "$@"
}

# Makes all that was written on the disk of $1 durable, as far as the host can.
settle() {
    sync -f "$1" 2>/dev/null || sync
}

# The same for the names in folder $1 alone.
settle_names() {
    sync "$1" 2>/dev/null || sync
}

# Puts $1 in the place of $2 in one step, a link there notwithstanding.
replace() {
    mv -fT -- "$1" "$2" 2>/dev/null || mv -fh -- "$1" "$2" 2>/dev/null ||
        perl -e 'rename $ARGV[0], $ARGV[1] or exit 1' "$1" "$2" 2>/dev/null ||
        die "$REFUSED" "$2 cannot be replaced in one step: neither mv -T nor mv -h nor perl does it; install coreutils"
}
