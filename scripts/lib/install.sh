# Installs missing Debian packages, and keeps them from starting their daemons.
# Sourced by the other scripts; run as a program, with the packages as arguments, by sudo.

start_policy=/usr/sbin/policy-rc.d # asked by Debian's packages before they start a daemon
start_policy_before=$start_policy.before-saga-services

install_packages() {
    say install "$*"
    if ! type -P apt-get >/dev/null; then cannot_install "there is no apt-get here" "$@"; fi
    if ((EUID == 0)); then
        (install_as_root "$@")
    elif type -P sudo >/dev/null; then
        [[ -t 0 ]] && sudo=(sudo) || sudo=(sudo -n) # without a terminal, fail instead of asking
        "${sudo[@]}" bash "${BASH_SOURCE[0]}" "$@" || cannot_install "sudo failed" "$@"
    else
        cannot_install "that needs root, and there is no sudo" "$@"
    fi
}

cannot_install() {
    local why=$1
    shift
    die "missing packages: $*; cannot install them: $why.
  Install them (on Debian: apt-get install $*), or name running servers in
  SAGA_POSTGRES_URL, SAGA_AMQP_URL and SAGA_KAFKA_BROKERS."
}

install_as_root() {
    export DEBIAN_FRONTEND=noninteractive
    local apt=(apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    local output
    forbid_daemons
    "${apt[@]}" update >&2 || say install "apt-get update failed; trying with the package lists that are here"
    if ! output=$("${apt[@]}" install --no-install-recommends -y "$@" 2>&1); then
        tail -n 25 <<<"$output" >&2
        cannot_install "apt-get failed" "$@"
    fi
    say install "done"
}

forbid_daemons() {
    exec 7<"${start_policy%/*}" # until this shell ends: two checkouts may install at the same time
    flock 7
    allow_daemons # what a run that was killed may have left
    trap allow_daemons EXIT
    if [[ -e $start_policy ]]; then mv "$start_policy" "$start_policy_before"; fi
    printf '#!/bin/sh\n# Written by scripts/services for the time of one apt-get.\nexit 101\n' >"$start_policy"
    chmod 755 "$start_policy"
}

allow_daemons() {
    if [[ -e $start_policy_before ]]; then
        mv "$start_policy_before" "$start_policy"
    elif grep -qs 'Written by scripts/services' "$start_policy"; then
        rm "$start_policy"
    fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    source "$(dirname "$0")/say.sh"
    install_as_root "$@"
fi
