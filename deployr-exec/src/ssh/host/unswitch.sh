# <number> <deployment> <attempt>: takes the first switch of a project back.
lock
check_turn "$2" "$3"
if [ "$(present)" = "$1" ]; then
    still_locked
    rm -f -- "$base/current"
fi
