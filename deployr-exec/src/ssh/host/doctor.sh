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
# One of root's among the deployed is as good as lost: nobody can link or remove it.
foreign=
for made in "$at"/* "$at"/*/releases "$at"/*/shared "$at"/*/current; do
    if [ -d "$made" ] && [ ! -L "$made" ] && [ ! -w "$made" ]; then
        foreign=$made
    fi
done
[ -z "$foreign" ] || echo "foreign $(ls -ld "$foreign" | awk '{ print $3 }') $foreign"
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
if has git; then
    echo "git $(git --version | awk '{ print $3 }')"
fi
if has php; then
    echo "php $(php -r 'echo PHP_VERSION;' 2>/dev/null)"
    php -m 2>/dev/null | while read -r extension; do
        echo "extension $extension"
    done
fi
if [ -r /proc/self/environ ]; then
    echo "program /proc"
fi
