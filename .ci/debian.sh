# Sourced by postgres and slurm, which say what it takes: installs packages of Debian, or gives up with one line.

# $1: what it is for; $2: what is skipped without it; $3: what is not there; then the packages. The function is_there
# of whoever calls looks for it.
install_packages() {
    local name=$1 skipped=$2 lacking=$3 log as_root=(env DEBIAN_FRONTEND=noninteractive)
    shift 3
    give_up() {
        echo "$name: $skipped: $1"
        exit 1
    }
    if is_there; then return 0; fi
    command -v apt-get >/dev/null || give_up "no $lacking was found, and there is no apt-get to install it with"
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || give_up "no $lacking was found; install of Debian's packages: $*"
        as_root=(sudo -n "${as_root[@]}")
    fi
    echo "$name: installing of Debian's packages: $*"
    log=$(mktemp)
    {
        "${as_root[@]}" apt-get --quiet update
        "${as_root[@]}" apt-get --quiet --yes --no-install-recommends install "$@"
    } >"$log" 2>&1 || give_up "apt-get failed: $(tail -n 1 "$log")"
    rm -f "$log"
    is_there || give_up "apt-get installed $*, but no $lacking was found"
}
