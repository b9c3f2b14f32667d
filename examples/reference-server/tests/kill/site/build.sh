# Takes its time, and leaves its marks in the project's cache, which outlives it.
read -r version outcome < VERSION
journal="${XDG_CACHE_HOME%/xdg}/journal"
note() { echo "$DEPLOYR_BUILD $1" >> "$journal"; }
step() { note "$1"; echo "$DEPLOYR_BUILD step $1"; sleep 0.015; }

note begin
step 1
mkdir -p dist/assets
[ "$outcome" != Endless ] || sleep 600
[ "$outcome" != Bad ] || { note end; echo 'no such module' >&2; exit 3; }
step 2
for _ in 1 2 3 4 5 6 7 8 9 10; do printf "$version\n%.0s" 1 2 3 4 5 6 7 8 9 10; done > dist/index.html
step 3
echo "$version whole" >> dist/index.html
step 4
cp dist/index.html dist/assets/page.txt
[ ! -f server.js ] || cp server.js dist/
step 5
note end
