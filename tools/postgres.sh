# A private PostgreSQL in a directory of ours, never the system's; sourced after tools/common.sh.
# PostgreSQL refuses to run as root: then the user postgres (or nobody) owns the cluster.
# shellcheck shell=sh

postgres_bin() { # the newest installed server's programs; Debian keeps them out of the PATH
    for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t / -k 5 -n -r); do
        [ ! -x "$directory/postgres" ] || { echo "$directory"; return; }
    done
    path=$(command -v postgres) || die "no PostgreSQL server is installed"
    dirname "$path"
}

postgres_owner() {
    if [ "$(id -u)" -ne 0 ]; then
        id -un
    elif id postgres >/dev/null 2>&1; then
        echo postgres
    else
        echo nobody
    fi
}

# In a directory that the user may enter, so that it does not complain about ours.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && exec setpriv --reuid "$(postgres_owner)" --regid "$(id -g "$(postgres_owner)")" \
            --clear-groups "$@")
    else
        (cd / && exec "$@")
    fi
}

# Make the cluster once.  Its superuser is `wirehub`, with a password in DIRECTORY/password.  As
# root every directory above must let the owner through; one that does not gets a clear message.
postgres_init() { # postgres_init DIRECTORY (absolute)
    [ ! -f "$1/data/PG_VERSION" ] || return 0
    mkdir -p "$1" || die "cannot make $1"
    [ -s "$1/password" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1/password"
    chmod 600 "$1/password"
    [ "$(id -u)" -ne 0 ] || chown -R "$(postgres_owner)" "$1"
    as_postgres test -w "$1" || die "$(postgres_owner) cannot reach $1: PostgreSQL does not run as root, so \
its directory must be open to that user (chmod o+x the directories above)"
    rm -rf "$1/data"
    as_postgres "$(postgres_bin)/initdb" -D "$1/data" -U wirehub -A scram-sha-256 \
        --pwfile="$1/password" -E UTF8 --no-locale >"$1/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 3 "$1/initdb.log")"
}

# Become the server: call it in the background, its pid is then the server's.
postgres_exec() { # postgres_exec DIRECTORY PORT
    bin=$(postgres_bin)
    cd / || exit 1
    set -- "$bin/postgres" -D "$1/data" -p "$2" -h 127.0.0.1 -c unix_socket_directories="$1"
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid "$(postgres_owner)" --regid "$(id -g "$(postgres_owner)")" \
            --clear-groups "$@"
    fi
    exec "$@"
}

postgres_psql() { # postgres_psql DIRECTORY PORT [psql arguments...]
    directory=$1
    port_=$2
    shift 2
    PGPASSWORD=$(cat "$directory/password") psql -X -q -v ON_ERROR_STOP=1 -h 127.0.0.1 \
        -p "$port_" -U wirehub -d postgres "$@"
}

postgres_is_ready() { # postgres_is_ready DIRECTORY PORT
    postgres_psql "$1" "$2" -c 'select 1' >/dev/null 2>&1
}

# A database and a role of the same name that owns it and reaches no other; once.  Its
# password is kept beside the cluster's; the address of the database goes to stdout.
postgres_database() { # postgres_database DIRECTORY PORT NAME
    [ -s "$1/password.$3" ] || (umask 077 && od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$1/password.$3")
    password=$(cat "$1/password.$3")
    if [ -z "$(postgres_psql "$1" "$2" -A -t -c "select 1 from pg_roles where rolname = '$3'")" ]; then
        printf "create role %s login password '%s';\n" "$3" "$password" |
            postgres_psql "$1" "$2" -f - || die "cannot make the role $3"
    fi
    if [ -z "$(postgres_psql "$1" "$2" -A -t -c "select 1 from pg_database where datname = '$3'")" ]; then
        postgres_psql "$1" "$2" -c "create database $3 owner $3" \
            -c "revoke connect, temporary on database $3 from public" ||
            die "cannot make the database $3"
    fi
    echo "postgresql://$3:$password@127.0.0.1:$2/$3"
}
