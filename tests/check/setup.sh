# SPDX-License-Identifier: BSD-3-Clause
# tests/check/setup.sh: sourced by ./run, ./check and bench/run: packages and builds.
#
# Promise: installs only what is missing, so that a second run needs no network; leaves no service
#          running that was not running before. Says what it does before it does it, so that a
#          person who waits knows why.
# Trap:    the caller has set HOUSE to the root of the repository and runs as root.

PACKAGES_BUILD="gcc libc6-dev clang libclang-rt-14-dev clang-format meson ninja-build pkg-config
    dpdk-dev libdpdk-dev liburing-dev libssl-dev libcriterion-dev libconfig-dev libsqlite3-dev
    libjansson-dev libsystemd-dev"
PACKAGES_RUN="swaks postfix nftables iproute2 ethtool procps python3 mandoc util-linux zsh"

POLICY_MARK="# holdfast: no service starts while its packages are installed"

die()
{
    echo "${0##*/}: $*" >&2
    exit 1
}

need_root()
{
    [ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces and reserves hugepages"
}

# Prints those of its arguments that dpkg does not have installed.
packages_missing()
{
    local package installed
    installed=$(dpkg-query -W -f='${Package} ${Status}\n' "$@" 2>/dev/null |
        sed -n 's/ install ok installed$//p')
    for package in "$@"; do
        grep -qxF -- "$package" <<<"$installed" || printf '%s ' "$package"
    done
}

# Postfix is wanted for its smtp-source and smtp-sink, and for the benchmark with a configuration
# of its own. Its service must not start, nor touch the mail of this machine: policy-rc.d refuses
# all service starts while packages are installed.
packages_install()
{
    local missing policy=/usr/sbin/policy-rc.d log rc=0
    echo "packages: looking which are missing"
    # shellcheck disable=SC2046,SC2086
    missing=$(packages_missing $PACKAGES_BUILD $PACKAGES_RUN)
    [ -n "$missing" ] || return 0
    echo "packages: installing with apt, which takes minutes: $missing"
    log=$(mktemp /tmp/holdfast-apt.XXXXXX) || die "no temporary file"
    # A policy-rc.d with our mark was left by an installation that was killed.
    if [ ! -e $policy ] || grep -q "^$POLICY_MARK\$" $policy; then
        # shellcheck disable=SC2064
        trap "rm -f $policy" EXIT
        trap 'exit 129' HUP INT TERM
        printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >$policy
        chmod 755 $policy
    fi
    export DEBIAN_FRONTEND=noninteractive
    case "$missing" in
    *postfix*)
        command -v debconf-set-selections >/dev/null &&
            echo 'postfix postfix/main_mailer_type select No configuration' |
            debconf-set-selections
        ;;
    esac
    # shellcheck disable=SC2086
    { apt-get -qq update && apt-get -qq -y --no-install-recommends install $missing; } \
        </dev/null >"$log" 2>&1 || rc=1
    grep -qs "^$POLICY_MARK\$" $policy && rm -f $policy
    trap - EXIT HUP INT TERM
    if [ $rc != 0 ]; then
        tail -20 "$log" >&2
        die "apt-get could not install: $missing (log: $log)"
    fi
    rm -f "$log"
}

# build_configure DIR CC [meson options]: sets a build directory up once; a directory that an
# interrupted first run left half configured is made anew.
build_configure()
{
    local dir=$1 cc=$2
    shift 2
    if [ ! -f "$dir/build.ninja" ] || [ ! -f "$dir/meson-private/coredata.dat" ]; then
        rm -rf "$dir"
        mkdir -p "$dir"
        echo "configuring ${dir##*/} (meson, $cc)"
        CC=$cc meson setup "$dir" "$HOUSE" "$@" >"$dir/setup.log" 2>&1 || {
            tail -30 "$dir/setup.log" >&2
            return 1
        }
    fi
}

# build_make DIR [TARGET...]: prints the compiler's output only when it fails.
build_make()
{
    local dir=$1
    shift
    echo "building ${dir##*/} (ninja)"
    if ! nice ninja -C "$dir" "$@" >"$dir/make.log" 2>&1; then
        grep -v '^\[[0-9]*/[0-9]*\]' "$dir/make.log" | tail -60 >&2
        return 1
    fi
}
