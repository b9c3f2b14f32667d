# <number> <release>: prints the folder of a release.
find_placed "$1" "$2"
printf '%s\n' "$folder"
