#!/bin/sh
# The synchronous `IPRoute()`, called from a coroutine.
#
# Versions: pyroute2 0.7.12 and 0.9.7.
# Guess:    it blocks the loop for a moment, and works, as any synchronous call does.
# Seen:     0.7.12 does that. 0.9.7 runs an event loop of its own in the same thread, which Python
#           refuses while another runs: RuntimeError from the constructor, before any netlink
#           message. In a thread of its own (`asyncio.to_thread`) it works.
# Matters:  an agent with asyncio that moves to Debian 14 loses its view of the network.
# Needs Python 3.9 or later, unshare, and user namespaces or root. Exit code 1: it has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >links.py <<'END_OF_PROGRAM'
import asyncio
import warnings

from pyroute2 import IPRoute

warnings.simplefilter("ignore")  # of the coroutine that is never awaited


def names():
    with IPRoute() as ipr:
        return [link.get_attr("IFLA_IFNAME") for link in ipr.get_links()]


async def main():
    print("in a thread:", await asyncio.to_thread(names))
    try:
        print("in the loop:", names())
    except RuntimeError as error:
        print("in the loop:", error)


asyncio.run(main())
END_OF_PROGRAM

# VERSION: what it prints
ask() {
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet "pyroute2==$1"
    unshare --user --map-root-user --net "$1/bin/python" links.py
}
failed=0
# WHAT EXPECTED SEEN
same() {
    printf '%s:\n%s\n\n' "$1" "$3"
    [ "$2" = "$3" ] || { printf 'changed, it was:\n%s\n\n' "$2" && failed=1; }
}
same 0.7.12 "in a thread: ['lo']
in the loop: ['lo']" "$(ask 0.7.12)"
same 0.9.7 "in a thread: ['lo']
in the loop: This event loop is already running" "$(ask 0.9.7)"
exit "$failed"
