# shellcheck shell=bash
# Sourced by the scripts beside it: what they say, where they keep things, how they get Debian packages.

say() { printf '[%s] %s: %s\n' "$(date -u +%H:%M:%S)" "$(basename "$0")" "$*"; }

fail() {
    say "$*" >&2
    exit 1
}

# Kept between runs, so that a second run starts within seconds.
cache="${CAKRAVIA_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cakravia-ci}"
mkdir -p "$cache"

is_installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# Leaves every named package installed; asks the network only when one is missing.
install_packages() {
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || fail "missing: ${missing[*]}; run as root, or install them first"
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
    local log="$cache/apt.log" options=(-qq -y --no-install-recommends -o Acquire::Retries=3)
    # Lists older than the mirror name packages that are gone; refreshed only then.
    apt-get "${options[@]}" install "${missing[@]}" >"$log" 2>&1 && return
    apt-get -qq -o Acquire::Retries=3 update >>"$log" 2>&1 || say "apt-get update complained, see $log"
    apt-get "${options[@]}" install "${missing[@]}" >>"$log" 2>&1 && return
    tail -n 20 "$log" >&2
    fail "apt-get could not install ${missing[*]}; the end of $log is above"
}

# Prints "address suite component" of every Debian archive that this machine's own apt uses.
debian_archives() {
    # shellcheck disable=SC2016  # apt fills these fields in
    apt-get indextargets --format '$(REPO_URI)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)' 'Created-By: Packages' |
        awk -F'|' '$4 == "Debian" { print $1, $2, $3 }' | sort --unique
}

# Prints the address of the machine's main Debian archive.
debian_mirror() {
    debian_archives | awk '$2 !~ /-/ { print $1; exit }' | grep . || fail "this machine's apt names no Debian archive"
}
