# A private PostgreSQL for ./dev up: its own cluster, port and passwords, never the system's.  Sourced
# by up.sh, which has start, wait_until, say, die and $run_dir.
# shellcheck shell=sh disable=SC2154,SC2034 # of up.sh, for up.sh

# The newest server that is installed; Debian keeps it out of the PATH.
postgres_bin() {
    for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -rn); do
        [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] && { echo "$dir"; return; }
    done
    dir=$(command -v initdb) && dirname "$dir"
}

# PostgreSQL refuses to run as root: then its own user does, which Debian's package makes.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid postgres --regid postgres --init-groups "$@"
    else
        "$@"
    fi
}

# .run/postgres; or, for root below a home that nobody else may enter, a folder of this checkout's own
# in /var/tmp.
postgres_find_dir() {
    postgres_dir=$PWD/$run_dir/postgres
    mkdir -p "$postgres_dir"
    [ "$(id -u)" -ne 0 ] || chown postgres "$postgres_dir"
    as_postgres test -w "$postgres_dir" 2>/dev/null && return
    rmdir "$postgres_dir" 2>/dev/null
    postgres_dir=/var/tmp/wirehub-postgres-$(printf '%s' "$PWD" | cksum | cut -d' ' -f1)
    [ -d "$postgres_dir" ] || mkdir -m 700 "$postgres_dir" || die "cannot make $postgres_dir"
    [ "$(stat -c %U "$postgres_dir")" = postgres ] || chown postgres "$postgres_dir"
    say "the user postgres may not enter $PWD: its data are in $postgres_dir"
}

# Made once and kept over runs.
secret() { # secret NAME: 32 hexadecimal digits
    if [ ! -s "$run_dir/secret.$1" ]; then
        od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$run_dir/secret.$1"
    fi
    cat "$run_dir/secret.$1"
}

start_postgres() { # start_postgres PORT
    postgres_port=$1
    programs=$(postgres_bin)
    [ -n "$programs" ] || die "no PostgreSQL server is installed"
    postgres_find_dir
    if [ ! -s "$postgres_dir/data/PG_VERSION" ]; then
        say "+ initdb $postgres_dir/data"
        rm -rf "$postgres_dir/data" # an initdb that was cut short
        secret postgres >"$postgres_dir/password"
        [ "$(id -u)" -ne 0 ] || chown postgres "$postgres_dir/password"
        as_postgres "$programs/initdb" -D "$postgres_dir/data" -U wirehub_admin \
            -A scram-sha-256 --pwfile="$postgres_dir/password" -E UTF8 --no-locale >"$run_dir/initdb.log" 2>&1 ||
            fail "initdb failed" "$run_dir/initdb.log"
    fi
    start_privileges='--pdeathsig INT' # fast; TERM would wait for its clients
    [ "$(id -u)" -ne 0 ] ||
        start_privileges="--pdeathsig INT --reuid postgres --regid postgres --init-groups"
    start "$run_dir/postgres.log" "$programs/postgres" -D "$postgres_dir/data" \
        -p "$postgres_port" -h 127.0.0.1 -c unix_socket_directories= -c shared_buffers=32MB \
        -c max_connections=60 -c log_min_messages=warning
    postgres_pid=$!
    start_privileges=''
    remember_process "$postgres_pid" "$run_dir/postgres.pid"
    wait_until "$postgres_pid" PostgreSQL "$run_dir/postgres.log" psql_admin -c 'select 1'
}

psql_admin() { # psql_admin ARGUMENTS...
    PGPASSWORD=$(secret postgres) PGCONNECT_TIMEOUT=5 "$(postgres_bin)/psql" -X -q -A -t \
        -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$postgres_port" -U wirehub_admin -d postgres "$@"
}

# A database and a role each: nobody can connect to another's.
postgres_database() { # postgres_database NAME: role and database wirehub_NAME
    role=wirehub_$1
    exists=$(psql_admin -c "select 1 from pg_roles where rolname = '$role'") || return 1
    # The password comes by standard input, never as an argument.
    if [ -z "$exists" ]; then
        echo "create role $role login" | psql_admin || return 1
    fi
    echo "alter role $role password '$(secret "$1")'" | psql_admin || return 1
    exists=$(psql_admin -c "select 1 from pg_database where datname = '$role'") || return 1
    [ -n "$exists" ] || echo "create database $role owner $role" | psql_admin || return 1
    echo "revoke all on database $role from public" | psql_admin
}

postgres_url() { # postgres_url NAME
    echo "postgresql://wirehub_$1:$(secret "$1")@127.0.0.1:$postgres_port/wirehub_$1"
}
