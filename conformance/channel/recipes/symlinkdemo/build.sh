set -eu
share=$PREFIX/share/symlinkdemo
mkdir -p "$share" "$share-dir"
echo real > "$share/real.txt"
ln -s real.txt "$share/rel.txt"
ln -s ../symlinkdemo-dir "$share/dir"
echo inner > "$share-dir/inner.txt"
ln -s nowhere "$share/dangling"
echo '#!/bin/sh' > "$share/setuid"
chmod 4755 "$share/setuid"
echo readonly > "$share/readonly"
chmod 444 "$share/readonly"
echo utf8 > "$share/héllo wörld.txt"
: > "$share/empty"
long=$(printf 'long%.0s' $(seq 30))
echo 'more than 100 characters' > "$share/$long.txt"
