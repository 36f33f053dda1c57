#!/bin/bash
# Takes a package through its life on a machine of its own: install, start, call, upgrade over itself while a kept program
# runs, remove, purge. The machine is this one's root folder below an overlay, in namespaces: nothing here changes. No
# systemd runs there, so the server is started as the unit says, by hand.
#
# usage: lifecycle.sh PACKAGE.deb (as root, on Debian)
set -euo pipefail

package=$(realpath "$1")
say() { echo "== $*"; }

if [ -z "${IN_NAMESPACE:-}" ]; then
    IN_NAMESPACE=1 exec unshare --mount --pid --ipc --uts --fork --kill-child bash "$0" "$package"
fi

if [ -z "${IN_ROOT:-}" ]; then
    mount --make-rprivate /
    here=/mnt  # Hidden in this namespace only, so that no folder is left behind.
    mount -t tmpfs -o mode=0755,size=2g tmpfs "$here"
    mkdir "$here"/upper "$here"/work "$here"/root
    mount -t overlay overlay -o lowerdir=/,upperdir="$here"/upper,workdir="$here"/work "$here"/root
    root=$here/root
    mount -t proc proc "$root"/proc
    mount --rbind /dev "$root"/dev
    mount -t tmpfs -o mode=0755 tmpfs "$root"/run
    mount -t tmpfs -o mode=1777 tmpfs "$root"/tmp
    rm -rf "$root"/etc/rpcserver "$root"/var/lib/rpcserver  # Of a server of this machine, if there is one.
    cp "$package" "$root"/tmp/package.deb
    cp "$0" "$root"/tmp/lifecycle.sh
    env -i IN_NAMESPACE=1 IN_ROOT=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
        chroot "$root" bash /tmp/lifecycle.sh /tmp/package.deb
    say "what is there now and was not before, or is not what it was"
    left=0
    while IFS= read -r path; do
        case /$path in
            /var/lib/dpkg/* | /var/log/dpkg.log | /var/log/alternatives.log | /var/cache/man* | /etc/*-) continue ;;
            /etc/rpcserver | /var/lib/rpcserver) [ -c "$here/upper/$path" ] && continue ;;  # Whiteouts of the above.
            /var/lib/systemd/catalog/database | /var/cache/ldconfig* | /etc/.pwd.lock) continue ;;  # Made by others.
        esac
        upper=$here/upper/$path lower=/$path
        if [ -d "$upper" ] && [ -d "$lower" ]; then continue; fi
        if [ -f "$upper" ] && [ -f "$lower" ] && cmp -s "$upper" "$lower"; then continue; fi
        echo "/$path"
        left=1
    done < <(cd "$here"/upper && find . -mindepth 1 -printf '%P\n')
    [ "$left" = 0 ] && say "nothing is left"
    exit "$left"
fi

export DEBIAN_FRONTEND=noninteractive
trap 'echo "line $LINENO failed: $BASH_COMMAND"; cat /tmp/log; rpcclient --version; ps axf | tail -30' ERR
server=
start() {  # As the unit says: its command, user, folders and variables.
    local unit=/lib/systemd/system/rpcserver.service
    install -d -o rpcserver -g rpcserver -m 0700 /var/lib/rpcserver
    install -d -o rpcserver -g rpcserver -m 0711 /run/rpcserver
    local command
    command=$(sed -n 's/^ExecStart=//p' "$unit")
    rm -f /tmp/said
    setpriv --reuid rpcserver --regid rpcserver --init-groups env -C / HOME=/var/lib/rpcserver RPCSERVER_STATE_DIR=/var/lib/rpcserver \
        RPCSERVER_LISTEN__UNIX=/run/rpcserver/rpcserver.sock $command >/tmp/said 2>/tmp/log &
    server=$!
    until grep -q unix: /tmp/said; do
        kill -0 "$server" || { cat /tmp/log; exit 1; }
        sleep 0.1
    done
}
stop() {
    kill -TERM "$server"
    wait "$server"
}
client() {
    setpriv --reuid rpcserver --regid rpcserver --init-groups env -C / HOME=/var/lib/rpcserver \
        rpcclient --url unix:///run/rpcserver/rpcserver.sock "$@"
}

user() {  # Somebody who has nothing to do with the machine's server.
    setpriv --reuid nobody --regid nogroup --clear-groups env -C / HOME=/tmp/nobody XDG_RUNTIME_DIR=/tmp/nobody rpcserver "$@"
}

say install
dpkg --install "$1"
test "$(stat -c '%U:%G %a' /etc/rpcserver)" = "root:rpcserver 750"
test "$(dpkg --verify rpcserver)" = ""
rpcserver config check
test -e /etc/systemd/system/multi-user.target.wants/rpcserver.service
say start and call
start
client call rpc.ping
client run -- uname
if rpcserver serve 2>/tmp/told; then exit 1; fi
grep -q 'run: systemctl start rpcserver' /tmp/told
say an ordinary user has a server of their own
install -d -o nobody -g nogroup -m 0700 /tmp/nobody
user --help >/dev/null
user config schema >/dev/null
user token create ada --role owner 2>/tmp/told >/dev/null
grep -q '/etc/rpcserver is closed to this user' /tmp/told
test "$(user token list --json | grep -c '"name": "ada"')" = 1
user config check
user permissions >/dev/null
test "$(rpcserver token list --json)" = "[]"
id=$(client --json run --detach --retain 600 -- sleep 600 | tr -d '"')
process=$(pgrep -u rpcserver -x sleep)
say "upgrade over itself, while $id runs"
dpkg --install "$1"
stop
start
client ps | grep -q "$id"
test "$(pgrep -u rpcserver -x sleep)" = "$process"
client kill "$id"
say an edited configuration is kept
echo 'grace_s = 3' >>/etc/rpcserver/rpcserver.toml
dpkg --install "$1" </dev/null
grep -q 'grace_s = 3' /etc/rpcserver/rpcserver.toml
stop
test "$(find /opt/rpcserver -newer /tmp/said -name '*.pyc')" = ""
say remove
dpkg --remove rpcserver
test ! -e /opt/rpcserver
test ! -e /usr/bin/rpcserver
test -e /var/lib/rpcserver/token
grep -q 'grace_s = 3' /etc/rpcserver/rpcserver.toml
say purge
dpkg --purge rpcserver
! getent passwd rpcserver
! getent group rpcserver
