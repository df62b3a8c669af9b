"""SSH sessions by an address, from the kernel's table."""

from __future__ import annotations

import socket
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from rcnetd.ctl.ssh_sessions import ssh_sessions

TEXT = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0A7100CB:0016 076433C6:D431 01 00000000:00000000 00:00000000 00000000     0
   1: 0A7100CB:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   2: 0A7100CB:0050 076433C6:D431 01 00000000:00000000 00:00000000 00000000     0
   3: 0201B40A:0016 076433C6:D431 01 00000000:00000000 00:00000000 00000000     0
   4: nonsense:x y 01
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample is of a little-endian machine")
def test_finds_the_sessions_of_an_address() -> None:
    """Established, to port 22, by that address."""
    public = IPv4Address("203.0.113.10")
    assert [(public, IPv4Address("198.51.100.7"))] == ssh_sessions(TEXT, [public])
    assert [] == ssh_sessions("", [public])


def test_reads_the_kernel_s_own_table() -> None:
    """The kernel's real table has the expected form."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        text = Path("/proc/net/tcp").read_text(encoding="ascii")
        assert [] == ssh_sessions(text, [IPv4Address("127.0.0.1")])
        port = f"{server.getsockname()[1]:04X}"
        assert ssh_sessions(text.replace(f":{port} ", ":0016 "), [IPv4Address("127.0.0.1")])
