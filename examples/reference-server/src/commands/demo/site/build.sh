#!/bin/sh
# A build in the smallest language that every machine has.
set -eu
version=$(cat VERSION)
echo "building hello, version $version"
rm -rf dist
mkdir -p dist/assets
for page in pages/*.html; do
    sed "s/@VERSION@/$version/g" "$page" > "dist/${page#pages/}"
    echo "  wrote ${page#pages/}"
done
cp style.css dist/assets/style.css
echo "  wrote assets/style.css"
