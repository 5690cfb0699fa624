#!/bin/sh
# Runs inside a clean Debian: install our packages with apt alone, use them, remove them.
set -eu
export DEBIAN_FRONTEND=noninteractive
cd /tmp
apt-get update -q
apt-get install -q -y --no-install-recommends ./*.deb
wh version
wh --help >/dev/null
wh gen-token --help >/dev/null
[ -s /usr/share/man/man1/wh.1.gz ] || [ -s /usr/share/man/man1/wh.1 ]
# shellcheck disable=SC2046 # flags are words
cc -std=c11 -o hello hello.c $(pkg-config --cflags --libs wirehub)
# shellcheck disable=SC2046
cc -std=c11 -o hello_static hello.c $(pkg-config --cflags wirehub) -Wl,-Bstatic -lwirehub -Wl,-Bdynamic \
    $(pkg-config --static --libs-only-l wirehub | sed 's/-lwirehub//')
ldd hello | grep -q 'libwirehub\.so\.0'
if ldd hello_static | grep libwirehub; then exit 1; fi
# Nobody listens: a clear error, and the exit status that the manual names.
status=0
wh --url ws://127.0.0.1:9/connection/websocket --no-reconnect --timeout 5s rpc x || status=$?
[ "$status" -eq 4 ] || { echo "wh ended with $status, not 4"; exit 1; }
apt-get remove -q -y wh libwirehub-dev 'libwirehub0*'
[ ! -e /usr/bin/wh ]
