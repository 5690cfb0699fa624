# Shared by ./dev and its longer verbs; sourced with the working directory at the top of the tree.
# shellcheck shell=sh

say() { printf '%s\n' "$*" >&2; }
die() { say "dev: $*"; exit 1; }

# Every command that changes something is shown before it runs.
run() {
    say "+ $*"
    "$@"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        run "$@"
    elif command -v sudo >/dev/null; then
        run sudo "$@"
    else
        die "needs root and there is no sudo: run as root: $*"
    fi
}

distribution() { (. /etc/os-release && printf '%s\n' "$PRETTY_NAME"); }

# What Wirehub is made of: the one list.  Groups add up: `test` needs `build` and `run` too.
packages() {
    case $1 in
    build) echo gcc libc6-dev binutils cmake ninja-build pkg-config libuv1-dev libhiredis-dev \
        libmsgpack-dev libwebsockets-dev libwebsockets-evlib-uv libjwt-dev libyaml-dev libssl-dev \
        libcurl4-openssl-dev libmicrohttpd-dev libpq-dev libcrypt-dev zlib1g-dev ;;
    run) echo redis-server redis-tools postgresql curl ;;
    node) command -v node >/dev/null && command -v npm >/dev/null || echo nodejs npm ca-certificates ;;
    tests) echo libcmocka-dev libjansson-dev python3 python3-venv python3-pytest python3-pytest-xdist python3-msgpack \
        python3-redis python3-jsonschema openssl \
        g++ abigail-tools libglib2.0-dev libevent-dev libev-dev libwebsockets-evlib-glib \
        libwebsockets-evlib-ev mandoc valgrind zsh ;;
    bench) echo nats-server libnats-dev ;;
    browser) echo chromium ;;
    fuzz) echo clang libclang-rt-dev ;;
    package) echo dpkg-dev lintian mmdebstrap gzip fakeroot ;;
    lint) echo clang clang-format clang-tidy shellcheck python3 ;;
    *) die "no package group $1" ;;
    esac
}

missing_packages() { # missing_packages GROUP...
    for group in "$@"; do
        for package in $(packages "$group"); do
            status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=
            [ "$status" = "install ok installed" ] || echo "$package"
        done
    done | sort -u
}

# Nothing missing: apt is not touched, so an installed machine needs no network.
need() { # need GROUP...
    command -v dpkg-query >/dev/null || die "this is no Debian or Ubuntu: install by hand what \
tools/common.sh lists"
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    say "missing on this machine: $missing"
    is_fresh=''
    for package in $missing; do
        if ! has_candidate "$package"; then
            update_lists
            break
        fi
    done
    for package in $missing; do
        has_candidate "$package" || die "$(distribution) has no package $package. Debian 12 has \
all of them; elsewhere install an equivalent by hand, or work in a Debian 12 container."
    done
    install_packages && return 0
    [ -z "$is_fresh" ] || die "apt-get install failed"
    say "its lists may be old: once more with new ones"
    update_lists
    install_packages || die "apt-get install failed"
}

update_lists() {
    as_root apt-get update || die "apt-get update failed: no network? (missing: $missing)"
    is_fresh=yes
}

install_packages() {
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
}

has_candidate() {
    apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [^(]'
}

# npm packages exactly as locked, when the lock is newer than what is installed.
npm_install() { # npm_install DIRECTORY
    [ -f "$1/package-lock.json" ] || return 0
    stamp=$1/node_modules/.package-lock.json
    if [ ! -f "$stamp" ] || [ -n "$(find "$1/package-lock.json" -newer "$stamp")" ]; then
        command -v npm >/dev/null || die "no npm: $1 needs packages from it; apt-get install npm"
        run npm --prefix "$1" ci --no-audit --no-fund || die "npm ci in $1 failed: no network?"
        touch "$stamp"
    fi
}

# The page as the hub serves it: ours, the packages that it imports with their licences, and what only
# this run knows.  One folder, for the hub reads no others.
demo_files() { # demo_files DIRECTORY [REDIS_PORT|null [TRACE_URL]]
    npm_install web-demo
    packages=web-demo/node_modules
    rm -rf "$1"
    mkdir -p "$1" || die "cannot make $1"
    if ! cp web-demo/*.html web-demo/*.css web-demo/*.js web-demo/*.svg "$1/" ||
        ! cp "$packages/centrifuge/build/index.mjs" "$1/centrifuge.js" ||
        ! cp "$packages/centrifuge/LICENSE" "$1/centrifuge.LICENSE" ||
        ! cp "$packages/uplot/dist/uPlot.esm.js" "$1/uplot.js" ||
        ! cp "$packages/uplot/dist/uPlot.min.css" "$1/uplot.css" ||
        ! cp "$packages/uplot/LICENSE" "$1/uplot.LICENSE" ||
        ! msgpack_module "$packages/@msgpack/msgpack/dist.umd/msgpack.min.js" >"$1/msgpack.js" ||
        ! cp "$packages/@msgpack/msgpack/LICENSE" "$1/msgpack.LICENSE"; then
        die "copying the page to $1 failed"
    fi
    trace=${3:+", trace_url: '$3'"}
    [ -z "${2-}" ] || echo "export const setup = { redis_port: $2$trace };" >"$1/setup.js"
}

# The package has its module in 17 files of nested folders, and in one that is no module: that one, with
# what it looks for around it.
msgpack_module() { # msgpack_module FILE
    echo 'const exports = {}, module = { exports };'
    grep -v '^//# sourceMappingURL=' "$1" || return 1
    echo 'export const { decodeMulti, encode } = module.exports;'
}

configure_and_build() { # configure_and_build PRESET [cmake options...]: all targets
    preset=$1
    shift
    run cmake --preset "$preset" "$@" || die "configuring $preset failed"
    run cmake --build --preset "$preset" || die "building $preset failed"
}

# A process by pid and start time, for pids come back.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

remember_process() { # remember_process PID FILE
    echo "$1 $(start_time "$1")" >"$2"
}

remembered_pid() { # prints the pid in FILE when that very process still lives
    [ -f "$1" ] || return 1
    read -r pid started <"$1" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# Who listens on a TCP port: socket inodes from /proc, so that no tool is needed.
port_is_busy() { [ -n "$(port_inodes "$1")" ]; }

port_inodes() {
    hex=$(printf '%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == port { print $10 }'
}

port_owner() {
    for inode in $(port_inodes "$1"); do
        link=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" 2>/dev/null | head -n 1)
        if [ -n "$link" ]; then
            pid=${link#/proc/}
            pid=${pid%%/*}
            printf 'pid %s: %s\n' "$pid" "$(tr '\0\n' '  ' <"/proc/$pid/cmdline" | cut -c 1-70)"
            return
        fi
    done
    echo "a process of another user or network namespace"
}
