# Prints what is there, a line each: `present <number>`, `release <number>`, `run <number>`.
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
