# <number> <release> <deployment> <attempt>: whether the release may be switched to. Prints
# the number of the one that is present.
find_placed "$1" "$2"
check_turn "$3" "$4"
present
