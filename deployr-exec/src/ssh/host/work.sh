# <number> <release> <name> <line> <supervisor> <root> <project>: has a worker of a release
# supervised, unless it is. It runs while the release is the present one. Its environment
# comes over stdin.
env=$(whole_env) || exit
find_placed "$1" "$2"
unit=$1.$3
can_supervise
make_run "$unit"
lock
if process_of "$base/run/$unit/pid" >/dev/null; then
    exit 0
fi
stop_run "$unit" 1
still_locked
launch "$unit" "$folder" '' '' "$4" "$5" "$6" "$7"
