# <folder> <number> <commit> <release>, then `shared` and `writable` paths, each after its
# kind: makes what was received the release. The marker comes over stdin.
folder=$base/releases/$1 number=$2 to=$base/releases/$2-$3 release=$4
shift 4

# Makes the folders in $1 that $2 lies in; a link among them could lead anywhere.
make_parents() {
    at=$1 rest=$2
    while [ "$rest" != "${rest#*/}" ]; do
        at=$at/${rest%%/*} rest=${rest#*/}
        if [ ! -d "$at" ] || [ -L "$at" ]; then
            mkdir -- "$at" 2>/dev/null ||
                die "$REFUSED" "$at must be a folder for a shared path to lie in, and is not; take it out of the release or out of \`shared\`"
        fi
    done
}

# Replaces what the release has at $1 by a link to the project's one copy, which the first
# release to have something there gives.
share() {
    own=$folder/$1 shared=$base/shared/$1
    make_parents "$folder" "$1"
    make_parents "$base/shared" "$1"
    if [ ! -e "$shared" ] && [ ! -L "$shared" ]; then
        if [ -e "$own" ] && [ ! -L "$own" ]; then
            mv -- "$own" "$shared"
        else
            # Nothing tells a file that is not there yet from a folder but its name.
            case ${1##*/} in
                *.*) (umask 077 && : >"$shared") ;; # somebody will write passwords into it
                *) mkdir -- "$shared" ;;
            esac
        fi
    fi
    # Out of the folders on the way to it, out of the release, out of `releases`.
    up=../../ rest=$1
    while [ "$rest" != "${rest#*/}" ]; do
        up=../$up rest=${rest#*/}
    done
    remove "$own"
    ln -s -- "${up}shared/$1" "$own"
}

while [ "$#" -gt 0 ]; do
    case $1 in
        shared) share "$2" ;;
        writable) [ -e "$folder/$2" ] || [ -L "$folder/$2" ] || mkdir -p -- "$folder/$2" ;;
    esac
    shift 2
done
rm -rf -- "$folder/.deployr-release" # it could be a link that the build has made
cat >"$folder/.deployr-release"
case $(cat "$folder/.deployr-release") in
    *'}') ;;
    *) die "$BUSY" "the connection broke while it sent what the release is" ;;
esac
# Without it a loss of power could leave the release's name on files that are empty.
settle "$folder"
lock
if there=$(release_of "$number"); then
    holds "$there" "$release" ||
        die "$REFUSED" "another release of this number is in $there; remove it and deploy again"
    remove "$folder" # an earlier call of ours, whose answer was lost
    exit 0
fi
still_locked
mv -- "$folder" "$to"
settle_names "$base/releases"
