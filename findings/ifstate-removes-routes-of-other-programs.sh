#!/bin/sh
# Routes that another program has set, in a table for which IfState has one route of its own.
#
# Versions: ifstate 2.5.1.
# Guess:    only what IfState has set itself goes, as with networkd's and NetworkManager's reload:
#           a route of another protocol (here 82) is somebody else's.
# Seen:     every route of the table that is not in its file is removed, whatever its protocol is,
#           but for those of the kernel, of router advertisements and of some routing daemons.
#           `parameters: {ignore: {routes: [{proto: 82}]}}` keeps them.
# Matters:  the host loses the default route that an agent has set, at each `ifstatecli apply`.
# Needs Python 3.9 or later, iproute2, unshare, and user namespaces or root. Exit code 1: it has
# changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv venv
venv/bin/pip install --quiet ifstate==2.5.1
cat >plain.yaml <<'YAML'
interfaces:
  lo:
    link: {kind: physical, state: up}
    addresses: [127.0.0.1/8, "::1/128", 203.0.113.10/24]
routing:
  routes:
    - {to: 198.51.100.0/24, via: 203.0.113.1}
YAML
cat plain.yaml - >ignoring.yaml <<'YAML'
parameters:
  ignore:
    routes:
      - {proto: 82}
YAML
cat >start.sh <<'END_OF_SCRIPT'
set -e
ip link set lo up
ip address add 203.0.113.10/24 dev lo
ip route add default via 203.0.113.1 metric 1 proto 82
venv/bin/ifstatecli -c "$1" apply >log 2>&1 || cat log
ip -4 route show default
END_OF_SCRIPT
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same "the default routes afterwards" "" \
    "$(unshare --user --map-root-user --net sh start.sh plain.yaml)"
same "with 'ignore'" "default via 203.0.113.1 dev lo proto 82 metric 1 " \
    "$(unshare --user --map-root-user --net sh start.sh ignoring.yaml)"
exit "$failed"
