# What is the same for every server: its folder, its process, its life. Sourced by scripts/services.

records=${SAGA_SERVICES_DIR:-$root/target/services}
if [[ $records != /* ]]; then records=$PWD/$records; fi
ready_within=180 # seconds; a first start takes 10, but on a busy machine with cold disks several times that
adopted_within=60 # seconds; a server found running, but left alone by the run that started it
log_bytes_max=50000000

# ---- folders

# The data lies with the records unless the users that run the servers cannot go there.
find_data_root() {
    data_root=$records
    if [[ -f $records/location ]]; then data_root=$(<"$records/location"); fi
}

make_data_root() {
    mkdir -p "$records/ports"
    if [[ $data_root != "$records" && -d $data_root ]]; then return; fi
    data_root=$records
    if ((EUID == 0)) && ! others_can_enter "$records"; then
        data_root=$(folder_outside)
        echo "$data_root" >"$records/location"
        say data "in $data_root, because other users cannot enter $records"
    fi
}

others_can_enter() { setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1"; }

# A folder of the same name each time, so that it is found again after target/ was deleted.
folder_outside() {
    local folder
    folder=${TMPDIR:-/tmp}/saga-services-$(checkout_name)
    mkdir -p "$folder"
    if [[ ! -O $folder ]] || ! others_can_enter "$folder"; then
        die "cannot use $folder for data; set SAGA_SERVICES_DIR to a folder that every user can enter"
    fi
    echo "$folder"
}

checkout_name() { printf '%s' "$records" | sha256sum | cut -c1-8; }

folder_of() { echo "$data_root/$1"; }
log_of() { echo "$data_root/$1/log"; }
pid_file_of() { echo "$data_root/$1.pid"; }

own_folder() {
    local name=$1 user
    user=$("${name}_user")
    mkdir -p "$(folder_of "$name")"
    if ((EUID == 0)); then chown "$user:" "$(folder_of "$name")"; fi
}

# Runs a command as the user that runs the server: its own user for root, otherwise whoever calls.
as_user_of() {
    local user
    user=$("${1}_user")
    shift
    if ((EUID == 0)) && [[ $user != root ]]; then
        exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups "$@"
    fi
    exec "$@"
}

# ---- states

# Named by the environment, and not the server that this checkout runs.
is_external() {
    local variable
    variable=$("${1}_variable")
    [[ -n ${!variable:-} ]] && ! { has_ports "$1" && [[ ${!variable} == "$("${1}_url")" ]]; }
}

is_up() { has_ports "$1" && pid_of "$1" >/dev/null && "${1}_answers" && mark_initialised "$1"; }

# From now on its data counts. Whoever sees it answer says so: the run that started it may have been killed.
mark_initialised() {
    local mark
    mark=$(folder_of "$1")/initialised
    [[ -e $mark ]] || touch "$mark" 2>/dev/null || true
}

# The pid file holds the pid and the time the process began: together they never mean someone else's process.
pid_of() {
    local name=$1 pid start
    if read -r pid start 2>/dev/null <"$(pid_file_of "$name")" && [[ $start == "$(start_time "$pid")" ]]; then
        echo "$pid"
        return
    fi
    pid=$(find_lost_process "$name") || return 1
    record_pid "$name" "$pid"
    echo "$pid"
}

# Finds a server of ours without its pid file: target/ was deleted, or its start was cut short.
find_lost_process() {
    local comm marker file pid
    "${1//-/_}_identity"
    while read -r file; do
        pid=${file//[^0-9]/}
        if [[ $(cat "/proc/$pid/comm" 2>/dev/null) == "$comm" && -n $(start_time "$pid") ]]; then
            echo "$pid"
            return
        fi
    done < <(grep -lzxF -- "$marker" /proc/[0-9]*/{cmdline,environ} 2>/dev/null || true)
    return 1
}

record_pid() { echo "$2 $(start_time "$2")" >"$(pid_file_of "$1")" 2>/dev/null || true; }

# In clock ticks since boot; empty if the process is gone, or dead and not yet collected by its parent.
start_time() {
    local stat fields
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    read -r -a fields <<<"${stat##*) }"
    if [[ ${fields[0]} != Z ]]; then echo "${fields[19]}"; fi
}

# ---- life

