# <number>: removes what was left of work on releases up to that one, and of
# commands that earlier deployments have run.
for left in "$base/releases/."[0-9]*; do
    number=${left##*/.}
    number=${number%%.*}
    case $number in
        *[!0-9]* | '') ;;
        *) [ "$number" -gt "$1" ] || remove "$left" ;;
    esac
done
if [ ! -e "$base/turn" ]; then
    exit 0
fi
read -r deployment attempt <"$base/turn" || :
for job in "$base/jobs/"*; do
    number=${job##*/}
    number=${number%%-*}
    case $number in
        # Of the release itself: named by its deployment, of which no more is known here
        # than that it ended before the last switch.
        dep_*) [ -z "$(find "$job/exit" ! -newer "$base/turn" 2>/dev/null)" ] || remove "$job" ;;
        *[!0-9]* | '') ;;
        *) [ "$number" -ge "${deployment:-0}" ] || [ ! -e "$job/exit" ] || remove "$job" ;;
    esac
done
