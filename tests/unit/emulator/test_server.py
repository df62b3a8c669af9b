"""The emulator on the wire, met by clients that are not ours: `http.client`, raw sockets, curl."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from rcnetd.emulator import testing
from rcnetd.emulator.command import main
from rcnetd.emulator.faults import ANSWER, FAULTS, OPERATIONS, Fault
from rcnetd.emulator.scenario import parse
from rcnetd.emulator.server import Emulator
from rcnetd.emulator.testing import RunningEmulator, emulator
from tests.conftest import missing

rackconnect = testing.rackconnect  # the fixture, as somebody's conftest.py would import it

ONE, TWO, STRANGER = "127.0.0.31", "127.0.0.32", "127.0.0.33"
TIMELINE = f"""
servers:
  - address: {ONE}
    region: dfw
    timeline: [{{at: 0, gateway: 10.180.31.254, status: DEPLOYED}}]
  - address: {TWO}
    timeline: [{{at: 0, status: DEPLOYING}}]
"""
ANSWERED = (200, b"10.180.31.254")
PATIENCE = 10.0  # seconds
SHORT = 0.5  # seconds for what never comes


@pytest.fixture
def api() -> Iterator[RunningEmulator]:
    """An emulator whose minute does not end during a test."""
    with emulator(TIMELINE, clock=lambda: 0.0) as running:
        yield running


def trusting(api: RunningEmulator) -> ssl.SSLContext:
    """A TLS client that trusts the emulator's authority only."""
    return ssl.create_default_context(cadata=Path(api.ca_file).read_text())


@contextmanager
def connected(
    api: RunningEmulator, source: str = ONE, timeout: float = PATIENCE
) -> Iterator[HTTPSConnection]:
    """A verified connection from a source address."""
    connection = HTTPSConnection(
        "localhost", api.port, timeout=timeout, source_address=(source, 0), context=trusting(api)
    )
    try:
        yield connection
    finally:
        connection.close()


