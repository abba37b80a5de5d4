# Progress on stderr, and giving up. Sourced by the other scripts.

began=$EPOCHREALTIME

say() { printf '%s: %5.1f s  %-8s %s\n' "${0##*/}" "$(seconds_since "$began")" "$1" "$2" >&2; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

seconds_since() {
    local microseconds=$((${EPOCHREALTIME/./} - ${1/./}))
    printf '%d.%06d' $((microseconds / 1000000)) $((microseconds % 1000000))
}
