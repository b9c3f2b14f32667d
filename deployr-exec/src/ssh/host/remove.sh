# <seconds> <keep|purge>: takes the project away, whatever there is of it. What is shared
# stays unless it is to be purged.
[ -d "$base" ] || exit 0
present >/dev/null # refuses to remove what is not ours
lock
# First, so that nothing that is half gone is present, or started again.
still_locked
rm -f -- "$base/current"
stop_runs "$1" "$base/run/"*
for job in "$base/jobs/"*; do
    if leader=$(process_of "$job/pid"); then
        kill -s KILL -- "-$leader" 2>/dev/null || :
    fi
done
for one in "$base/"* "$base/".[!.]*; do
    case ${one##*/} in
        lock | lease) continue ;;
        shared)
            if [ "$2" = keep ] && [ -n "$(ls -A -- "$one" 2>/dev/null)" ]; then
                continue
            fi
            ;;
    esac
    still_locked
    remove "$one"
done
# While it is held: nobody waits for it who could then think to have it.
rm -f -- "$base/lock"
[ -z "$mine" ] || give_back
rmdir -- "$base" 2>/dev/null || [ -d "$base/shared" ] ||
    die "$BUSY" "$base is not empty after all in it was removed; another call works in it"
