# Says how the host is, a line each: `<what> <value>`. Leaves nothing behind.
echo "clock $(date +%s)"
echo "user $(id -un)"
# The root itself, or the folder in which it would be made.
at=${base%/*}
while [ ! -e "$at" ]; do
    at=${at%/*}
    at=${at:-/}
done
echo "owner $(ls -ld "$at" | awk '{ print $3 }')"
echo "folder $at"
echo "space $(df -Pk "$at" 2>/dev/null | awk 'NR == 2 { print $4 }')"
probe=$at/.deployr-doctor.$$
if mkdir "$probe" 2>/dev/null; then
    echo "write ok"
    if (ln -s a "$probe/new" && ln -s b "$probe/old" && replace "$probe/new" "$probe/old" &&
        [ "$(readlink "$probe/old")" = a ]) >/dev/null 2>&1; then
        echo "links ok"
    fi
    rm -rf -- "$probe"
fi
for program in flock rsync setsid tar; do
    if has "$program"; then
        echo "program $program"
    fi
done
if [ -r /proc/self/environ ]; then
    echo "program /proc"
fi
