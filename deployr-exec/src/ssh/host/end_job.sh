# <name>: kills a command that shall not go on, with all that it has started. Whoever asks
# for it again begins it anew.
job=$base/jobs/$1
if leader=$(process_of "$job/pid"); then
    kill -s TERM -- "-$leader" 2>/dev/null || :
    left=40
    while process_of "$job/pid" >/dev/null && [ "$left" -gt 0 ]; do
        left=$((left - 1))
        nap
    done
    kill -s KILL -- "-$leader" 2>/dev/null || :
fi
remove "$job"
