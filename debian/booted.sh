#!/bin/bash
# Takes a package through its life on a Debian that systemd has booted: install, call, the fields of the journal, upgrade
# over itself while a kept program runs, reload, the strict unit, socket activation, remove, purge.
#
# usage: booted.sh PACKAGE.deb [FOLDER] (as root; FOLDER: the root folder of a minimal Debian, else debootstrap makes one)
set -euo pipefail

package=$(realpath "$1")
if [ -z "${IN_ROOT:-}" ]; then
    here=$(mktemp -d)
    machine=
    init=
    end() {
        # With the first process of its namespace all others end; it would outlive systemd-nspawn.
        [ -z "$init" ] || kill -KILL "$init" 2>/dev/null || true
        [ -z "$machine" ] || kill -KILL "$machine" 2>/dev/null || true
        [ -z "$machine" ] || wait "$machine" 2>/dev/null || true
        rm -rf --one-file-system "$here"
    }
    trap end EXIT
    folder=${2:-}
    if [ -z "$folder" ]; then
        folder=$here/debian
        with=python3,procps,systemd,systemd-sysv,dbus,init-system-helpers
        debootstrap --variant=minbase --include="$with" "$(. /etc/os-release; echo "$VERSION_CODENAME")" "$folder" \
            http://deb.debian.org/debian >"$here"/log || { tail "$here"/log; exit 1; }
    fi
    # The folder stays as it is (--ephemeral). Neither the network nor the service manager of this machine take part.
    mkdir "$here"/share
    cp "$package" "$here"/share/package.deb
    cp "$0" "$here"/share/booted.sh
    systemd-nspawn --directory="$folder" --ephemeral --register=no --keep-unit --private-network --console=pipe \
        --bind-ro="$here"/share:/share --boot </dev/null >"$here"/boot 2>&1 &
    machine=$!
    for _ in $(seq 600); do
        kill -0 "$machine" || { cat "$here"/boot; exit 1; }
        init=$(pgrep -P "$machine" -x systemd || true)
        [ -n "$init" ] && [ -S "/proc/$init/root/run/systemd/private" ] && break
        sleep 0.2
    done
    nsenter --target "$init" --mount --pid --net --ipc --uts --cgroup --root --wd env -i IN_ROOT=1 HOME=/root \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash /share/booted.sh /share/package.deb
    exit
fi

say() { echo "== $*"; }
client() {
    setpriv --reuid rpcserver --regid rpcserver --init-groups env -C / HOME=/var/lib/rpcserver \
        rpcclient --url unix:///run/rpcserver/rpcserver.sock "$@"
}
files() { find / -xdev -not -path '/proc/*' -not -path '/var/lib/dpkg/*' -not -path '/var/cache/*' -not -path '/var/log/*' \
    -not -path '/tmp/*' -not -path '/var/tmp/*' -not -path '/etc/*-' | sort; }
trap 'echo "line $LINENO failed: $BASH_COMMAND"; journalctl --no-pager -n 20 -u "rpcserver*"' ERR
systemctl is-system-running --wait || true
files >/tmp/before

say install
dpkg --install "$1"
systemctl is-active rpcserver
test "$(systemctl show -P SubState rpcserver)" = running
test "$(client call rpc.ping)" = '"pong"'
say the journal has the fields
test -n "$(journalctl -u rpcserver EVENT=authenticated PRINCIPAL=owner -o cat --no-pager)"
journalctl -x EVENT=authenticated --no-pager | grep "Subject: A client has authenticated"
say the commands of root find the server
rpcserver status | grep "^rpcserver " >/dev/null
rpcserver config check
rpcserver token create ada --role owner >/dev/null
rpcserver token revoke ada
test "$(stat -c %U /var/lib/rpcserver/tokens.json)" = rpcserver
say reload
process=$(systemctl show -P MainPID rpcserver)
systemctl reload rpcserver
client call rpc.ping
test "$(systemctl show -P MainPID rpcserver)" = "$process"
say upgrade over itself while a kept program runs
id=$(client --json run --detach --retain 600 -- sleep 600 | tr -d '"')
kept=$(pgrep -u rpcserver -x sleep)
dpkg --install "$1"
systemctl is-active rpcserver
test "$(systemctl show -P MainPID rpcserver)" != "$process"
client ps | grep "$id" >/dev/null
test "$(pgrep -u rpcserver -x sleep)" = "$kept"
client kill "$id"
say the strict unit
systemctl disable --now rpcserver
systemctl start rpcserver-strict
client sql main 'SELECT 1 AS one'
client call hardware.cpu >/dev/null
if client run -- true; then exit 1; fi
systemctl stop rpcserver-strict
say socket activation
systemctl start rpcserver.socket
test "$(systemctl is-active rpcserver)" = inactive
client call rpc.ping
systemctl is-active rpcserver
say remove and purge
dpkg --remove rpcserver
test -e /var/lib/rpcserver/token
dpkg --purge rpcserver
if getent passwd rpcserver; then exit 1; fi
files >/tmp/after
# dpkg removes /opt as well, if nothing else is in it.
comm -3 /tmp/before /tmp/after | grep -vE '^(/opt|\s*/var/lib/systemd/(timers|catalog|random-seed).*)$' >/tmp/left || true
cat /tmp/left
test ! -s /tmp/left
say "nothing is left"
