#!/bin/sh
# ./dev up: a private Redis, a private PostgreSQL, the services and the hub until Ctrl-C, with the demo
# (docs/DEMO.md) on top.  Everything it writes is in .run/.
set -u
. tools/common.sh
. tools/postgres.sh

usage="usage: ./dev up [--only-hub] [--no-demo] [--port N] [--redis-port N] [--trace-url URL]"
port=8000 redis_port='' only_hub='' is_demo=yes trace_url=''
while [ $# -gt 0 ]; do
    case $1 in
    --only-hub) only_hub=yes ;;
    --no-demo) is_demo='' ;;
    --port | --redis-port)
        case ${2-} in '' | *[!0-9]*) die "$1 needs a number; $usage" ;; esac
        if [ "$2" -lt 1 ] || [ "$2" -gt 65535 ]; then die "$1 $2 is no port (1 to 65535)"; fi
        if [ "$1" = --port ]; then port=$2; else redis_port=$2; fi
        shift
        ;;
    --trace-url)
        case ${2-} in
        *[!A-Za-z0-9:/?=\&.,_{}%+#-]*) die "$2: no address; $usage" ;;
        http://*"{trace}"* | https://*"{trace}"*) trace_url=$2 ;;
        *) die "$1 needs an address with {trace} in it; $usage" ;;
        esac
        shift
        ;;
    *) die "unknown option $1; $usage" ;;
    esac
    shift
done

run_dir=.run
config=$run_dir/wirehub.yaml
demo=$run_dir/web-demo
bin=build/release/bin
hub=$bin/wirehub
services="user order payment"
page=http://127.0.0.1:$port/

write_config() {
    if [ ! -s "$run_dir/secret" ]; then # kept over runs, so that tokens stay good
        od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$run_dir/secret"
    fi
    if [ -n "$only_hub" ]; then
        engine="{ type: memory }"
        workers=1
    else
        workers=2 # so that there is somebody to go to when one is killed
        engine="{ type: redis, redis: { address: \"127.0.0.1:$redis_port\" } }"
    fi
    if [ -n "$only_hub" ]; then
        token="hmac_secret_key: \"$(cat "$run_dir/secret")\""
    else
        token="issuer: wirehub-user, jwks_public_endpoint: \"http://127.0.0.1:$user_port/.well-known/jwks.json\""
    fi
    demo_line=''
    [ -z "$is_demo" ] || demo_line="demo: { enabled: true, dir: \"$PWD/$demo\" }"
    cat >"$config" <<CONFIG
# Written by ./dev up at each start; changes are lost.  Not for production: anonymous clients may
# connect and everybody on this machine may publish.
http_server: { address: 127.0.0.1, port: $port }
client:
  allow_anonymous_connect_without_token: true
  token: { $token }
  # What comes back to a client in one frame after an outage: 2 min of demo:ledger.
  recovery_max_publication_limit: 6000
  queue_max_size: 4MiB
workers: $workers
engine: $engine
channel:
  without_namespace:
    allow_subscribe_for_client: true
    allow_subscribe_for_anonymous: true
    allow_publish_for_subscriber: true
  namespaces:
    - name: market
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      history_size: 100
      history_ttl: 1h
      force_recovery: true
    # What the services publish; history as they are told to keep it.
    - { name: orders, allow_user_limited_channels: true, history_size: 1000, history_ttl: 24h, force_recovery: true }
    - { name: payments, allow_user_limited_channels: true, history_size: 1000, history_ttl: 24h, force_recovery: true }
    - { name: users, allow_user_limited_channels: true, history_size: 1000, history_ttl: 24h, force_recovery: true }
    # Size and time as the demo service is told to keep demo:ledger.
    - name: demo
      presence: true
      join_leave: true
      allow_presence_for_subscriber: true
      allow_presence_for_anonymous: true
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      history_size: 6000
      history_ttl: 10m
      force_recovery: true
    - name: room
      allow_subscribe_for_client: true
      allow_subscribe_for_anonymous: true
      allow_publish_for_subscriber: true
      allow_publish_for_anonymous: true
$demo_line
drain: { spread: 1s }
log: { format: logfmt }
CONFIG
}

