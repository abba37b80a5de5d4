# PostgreSQL from Debian's package, durable as in production. Sourced by scripts/services.

unset "${!PG@}" # settings for clients in the caller's environment are not meant for this server

postgres_variable() { echo SAGA_POSTGRES_URL; }
postgres_url() { echo "postgres://saga:saga@127.0.0.1:$(port_of postgres)/saga"; }
postgres_port_kinds() { echo postgres; }
postgres_user() { if ((EUID == 0)); then echo postgres; else id -un; fi; }
postgres_end_signal() { echo INT; }   # "fast": clients are thrown out, a checkpoint is written
postgres_kill_signal() { echo QUIT; } # "immediate": as a crash, with recovery on the next start

postgres_identity() {
    comm=postgres
    marker=$(folder_of postgres)/data
}

postgres_missing_packages() { if [[ -z $(postgres_bin) ]]; then echo postgresql; fi; }

# The newest version's folder of programs; Debian does not put them on the PATH.
postgres_bin() {
    local initdb
    initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    if [[ ! -x $initdb ]]; then initdb=$(type -P initdb || true); fi
    if [[ -n $initdb ]]; then dirname "$(readlink -f "$initdb")"; fi
}

postgres_prepare() {
    remove_stale_lock
    cat >"$(folder_of postgres)/settings.conf" <<END
listen_addresses = '127.0.0.1'
port = $(port_of postgres)
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
max_wal_size = 2GB
fsync = on
track_activities = on
log_line_prefix = '%m [%p] %d %a '
END
}

postgres_initialise() {
    local bin data
    bin=$(postgres_bin)
    data=$(folder_of postgres)/data
    (as_user_of postgres "$bin/initdb" -D "$data" -U saga --auth=trust --encoding=UTF8 --locale=C.UTF-8) || return
    (as_user_of postgres "$bin/postgres" --single -D "$data" postgres) <<<'create database saga;' || return
    echo "include '../settings.conf'" >>"$data/postgresql.conf"
}

# A dead server's lock. Postgres removes it by itself, unless its pid is by now another process's or a zombie's.
remove_stale_lock() {
    local file pid
    file=$(folder_of postgres)/data/postmaster.pid
    pid=$(head -n 1 "$file" 2>/dev/null) || return 0
    if [[ -z $(start_time "$pid") || $(cat "/proc/$pid/comm" 2>/dev/null) != postgres ]]; then rm -f "$file"; fi
}

postgres_command() { argv=("$(postgres_bin)/postgres" -D "$(folder_of postgres)/data"); }

postgres_answers() {
    PGCONNECT_TIMEOUT=3 "$(postgres_bin)/psql" -h 127.0.0.1 -p "$(port_of postgres)" -U saga -d saga -w -X -q \
        -c 'select 1' >/dev/null 2>&1
}
