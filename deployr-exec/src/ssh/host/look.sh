# <number> <path> <single page>: whether a web server would find something for the path.
folder=$(release_of "$1") || die "$GONE" "release $1 is not in $base/releases"
if [ -f "$folder/$2" ] || [ -f "$folder/$2/index.html" ] ||
    { [ "$3" = yes ] && [ -f "$folder/index.html" ]; }; then
    echo found
else
    echo missing
fi