# Leaves the server answering, whatever state it was in.
bring_up() {
    local name=$1 pid
    if is_up "$name"; then
        say "$name" "is up: $("${name}_url")"
        return
    fi
    lock "$name"
    own_folder "$name"
    if ! has_ports "$name"; then kill_process "$name"; fi # its folder was deleted while it ran
    if pid=$(pid_of "$name"); then
        say "$name" "is running already, as pid $pid"
        if wait_until_up "$name" "$pid" "$adopted_within"; then return; fi
        kill_process "$name"
    fi
    choose_ports "$name"
    "${name}_prepare"
    initialise "$name"
    launch "$name"
    wait_until_up "$name" "$(pid_of "$name")" "$ready_within" || die_with_log "$name" "did not start"
}

# Data without the mark is left from a first start that did not finish: begin again.
initialise() {
    local name=$1 folder
    folder=$(folder_of "$name")
    if [[ -e $folder/initialised ]]; then return; fi
    say "$name" "preparing data in $folder"
    rm -rf "$folder/data"
    "${name}_initialise" >>"$folder/log" 2>&1 || die_with_log "$name" "could not prepare its data"
}

# Starts the server in a session of its own, so that it outlives this script and its terminal.
launch() {
    local name=$1 argv
    "${name//-/_}_command"
    say "$name" "starting"
    trim_log "$(log_of "${name%%-*}")"
    (as_user_of "${name%%-*}" setsid "${argv[@]}") </dev/null >>"$(log_of "${name%%-*}")" 2>&1 9>&- &
    record_pid "$name" $!
}

trim_log() {
    if [[ -e $1 && $(stat -c %s "$1") -gt $log_bytes_max ]]; then mv "$1" "$1.before"; fi
}

wait_until_up() {
    local name=$1 pid=$2 patience=$3 deadline
    deadline=$((SECONDS + patience))
    until "${name}_answers"; do
        if [[ -z $(start_time "$pid") ]]; then
            say "$name" "ended while starting"
            return 1
        elif ((SECONDS > deadline)); then
            say "$name" "does not answer after $patience s"
            return 1
        fi
        sleep 0.1
    done
    mark_initialised "$name"
    say "$name" "up: $("${name}_url")"
}

end_server() {
    lock "$1"
    end_process "$1" "$("${1}_end_signal")" 60
    if [[ $1 == rabbitmq ]]; then end_process rabbitmq-epmd TERM 10; fi
}

kill_server() {
    lock "$1"
    kill_process "$1"
}

kill_process() { end_process "$1" "$("${1}_kill_signal")" 10; }

wipe_server() {
    end_server "$1"
    rm -rf "$(folder_of "$1")/"{initialised,data}
    say "$1" "data deleted"
}

# Sends the signal and waits; SIGKILL if that took too long. Only ever to a process that pid_of vouches for.
end_process() {
    local name=$1 signal=$2 patience=$3 pid deadline
    if ! pid=$(pid_of "$name"); then return; fi
    if ! kill -s "$signal" "$pid" 2>/dev/null && [[ -n $(start_time "$pid") ]]; then
        die "$name: may not end process $pid; was it started by another user?"
    fi
    deadline=$((SECONDS + patience))
    while [[ -n $(start_time "$pid") ]]; do
        if ((SECONDS > deadline)); then
            say "$name" "still running $patience s after SIG$signal: SIGKILL"
            kill -s KILL "$pid" 2>/dev/null || true
            deadline=$((SECONDS + patience))
        fi
        sleep 0.05
    done
    rm -f "$(pid_file_of "$name")"
    say "$name" "ended (SIG$signal)"
}

# One command at a time for one server. The lock ends with this (sub)shell; servers do not inherit it.
lock() {
    mkdir -p "$records"
    exec 9>"$records/$1.lock"
    flock 9
}

die_with_log() {
    {
        printf 'services: %s %s. The end of its log, %s:\n' "$1" "$2" "$(log_of "$1")"
        tail -n 25 "$(log_of "$1")" | sed 's/^/    /'
        if [[ -e $(folder_of "$1")/initialised ]]; then
            printf 'If its data is damaged, begin with empty data: scripts/services wipe %s\n' "$1"
        fi
    } >&2
    exit 1
}

# ---- several servers at once

run_lanes() {
    lanes=()
    start_lanes "$@"
    wait_for_lanes
}

start_lanes() {
    local action=$1 name
    shift
    for name in "$@"; do
        ("$action" "$name") &
        lanes+=($!)
    done
}

wait_for_lanes() {
    local lane failed=0
    for lane in "${lanes[@]}"; do
        wait "$lane" || failed=1
    done
    return "$failed"
}
