#!/bin/sh
# `IPRoute.get_default_routes()` and its argument *table*.
#
# Versions: pyroute2 0.7.12 and 0.9.7.
# Guess:    the default routes of the table, which is main unless another is named.
# Seen:     0.7.12 does that. 0.9.7 returns those of all tables, also with `table=254`: the filter
#           is made and not used. `get_routes(table=…)` still filters.
# Matters:  a program that takes the first for the way out gets that of a source-routing table.
# Needs Python 3.9 or later, iproute2, unshare, and user namespaces or root. Exit code 1: it has
# changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >defaults.py <<'END_OF_PROGRAM'
import socket
from pyroute2 import IPRoute

with IPRoute() as ipr:
    for name, routes in (
        ("get_default_routes(table=254)", ipr.get_default_routes(socket.AF_INET, table=254)),
        ("get_default_routes()", ipr.get_default_routes(socket.AF_INET)),
        ("get_routes(table=77)", ipr.get_routes(socket.AF_INET, table=77)),
    ):
        print(name, *sorted(route.get_attr("RTA_GATEWAY") for route in routes))
END_OF_PROGRAM
cat >routes.sh <<'END_OF_SCRIPT'
set -e
ip link set lo up
ip address add 203.0.113.10/24 dev lo
ip route add default via 203.0.113.1 metric 5
ip route add default via 203.0.113.77 table 77
exec "$1" defaults.py
END_OF_SCRIPT

# VERSION: what it returns
ask() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet "pyroute2==$1"
    unshare --user --map-root-user --net sh routes.sh "$1/bin/python"
}
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same 0.7.12 "get_default_routes(table=254) 203.0.113.1
get_default_routes() 203.0.113.1
get_routes(table=77) 203.0.113.77" "$(ask 0.7.12)"
same 0.9.7 "get_default_routes(table=254) 203.0.113.1 203.0.113.77
get_default_routes() 203.0.113.1 203.0.113.77
get_routes(table=77) 203.0.113.77" "$(ask 0.9.7)"
exit "$failed"
