# <folder>: takes the files of a release from a tar over stdin.
folder=$base/releases/$1
mkdir -- "$folder"
cd -- "$folder"
# As whoever logs in, not as whoever has built it.
tar -xpof -
