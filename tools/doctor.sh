#!/bin/sh
# ./dev doctor: looks, changes nothing.  Each finding says how to mend it.
set -u
. tools/common.sh

failures=0
good() { printf '  ok    %s\n' "$*"; }
warn() { printf '  warn  %s\n        → %s\n' "$1" "$2"; }
bad() {
    printf '  BAD   %s\n        → %s\n' "$1" "$2"
    failures=$((failures + 1))
}

check_distribution() {
    name=$(distribution)
    case $(. /etc/os-release && echo "$ID $VERSION_ID") in
    "debian 12"*) good "$name" ;;
    "debian 13"* | "ubuntu 24.04") warn "$name should do but is not tested" "Debian 12 is" ;;
    *) warn "$name is unknown here" "Debian 12 is tested; Debian 13 and Ubuntu 24.04 should do" ;;
    esac
}

check_packages() {
    missing=$(missing_packages build run node | tr '\n' ' ')
    if [ -n "$missing" ]; then
        bad "packages missing to build and run: $missing" \
            "./dev up installs them, or: apt-get install $missing"
    else
        good "packages to build and run"
    fi
    missing=$(missing_packages tests browser fuzz lint bench | tr '\n' ' ')
    if [ -n "$missing" ]; then
        warn "packages missing for test, lint, fuzz or bench: $missing" \
            "those verbs install them, or: apt-get install $missing"
    else
        good "packages for test, lint, fuzz and bench"
    fi
}

# libjwt before this one checks signatures in a way that leaks their bytes by timing
# (CVE-2024-25189).
check_libjwt() {
    have=$(dpkg-query -W -f '${Version}' libjwt-dev 2>/dev/null) || return 0
    if dpkg --compare-versions "$have" ge 1.10.2-1+deb12u1; then
        good "libjwt $have"
    else
        bad "libjwt $have compares signatures with a timing leak (CVE-2024-25189)" \
            "apt-get update && apt-get install --only-upgrade libjwt0 libjwt-dev"
    fi
}

check_commands() {
    if ls /usr/lib/*/libwebsockets-evlib_uv.so* >/dev/null 2>&1; then
        good "libwebsockets can run on libuv"
    else
        bad "the libuv plugin of libwebsockets is missing" "apt-get install libwebsockets-evlib-uv"
    fi
    version=$(redis-server --version 2>/dev/null | sed 's/.* v=\([0-9.]*\).*/\1/')
    case $version in
    '') bad "no redis-server" "apt-get install redis-server" ;;
    [1-6].*) bad "redis-server $version: BLMPOP came with 7" "install Redis 7 or Valkey" ;;
    *) good "redis-server $version" ;;
    esac
    version=$(node --version 2>/dev/null | tr -d v)
    case ${version%%.*} in
    '') bad "no node" "apt-get install nodejs npm" ;;
    [0-9] | 1[0-7]) bad "node $version is too old: 18 or later" "apt-get install nodejs npm" ;;
    *) good "node $version" ;;
    esac
    if command -v chromium >/dev/null; then
        good "$(chromium --version 2>/dev/null | head -n 1)"
    else
        warn "no chromium: no browser tests" "apt-get install chromium"
    fi
}

check_limits() {
    # shellcheck disable=SC3045 # not POSIX, but dash and bash have it
    soft=$(ulimit -n)
    if [ "$soft" = unlimited ] || [ "$soft" -ge 4096 ]; then
        good "ulimit -n $soft"
    elif [ "$soft" -ge 256 ]; then
        warn "ulimit -n $soft: as many connections, roughly, a worker" "ulimit -n 65536"
    else
        bad "ulimit -n $soft is too low to test with" "ulimit -n 4096"
    fi
    free_mb=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024))
    if [ "$free_mb" -ge 1000 ]; then
        good "$free_mb MB free here"
    else
        bad "only $free_mb MB free here; all builds together need about 1000" "./dev clean"
    fi
}

check_network() {
    if running=$(remembered_pid .run/up.pid); then
        good "./dev up runs here, pid $running: $(cat .run/url)"
    elif port_is_busy 8000; then
        warn "port 8000 is taken by $(port_owner 8000)" "./dev up --port N"
    else
        good "port 8000 is free"
    fi
    if [ -e .run/up.pid ] && ! remembered_pid .run/up.pid >/dev/null; then
        warn "an earlier ./dev up was killed hard" "the next ./dev up cleans up after it"
    fi
    if grep -q '^00000000000000000000000000000001 .* lo$' /proc/net/if_inet6 2>/dev/null; then
        good "IPv6 loopback"
    else
        warn "no IPv6 loopback: tests of ::1 are skipped" "sysctl net.ipv6.conf.lo.disable_ipv6=0"
    fi
}

# Tokens expire by this clock.  The last commit cannot be from the future.
check_clock() {
    now=$(date +%s)
    last=$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CMakeLists.txt)
    if [ "$now" -ge "$((last - 300))" ]; then
        good "clock: $(date -u '+%Y-%m-%d %H:%M:%S UTC')"
    else
        bad "the clock is before the last commit: $(date -u)" "set it, e.g. timedatectl set-ntp true"
    fi
}

check_distribution
check_packages
check_libjwt
check_commands
check_limits
check_network
check_clock
if [ "$failures" -gt 0 ]; then
    echo "doctor: $failures to mend"
    exit 1
fi
echo "doctor: fit"