def get(
    api: RunningEmulator,
    operation: str = "gateway_ip",
    source: str = ONE,
    host: str | None = None,
    timeout: float = PATIENCE,
) -> tuple[int, bytes]:
    """Ask once on a connection of its own."""
    with connected(api, source, timeout) as connection:
        headers = {"Host": host} if host is not None else {}
        connection.request("GET", f"/v1/{operation}", headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_each_server_has_its_own_answers(api: RunningEmulator) -> None:
    """By its source address; an address that no server has is not known."""
    assert ANSWERED == get(api)
    assert (404, b"Not found") == get(api, source=TWO)
    assert (200, b"DEPLOYING") == get(api, "automation_status", TWO)
    assert (404, b"Server not found") == get(api, "automation_status", STRANGER)


def test_a_server_for_any_address() -> None:
    """The default."""
    with emulator("servers: [{timeline: [{at: 0, status: FAILED}]}]") as api:
        assert (200, b"FAILED") == get(api, "automation_status", STRANGER)


@pytest.mark.parametrize("region", ["dfw", "hkg", "iad", "lon", "ord", "syd"])
def test_a_region_answers_for_its_own_servers(api: RunningEmulator, region: str) -> None:
    """By the Host; a server without a region is known everywhere."""
    host = f"{region.upper()}.api.rackconnect.rackspace.com"

    assert get(api, host=host) == (ANSWERED if region == "dfw" else (404, b"Server not found"))
    assert (200, b"DEPLOYING") == get(api, "automation_status", TWO, host)


def test_the_certificate_is_for_all_regions(api: RunningEmulator) -> None:
    """Clients verify the name they asked for."""
    for region in ("dfw", "lon", "syd"):
        name = f"{region}.api.rackconnect.rackspace.com"
        with socket.create_connection((api.host, api.port), PATIENCE) as plain:
            trusting(api).wrap_socket(plain, server_hostname=name).close()


def test_the_31st_request_gets_403(api: RunningEmulator) -> None:
    """30 for each source, on one connection or many; a 403 counts too."""
    with connected(api) as connection:
        statuses = []
        for _ in range(32):
            connection.request("GET", "/v1/gateway_ip")
            response = connection.getresponse()
            response.read()
            statuses.append(response.status)

    assert [200] * 30 + [403] * 2 == statuses
    assert 403 == get(api)[0]
    assert 404 == get(api, source=TWO)[0]
    assert [30, 31, 32, 33] == [entry.count for entry in api.requests if entry.source == ONE][29:]


def test_the_counter_resets_each_minute() -> None:
    """With the clock's minute, not with the first request's."""
    now = [0.0]
    with emulator(TIMELINE, clock=lambda: now[0], phase=50.0) as api:
        assert 200 == get(api)[0]
        now[0] = 9.9
        get(api)
        assert 2 == api.requests[-1].count
        now[0] = 10.0
        get(api)
        assert 1 == api.requests[-1].count


def test_time_zero_can_be_the_first_request() -> None:
    """A server whose time begins when it is first seen."""
    now = [100.0]
    text = "servers: [{start: first-request, timeline: [{at: 5s, status: DEPLOYED}]}]"
    with emulator(text, clock=lambda: now[0]) as api:
        now[0] = 1000.0
        assert (200, b"DEPLOYING") == get(api, "automation_status")
        now[0] = 1005.0
        assert (200, b"DEPLOYED") == get(api, "automation_status")


TLS_SAYS = {
    "expired": "certificate has expired",
    "not-yet-valid": "certificate is not yet valid",
    "wrong-name": "Hostname mismatch",
    "untrusted": "unable to get local issuer certificate|self.signed",
}


@pytest.mark.parametrize("fault", TLS_SAYS)
def test_bad_certificates(api: RunningEmulator, fault: str) -> None:
    """Each is refused by a client that verifies, for its own reason."""
    api.set_fault(fault)

    with pytest.raises(ssl.SSLCertVerificationError, match=TLS_SAYS[fault]):
        get(api)
    assert [] == api.requests


def test_refused_connections(api: RunningEmulator) -> None:
    """By the kernel, and taken again when the fault ends."""
    api.set_fault("refuse")
    with pytest.raises(ConnectionError):
        get(api)
    api.clear_fault()

    assert ANSWERED == get(api)


@pytest.mark.parametrize("end", ["refuse", "stop"])
@pytest.mark.parametrize("turns", range(6))
def test_a_connection_just_accepted_is_closed(turns: int, end: str) -> None:
    async def connect_and_end() -> None:
        emulator = Emulator(parse(TIMELINE), [("127.0.0.1", 0)])
        await emulator.start()
        with socket.create_connection(emulator.addresses[0], source_address=(ONE, 0)) as client:
            for _ in range(turns):
                await asyncio.sleep(0)
            if end == "refuse":
                emulator.set_fault(Fault("refuse"))
            await emulator.stop()
            client.settimeout(PATIENCE)
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""

    asyncio.run(connect_and_end())
    gc.collect()  # what was not closed would be told now


def test_one_server_can_be_refused_alone() -> None:
    """The others are served."""
    text = TIMELINE.replace("status: DEPLOYED}", "fault: refuse}", 1)
    with emulator(text) as api:
        with pytest.raises(OSError):  # noqa: PT011 -- reset during the handshake, or after it
            get(api)
        assert (200, b"DEPLOYING") == get(api, "automation_status", TWO)


def test_no_tls_where_tls_is_expected(api: RunningEmulator) -> None:
    """Something else has the port."""
    api.set_fault("tls-garbage")

    with pytest.raises(ssl.SSLError):
        get(api)


@pytest.mark.parametrize("fault", ["hang", "drip", "drip-body"])
def test_slow_answers(api: RunningEmulator, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, or a byte at a time: a client that waits for each byte alone waits for long."""
    every = 0.01 if fault == "drip" else 0.05
    monkeypatch.setattr("rcnetd.emulator.server.DRIP_INTERVAL", every)
    api.set_fault(fault)
    begin = time.monotonic()
    with connected(api, timeout=SHORT) as connection:
        connection.request("GET", "/v1/gateway_ip")
        if fault == "hang":
            with pytest.raises((TimeoutError, socket.timeout)):
                connection.getresponse()
            return
        assert ANSWERED == _patiently(connection)

    assert time.monotonic() - begin > SHORT


def _patiently(connection: HTTPSConnection) -> tuple[int, bytes]:
    response = connection.getresponse()
    return response.status, response.read()


@pytest.mark.parametrize("fault", ["truncate", "reset", "garbage"])
def test_broken_answers(api: RunningEmulator, fault: str) -> None:
    """The connection ends before the answer does."""
    api.set_fault(fault)

    with pytest.raises((HTTPException, OSError)):
        get(api)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        ("oversize", (200, b"x" * 100_000)),
        ("empty", (200, b"")),
        ("two-addresses", (200, b"10.180.31.254\n10.180.31.253\n")),
        ("ipv6", (200, b"2001:db8::1")),
        ("unknown-word", (200, b"MIGRATING")),
        ("rate-limit", (403, b"Rate limit exceeded")),
        ("not-found", (404, b"Not found")),
        ("http-204", (204, b"")),
        ("redirect", (302, b"")),
    ],
)
def test_wrong_answers(api: RunningEmulator, fault: str, answer: tuple[int, bytes]) -> None:
    """Well-formed HTTP that says something doubtful."""
    api.set_fault(fault)
    assert answer == get(api)
    api.clear_fault()
    assert ANSWERED == get(api)


@pytest.mark.parametrize(
    ("fault", "status"), [("html", 200), ("http-400", 400), ("http-500", 500), ("http-503", 503)]
)
def test_html_pages(api: RunningEmulator, fault: str, status: int) -> None:
    """What a proxy in between would send."""
    api.set_fault(fault)
    found, body = get(api)

    assert status == found
    assert b"<html>" in body


def test_bytes_that_are_no_text(api: RunningEmulator) -> None:
    """Not decodable as UTF-8."""
    api.set_fault("bad-charset")

    with pytest.raises(UnicodeDecodeError):
        get(api)[1].decode()


def test_every_fault_is_met_by_a_client_that_is_not_ours() -> None:
    """A new fault needs its test above."""
    met = {*TLS_SAYS, "refuse", "tls-garbage", "hang", "drip", "drip-body", "truncate", "reset",
           "garbage", "oversize", "empty", "two-addresses", "ipv6", "unknown-word", "rate-limit",
           "not-found", "http-204", "redirect", "html", "http-400", "http-500", "http-503",
           "bad-charset"}  # fmt: skip
    assert set(FAULTS) == met


@pytest.mark.parametrize("fault", ["http-503", "rate-limit"])
def test_retry_after(api: RunningEmulator, fault: str) -> None:
    """In seconds."""
    api.set_fault(fault, retry_after=90)
    with connected(api) as connection:
        connection.request("GET", "/v1/gateway_ip")
        assert "90" == connection.getresponse().headers["Retry-After"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_fault_of_one_operation(api: RunningEmulator, operation: str) -> None:
    """The others are well."""
    api.set_fault("http-500", on=operation)

    for other in OPERATIONS:
        assert get(api, other)[0] == (500 if other == operation else 200)


def test_the_log_has_every_request(api: RunningEmulator) -> None:
    """Who, what, how it was answered, and by which fault."""
    get(api)
    api.set_fault("http-500")
    get(api, "automation_status?format=json", TWO)

    first, second = api.requests
    assert (ONE, "GET", "/v1/gateway_ip", 200, 1, None) == (
        first.source, first.method, first.target, first.status, first.count, first.fault,
    )  # fmt: skip
    assert (TWO, 500, "http-500") == (second.source, second.status, second.fault)
    assert second.target.endswith("?format=json")


def test_head_and_post(api: RunningEmulator) -> None:
    """HEAD has no body, POST is not allowed."""
    with connected(api) as connection:
        connection.request("HEAD", "/v1/gateway_ip")
        response = connection.getresponse()
        assert (200, "13", b"") == (
            response.status, response.headers["Content-Length"], response.read(),
        )  # fmt: skip
        connection.request("POST", "/v1/gateway_ip", body=b"x" * 1000)
        response = connection.getresponse()
        assert (405, "GET, HEAD") == (response.status, response.headers["Allow"])


@pytest.mark.parametrize(
    "data", [b"\x00" * 100, b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 9000, b""]
)
def test_a_client_that_speaks_no_http(data: bytes) -> None:
    """Harms nobody else."""
    with emulator(TIMELINE, tls=False) as api:
        with socket.create_connection((api.host, api.port), PATIENCE, (ONE, 0)) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            _drain(client)
        connection = HTTPConnection(api.host, api.port, timeout=PATIENCE, source_address=(ONE, 0))
        connection.request("GET", "/v1/gateway_ip")
        assert b"10.180.31.254" == connection.getresponse().read()
        connection.close()


def _drain(client: socket.socket) -> None:
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        pass


def test_many_clients_at_once(api: RunningEmulator) -> None:
    """A hundred open connections, each answered; a hanging one stops none."""
    api.set_fault("hang", on="automation_features")
    held = []
    for number in range(100):
        connection = HTTPSConnection(
            "localhost", api.port, timeout=PATIENCE, context=trusting(api),
            source_address=(f"127.0.1.{number + 1}", 0),
        )  # fmt: skip
        connection.request("GET", "/v1/automation_features" if number % 2 else "/v1/gateway_ip")
        held.append(connection)

    assert ANSWERED == get(api)
    assert {404} == {connection.getresponse().status for connection in held[::2]}
    for connection in held:
        connection.close()


def test_the_fixture(rackconnect: Callable[..., AbstractContextManager[RunningEmulator]]) -> None:
    """`pytest_plugins = ["rcnetd.emulator.testing"]` in somebody's tests of their image."""
    with rackconnect("servers: [{timeline: [{at: 0, gateway: 10.180.31.254}]}]") as api:
        assert ANSWERED == get(api)


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`rcnetctl emulate` on a free port; the process and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rcnetd.ctl.main", "emulate", *arguments, "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on http"), process.stderr.read()
        yield process, int(line.rpartition(":")[2])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.fixture
def timeline(tmp_path: Path) -> str:
    """A timeline file for any server."""
    path = tmp_path / "timeline.yaml"
    path.write_text("servers: [{timeline: [{at: 0, gateway: 10.180.31.254}]}]")
    return str(path)


def test_the_command_and_curl(timeline: str, tmp_path: Path) -> None:
    """The README's example; SIGTERM ends it with 0."""
    curl = shutil.which("curl")
    if curl is None:
        missing("curl", "curl is not installed")
    ca_file = tmp_path / "ca.pem"
    with command(timeline, "--ca-file", str(ca_file), "--log") as (process, port):
        url = f"https://localhost:{port}/v1/gateway_ip"
        done = subprocess.run(
            [curl, "-sS", "--cacert", str(ca_file), url], capture_output=True, text=True,
            check=True, timeout=PATIENCE,
        )  # fmt: skip
        assert "10.180.31.254" == done.stdout
        assert process.stdout is not None
        assert "GET /v1/gateway_ip -> 200, 1 this minute" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(PATIENCE)


def test_a_fault_for_a_while_and_a_log_for_programs(timeline: str) -> None:
    """`--fault NAME --fault-on OPERATION --fault-for S`, `--log-format json`, `--plain`."""
    with command(
        timeline, "--plain", "--fault", "http-503", "--fault-on", "gateway_ip", "--fault-for",
        "500ms", "--log", "--log-format", "json",
    ) as (process, port):  # fmt: skip
        statuses: list[int] = []
        end = time.monotonic() + PATIENCE
        while 200 not in statuses and time.monotonic() < end and len(statuses) < 29:
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/v1/gateway_ip")
            statuses.append(connection.getresponse().status)
            connection.close()
            assert process.stdout is not None
            assert statuses[-1] == json.loads(process.stdout.readline())["status"]
            time.sleep(0.05)  # the pace of a client, not a wait for anything
    assert {503, 200} == set(statuses)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.yaml"], 78, "Failed to read 'none.yaml': No such file or directory"),
        ([], 2, "SCENARIO is missing"),
        (["{}", "--listen", "here"], 2, "'here' is not IP:PORT"),
        (["{}", "--listen", "127.0.0.1:70000"], 2, "is not IP:PORT"),
        (["{}", "--cert", "x"], 2, "--cert and --key need each other"),
        (["{}", "--cert", "none.pem", "--key", "none.pem"], 78, "No such file"),
        (["{}", "--fault", "hung"], 2, "invalid choice: 'hung'"),
        (["{}", "--fault-for", "soon"], 2, "'soon' is no length of time"),
        (["{}", "--fault", "refuse", "--fault-on", "gateway_ip"], 2, "leave out --fault-on"),
        (["{}", "--listen", "192.0.2.1:8443"], 71, "Failed to serve: "),
        (["{}", "--ca-file", "/none/ca.pem"], 71, "Failed to serve: "),
    ],
)
def test_mistakes_on_the_command_line(
    timeline: str, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    """One line, and an exit code."""
    try:
        found = main([argument.replace("{}", timeline) for argument in arguments])
    except SystemExit as error:
        found = int(error.code or 0)

    assert code == found
    assert words in capsys.readouterr().err.splitlines()[-1]


def test_a_certificate_of_ones_own(tmp_path: Path, timeline: str) -> None:
    """Files that hold no certificate are one line, not a traceback."""
    (tmp_path / "x.pem").write_text("nothing")
    path = str(tmp_path / "x.pem")

    assert 78 == main([timeline, "--cert", path, "--key", path])


def test_the_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With a sentence for each."""
    assert 0 == main(["--list-faults"])

    lines = capsys.readouterr().out.splitlines()
    assert set(FAULTS) == {line.split()[0] for line in lines}
    assert set(ANSWER) < set(FAULTS)
