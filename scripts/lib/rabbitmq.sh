# RabbitMQ from Debian's package. Sourced by scripts/services.
#
# Each checkout has its own node name and its own epmd (Erlang's registry of nodes), so that neither nodes of
# other checkouts nor one installed on the machine are ever met.

rabbitmq_server=/usr/lib/rabbitmq/bin/rabbitmq-server # not the one on the PATH, which changes user by itself

rabbitmq_variable() { echo SAGA_AMQP_URL; }
rabbitmq_url() { echo "amqp://guest:guest@127.0.0.1:$(port_of rabbitmq)/%2f"; }
rabbitmq_port_kinds() {
    echo rabbitmq rabbitmq-dist
    if ! pid_of rabbitmq-epmd >/dev/null; then echo rabbitmq-epmd; fi
}
rabbitmq_user() { if ((EUID == 0)); then echo rabbitmq; else id -un; fi; }
rabbitmq_end_signal() { echo TERM; }
rabbitmq_kill_signal() { echo KILL; }

rabbitmq_identity() {
    comm=beam.smp
    marker=$(folder_of rabbitmq)
}

rabbitmq_epmd_identity() {
    comm=epmd
    marker=HOME=$(folder_of rabbitmq)
}

rabbitmq_missing_packages() {
    if [[ ! -x $rabbitmq_server ]] || ! type -P epmd >/dev/null; then echo rabbitmq-server; fi
}

rabbitmq_prepare() {
    local folder
    folder=$(folder_of rabbitmq)
    : >"$folder/enabled_plugins"
    cat >"$folder/rabbitmq.conf" <<END
listeners.tcp.1 = 127.0.0.1:$(port_of rabbitmq)
log.console = true
log.console.level = info
log.file = false
END
    if ! pid_of rabbitmq-epmd >/dev/null; then launch rabbitmq-epmd; fi
}

rabbitmq_initialise() { (as_user_of rabbitmq mkdir -p "$(folder_of rabbitmq)/data"); }

rabbitmq_epmd_command() {
    argv=(env HOME="$(folder_of rabbitmq)" epmd -address 127.0.0.1 -port "$(port_of rabbitmq-epmd)")
}

# RUNNING_UNDER_SYSTEMD makes the script become the Erlang machine, so that the pid is the broker's.
# Busy waiting (+sbwt) would take a core from the tests for nothing.
rabbitmq_command() {
    local folder erl_args="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
    folder=$(folder_of rabbitmq)
    argv=(env -u NOTIFY_SOCKET RUNNING_UNDER_SYSTEMD=1
        HOME="$folder"
        RABBITMQ_CONF_ENV_FILE=/dev/null
        RABBITMQ_NODENAME="saga-$(checkout_name)@localhost"
        RABBITMQ_NODE_PORT="$(port_of rabbitmq)"
        RABBITMQ_DIST_PORT="$(port_of rabbitmq-dist)"
        ERL_EPMD_PORT="$(port_of rabbitmq-epmd)"
        ERL_EPMD_ADDRESS=127.0.0.1
        RABBITMQ_MNESIA_BASE="$folder/data"
        RABBITMQ_LOG_BASE="$folder"
        RABBITMQ_LOG=-color
        RABBITMQ_CONFIG_FILE="$folder/rabbitmq.conf"
        RABBITMQ_ADVANCED_CONFIG_FILE="$folder/advanced.config"
        RABBITMQ_ENABLED_PLUGINS_FILE="$folder/enabled_plugins"
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="$erl_args"
        "$rabbitmq_server")
}

# The broker listens last of all, and answers a protocol header with a method frame (type 1): connection.start.
rabbitmq_answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$(port_of rabbitmq)" || exit 1
        printf 'AMQP\0\0\11\1' >&3
        read -r -N 1 -t 3 -u 3 first && [[ $first == $'\1' ]]
    ) 2>/dev/null
}
