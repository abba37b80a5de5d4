# Ports: fixed by default, another if taken, the same for a checkout ever after. Sourced by scripts/services.
#
# The defaults lie below 32768, where Linux begins to hand out ports to outgoing connections. In that range
# a client that keeps trying to reconnect to a stopped server can be given the server's own port and
# connect to itself; the server then cannot come back.

keep_ports=no
# Which checkout of this user has which port, also while it is down. It stands outside of all checkouts, since ports
# are the machine's.
claims=/tmp/saga-services-ports-$EUID

default_port() {
    case $1 in
        postgres) echo 15432 ;;
        rabbitmq) echo 15772 ;;
        rabbitmq-dist) echo 15773 ;;
        rabbitmq-epmd) echo 15774 ;;
        kafka) echo 19092 ;;
        kafka-controller) echo 19093 ;;
    esac
}

port_of() { cat "$records/ports/$1"; }
has_ports() { [[ -s $records/ports/$1 ]]; }

# Called only while the server is not running, so whoever listens there is someone else.
choose_ports() {
    local kind
    if ! mkdir -p "$claims" || [[ ! -O $claims ]]; then die "$claims must be a folder of yours"; fi
    exec 8<"$claims"
    flock 8
    for kind in $("${1}_port_kinds"); do
        choose_port "$kind"
    done
    exec 8<&-
}

choose_port() {
    local kind=$1 port tries
    if has_ports "$kind"; then
        port=$(port_of "$kind")
        wait_until_free "$port"
        if claim_port "$kind" "$port"; then return; fi
        if [[ $keep_ports == yes ]]; then die "$kind: someone else listens on its port $port"; fi
        say "$kind" "someone else has port $port: choosing another"
    fi
    port=$(default_port "$kind")
    for ((tries = 0; tries < 100; tries++, port += 10)); do
        if claim_port "$kind" "$port"; then return; fi
    done
    die "$kind: no free port from $(default_port "$kind") on"
}

# The threads of a killed server may hold its port a little longer than the process is seen.
wait_until_free() {
    local tries
    for ((tries = 0; tries < 20; tries++)); do
        if ! someone_listens "$1"; then return; fi
        sleep 0.1
    done
}

claim_port() {
    local kind=$1 port=$2 owner
    owner=$(cat "$claims/$port" 2>/dev/null || echo "$records")
    if [[ $owner != "$records" ]] && grep -qsx "$port" "$owner"/ports/*; then return 1; fi
    if someone_listens "$port"; then return 1; fi
    echo "$records" >"$claims/$port"
    echo "$port" >"$records/ports/$kind"
}

someone_listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