# A run that was killed hard may have left its children; the pid files say whether they are ours.
clean_stale_run() {
    [ -f "$run_dir/up.pid" ] || return 0
    if running=$(remembered_pid "$run_dir/up.pid"); then
        die "already running here, pid $running: $(cat "$run_dir/url" 2>/dev/null)
Stop it with Ctrl-C in its terminal, or: kill $running"
    fi
    say "cleaning up after a run that was killed"
    for name in loadgen demo hub $services postgres redis; do
        if left=$(remembered_pid "$run_dir/$name.pid"); then
            stop_process "$left"
        fi
    done
    rm -f "$run_dir"/*.pid
}

stop_process() { # stop_process PID [SIGNAL]: SIGTERM, and SIGKILL when it is still there after 35 s
    started=$(start_time "$1")
    [ -n "$started" ] || return 0
    run kill -"${2-TERM}" "$1" 2>/dev/null
    tries=350
    while is_alive "$1" "$started" && [ "$tries" -gt 0 ]; do
        sleep 0.1
        tries=$((tries - 1))
    done
    ! is_alive "$1" "$started" || run kill -KILL "$1"
}

is_alive() { # not gone, not reborn, not a zombie waiting for us
    [ -n "$2" ] && [ "$(start_time "$1")" = "$2" ] && ! grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null
}

# shellcheck disable=SC2317 # called by the trap
stop_all() {
    trap '' INT TERM HUP # nor is it left half-way
    [ -z "${loadgen_pid-}" ] || stop_process "$loadgen_pid"
    [ -z "${demo_pid-}" ] || stop_process "$demo_pid"
    [ -z "${hub_pid-}" ] || stop_process "$hub_pid"
    for pid in ${service_pids-}; do
        stop_process "$pid"
    done
    [ -z "${postgres_pid-}" ] || stop_process "$postgres_pid" INT # TERM would wait for its clients
    [ -z "${redis_pid-}" ] || stop_process "$redis_pid"
    rm -f "$run_dir"/*.pid "$run_dir/redis.sock"
    [ -z "${hub_pid-}${redis_pid-}" ] || say "stopped"
}

fail() { # fail MESSAGE LOG
    say "dev: $1; the end of $2:"
    tail -n 25 "$2" >&2
    exit 1
}

# In a session of its own, so that Ctrl-C in the terminal reaches only us and we stop it in order;
# told to end by the kernel when we are killed with no chance to.
start() { # start LOG COMMAND...: its pid is $!
    log=$1
    shift
    say "+ $* >$log &"
    # shellcheck disable=SC2086 # options, not one word
    setsid setpriv ${start_privileges:---pdeathsig TERM} "$@" </dev/null >"$log" 2>&1 &
}

wait_until() { # wait_until PID WHAT LOG TEST...: polls for at most 30 s
    watched=$1 what=$2 log=$3 tries=300
    shift 3
    until "$@" >/dev/null 2>&1; do
        is_alive "$watched" "$(start_time "$watched")" || fail "$what ended" "$log"
        [ "$tries" -gt 0 ] || fail "$what is not ready after 30 s" "$log"
        tries=$((tries - 1))
        sleep 0.1
    done
}

start_redis() {
    if [ -z "$redis_port" ]; then
        redis_port=6390
        while port_is_busy "$redis_port"; do redis_port=$((redis_port + 1)); done
    elif port_is_busy "$redis_port"; then
        die "port $redis_port is taken by $(port_owner "$redis_port"); choose another with --redis-port"
    fi
    start "$run_dir/redis.log" redis-server --bind 127.0.0.1 --port "$redis_port" \
        --unixsocket "$PWD/$run_dir/redis.sock" --unixsocketperm 600 --save '' --appendonly no \
        --dir "$PWD/$run_dir" --daemonize no
    redis_pid=$!
    remember_process "$redis_pid" "$run_dir/redis.pid"
    wait_until "$redis_pid" Redis "$run_dir/redis.log" redis-cli -p "$redis_port" PING
}

free_port_from() { # free_port_from PORT: the next one that nobody listens on
    candidate=$1
    while port_is_busy "$candidate"; do candidate=$((candidate + 1)); done
    echo "$candidate"
}

write_service_config() { # write_service_config NAME HTTP_PORT
    cat >"$run_dir/$1.yaml" <<CONFIG
# Written by ./dev up at each start; changes are lost.
redis: { address: "127.0.0.1:$redis_port" }
database: { url: "$(postgres_url "$1")" }
http: { port: $2 }
log: { format: logfmt }
CONFIG
    case $1 in
    user) echo "token: { sealing_secret: \"$(secret sealing)$(secret sealing)\" }" ;;
    payment) echo "provider: { url: \"$(postgres_url payment)\" }" ;;
    esac >>"$run_dir/$1.yaml"
}

start_services() {
    service_pids=''
    next_port=$((port + 101))
    for name in $services; do
        postgres_database "$name" || die "cannot make the database of $name"
        next_port=$(free_port_from "$next_port")
        [ "$name" != user ] || user_port=$next_port
        write_service_config "$name" "$next_port"
        start "$run_dir/$name.log" "$bin/wirehub-$name" serve --config "$run_dir/$name.yaml"
        service_pids="$service_pids $!"
        remember_process "$!" "$run_dir/$name.pid"
        wait_until "$!" "the $name service" "$run_dir/$name.log" \
            curl -fsS -m 2 --noproxy '*' "http://127.0.0.1:$next_port/readyz"
        next_port=$((next_port + 1))
    done
    PGPASSWORD=$(secret order) "$(postgres_bin)/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 \
        -p "$postgres_port" -U wirehub_order -d wirehub_order -f services/order/seed.sql \
        >"$run_dir/seed.log" 2>&1 || fail "the products could not be stored" "$run_dir/seed.log"
}

# Known people to log in as.  Whoever is there already is left alone (409).
register_demo_users() {
    for name in ann bob; do
        status=$(printf '{"email":"%s@example.com","password":"demo password","name":"%s"}' "$name" "$name" |
            curl -sS -m 10 --noproxy '*' -o "$run_dir/register.log" -w '%{http_code}' \
                -H 'Content-Type: application/json' -d @- "${page}auth/register")
        case $status in
        200 | 409) ;;
        *) fail "registering $name answered $status" "$run_dir/register.log" ;;
        esac
    done
}

# Whoever buys all day finds the shelves full, but of what there is only a few of.
restock() {
    printf "update product set stock = 100000 where stock < 50000 and sku <> 'machine-lever'" |
        PGPASSWORD=$(secret order) "$(postgres_bin)/psql" -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 \
            -p "$postgres_port" -U wirehub_order -d wirehub_order >"$run_dir/seed.log" 2>&1 ||
        fail "the shelves could not be filled" "$run_dir/seed.log"
}

# What moves on the page: the demo service, and customers who order every two seconds.
start_demo() {
    restock
    demo_port=$(free_port_from "$next_port")
    cat >"$run_dir/demo.yaml" <<CONFIG
# Written by ./dev up at each start; changes are lost.
redis: { address: "127.0.0.1:$redis_port" }
http: { port: $demo_port }
hub: { metrics_url: "${page}metrics" }
log: { format: logfmt }
CONFIG
    start "$run_dir/demo.log" "$bin/wirehub-demo" serve --config "$run_dir/demo.yaml"
    demo_pid=$!
    remember_process "$demo_pid" "$run_dir/demo.pid"
    wait_until "$demo_pid" "the demo service" "$run_dir/demo.log" \
        curl -fsS -m 2 --noproxy '*' "http://127.0.0.1:$demo_port/readyz"
    start "$run_dir/loadgen.log" "$bin/wirehub-loadgen" --url "${page%/}" --rate 0.5 --customers 8 \
        --duration 168h --quiet
    loadgen_pid=$!
    remember_process "$loadgen_pid" "$run_dir/loadgen.pid"
}

start_hub() {
    start "$run_dir/hub.log" "$hub" serve --config "$config"
    hub_pid=$!
    remember_process "$hub_pid" "$run_dir/hub.pid"
    wait_until "$hub_pid" "the hub" "$run_dir/hub.log" curl -fsS -m 2 --noproxy '*' "${page}readyz"
}

show_what_to_try() {
    say ""
    say "Wirehub is ready:   $page          (logs: $run_dir/*.log, Ctrl-C stops)"
    [ -z "$is_demo" ] || say "the demo:           ${page}demo/"
    say ""
    if [ -n "$only_hub" ]; then
        say "  a token for user ann:"
        say "    $hub gen-token --config $config --user ann"
    else
        say "  log-ins:  ann@example.com and bob@example.com, password: demo password"
        say ""
        say "  make an event appear:"
        say "    redis-cli -p $redis_port PUBLISH wh:ch:market:ticker '{\"symbol\":\"ACME\",\"price\":42}'"
        say "  call a method of a service:"
        say "    curl --json '{}' ${page}rpc/products.v1.list"
    fi
    say "  see what it counts:"
    say "    curl ${page}metrics"
    say ""
}

# PostgreSQL, which is not root, must get to its folder; nothing else in here is for others to read.
mkdir -p "$run_dir" && chmod 711 "$run_dir"
clean_stale_run
# The pid file is the lock between two starts at the same moment: noclobber creates it or fails.
(set -C && echo "$$ $(start_time $$)" >"$run_dir/up.pid") 2>/dev/null || clean_stale_run
trap stop_all EXIT
# Each handler ignores the others first: a dash that gets a second signal on its way out, such as the
# SIGHUP of a terminal that closes right after Ctrl-C, may end without its EXIT trap.
trap 'trap "" INT TERM HUP; exit 130' INT
trap 'trap "" INT TERM HUP; exit 143' TERM
trap 'trap "" INT TERM HUP; exit 129' HUP
echo "$page" >"$run_dir/url"
if port_is_busy "$port"; then
    die "port $port is taken by $(port_owner "$port"); choose another: ./dev up --port N"
fi

need build run
if [ -n "$is_demo" ]; then
    need node
    npm_install web-demo
fi
run cmake --preset release -D WH_BUILD_TESTS=OFF || die "configuring failed"
if [ -n "$only_hub" ]; then
    run cmake --build --preset release --target hub || die "building failed"
else
    run cmake --build --preset release || die "building failed"
fi

# What asks the hub by HTTP does so on this machine, whatever proxy the environment names.
no_proxy=${no_proxy:+$no_proxy,}127.0.0.1
export no_proxy

umask 077 # secrets and logs are nobody else's
if [ -z "$only_hub" ]; then
    start_redis
    start_postgres "$(free_port_from 5480)"
    start_services
fi
[ -z "$is_demo" ] || demo_files "$demo" "${redis_port:-null}" "$trace_url"
write_config
start_hub
if [ -z "$only_hub" ]; then
    register_demo_users
    [ -z "$is_demo" ] || start_demo
fi
show_what_to_try
wait "$hub_pid"
fail "the hub ended by itself with status $?" "$run_dir/hub.log"
