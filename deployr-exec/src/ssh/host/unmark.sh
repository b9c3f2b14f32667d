# <number> <folder> <name>: takes that script away.
if folder=$(release_of "$1"); then
    rm -f -- "$folder/$2/$3"
fi
