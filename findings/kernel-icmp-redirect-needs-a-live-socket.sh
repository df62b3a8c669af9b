#!/bin/sh
# An ICMP redirect by the gateway that is in use, quoting a packet of a connected UDP socket, while
# that socket is open and after it was closed; and where it can be seen.
#
# Versions: Linux 6.18.
# Guess:    the gateway says so of a destination, so the kernel sends what goes there elsewhere,
#           whoever sends it; `ip route get` and `ip route get fibmatch` agree on the way.
# Seen:     it is taken only if the quoted packet belongs to a socket that is still open: after the
#           close the same message changes nothing. Taken, it counts for every socket, for 300 s.
#           `ip route get` shows it; `ip route get fibmatch` and `ip route show` do not.
# Matters:  whoever asks for the route (RTM_F_FIB_MATCH) instead of the way does not see it; a test
#           that sends a redirect for nobody's packet tests nothing.
# Needs Python 3.9 or later, iproute2, unshare, nsenter, and user namespaces or root. Exit code 1: it
# has changed.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cat >redirect.py <<'PYTHON'
"""Gateway's side: say that packets of PORT to 198.51.100.99 should go by 203.0.113.2."""
import socket, struct, sys

source, target = (socket.inet_aton(one) for one in ("203.0.113.10", "198.51.100.99"))
packet = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + source + target
packet += struct.pack("!4H", int(sys.argv[1]), 9, 8, 0)
rest = socket.inet_aton("203.0.113.2") + packet
total = sum(struct.unpack(f"!{len(rest) // 2}H", rest)) + 0x0501
total = (total & 0xFFFF) + (total >> 16)
head = struct.pack("!BBH", 5, 1, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
    raw.bind(("203.0.113.1", 0))
    raw.sendto(head + rest, ("203.0.113.10", 0))
PYTHON
cat >host.py <<'PYTHON'
"""Host's side: a redirect for a socket that is closed, then for one that is open."""
import re, socket, subprocess, sys

def connected():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect(("198.51.100.99", 9))
    return one

def redirect(port):
    enter = ["nsenter", "-t", sys.argv[1], "-n", sys.executable, "redirect.py", str(port)]
    subprocess.run(enter, check=True)

def way(*options):
    found = subprocess.run(
        ["ip", "route", "get", *options, "198.51.100.99"], check=True, capture_output=True, text=True
    ).stdout
    return re.search(r"via \S+", found)[0] + (" <redirected>" if "<redirected>" in found else "")

gone = connected()
port = gone.getsockname()[1]
gone.close()
redirect(port)
print("closed:", way())
with connected() as one:
    redirect(one.getsockname()[1])
    print("open:", way())
print("afterwards:", way())
print("fibmatch:", way("fibmatch"))
PYTHON
cat >start.sh <<'END_OF_SCRIPT'
set -e
unshare --net sleep 60 &
gateway=$!
until [ "$(readlink /proc/$gateway/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do :; done
ip link set lo up
ip link add eth0 type veth peer name eth0 netns $gateway
ip address add 203.0.113.10/24 dev eth0
ip link set eth0 up
nsenter -t $gateway -n ip address add 203.0.113.1/24 dev eth0
nsenter -t $gateway -n ip address add 203.0.113.2/24 dev eth0
nsenter -t $gateway -n ip link set eth0 up
ip route add default via 203.0.113.1
mac=$(nsenter -t $gateway -n ip -o link show eth0 | sed 's/.*ether \([^ ]*\).*/\1/')
for address in 203.0.113.1 203.0.113.2; do
    ip neigh replace $address dev eth0 nud permanent lladdr "$mac"
done
python3 host.py $gateway
kill $gateway
END_OF_SCRIPT
expected="closed: via 203.0.113.1
open: via 203.0.113.2 <redirected>
afterwards: via 203.0.113.2 <redirected>
fibmatch: via 203.0.113.1"
seen=$(unshare --user --map-root-user --net sh start.sh)
printf 'Linux %s\n%s\n' "$(uname -r)" "$seen"
[ "$seen" = "$expected" ] || { printf 'changed, it was:\n%s\n' "$expected" && exit 1; }
