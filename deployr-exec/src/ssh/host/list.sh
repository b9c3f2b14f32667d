# <number>: prints what is there, a line each: `present <number>`, `release <number>`,
# `run <number>`; then removes what was left of work on releases up to that one, or to the
# present one, and of commands that earlier deployments have run.
now=$(present)
[ -z "$now" ] || echo "present $now"
for folder in "$base/releases/"[0-9]*-*; do
    if [ -d "$folder" ]; then
        number=${folder##*/}
        echo "release ${number%%-*}"
    fi
done
for run in "$base/run/"*/pid; do
    if [ -L "$run" ]; then
        number=${run%/pid}
        number=${number##*/}
        echo "run ${number%%.*}"
    fi
done
newest=$1
[ "${now:-0}" -le "$newest" ] || newest=$now
for left in "$base/releases/."[0-9]*; do
    number=${left##*/.}
    number=${number%%.*}
    case $number in
        *[!0-9]* | '') ;;
        *) [ "$number" -gt "$newest" ] || remove "$left" ;;
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
