# <number> <release> <folder> <name>: puts a script into that folder of the release by which
# a web server shows which release it runs, and from where.
find_placed "$1" "$2"
case $(cd -- "$folder/$3" && pwd -P)/ in
    "$(cd -- "$folder" && pwd -P)"/*) ;;
    *) die "$REFUSED" "$3 leads out of the release; name a folder in it as on_target.web_root" ;;
esac
at=$folder/$3/$4
rm -f -- "$at"
printf '%s\n' '<?php header("Cache-Control: no-store"); header("Content-Type: text/plain");' \
    "echo \"$2\\n\", __DIR__, \"\\n\", \$_SERVER[\"SCRIPT_FILENAME\"], \"\\n\";" | put "$at"
chmod a+r -- "$at"
