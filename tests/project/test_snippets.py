"""What the README tells people to type, typed. (Baking is done in tests/boot/test_image.py.)"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rcnetd.emulator.testing import emulator
from rcnetd.store.paths import Paths
from tests.conftest import missing
from tests.unit.ctl.test_status import content, write

TREE = Path(__file__).parents[2]
TEXT = (TREE / "README.md").read_text(encoding="utf-8")
SNIPPETS = dict(re.findall(r"<!-- snippet: (\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))
TESTED = {"bake", "cloud-init", "wait", "ansible", "python", "curl"}


def test_each_snippet_has_its_test() -> None:
    """Here, or in tests/boot/test_image.py; the README marks the one that has none."""
    assert TESTED == SNIPPETS.keys()
    assert "With Packer (untested;" in TEXT.partition("```hcl")[0].splitlines()[-2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A server that is ready, and `rcnetctl` on the path."""
    paths = Paths(tmp_path / "run", tmp_path / "state")
    paths.run.mkdir()
    write(paths, content("ready"))
    program = tmp_path / "bin/rcnetctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rcnetd.ctl.main "$@"\n')
    program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{program.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNTIME_DIRECTORY": str(paths.run),
        "PYTHONPATH": str(TREE),
        "HOME": str(tmp_path),
    }


def run(environ: dict[str, str], *command: str) -> str:
    """Run it; returns what it printed."""
    done = subprocess.run(
        command, env=environ, check=False, text=True, timeout=120, cwd=environ["HOME"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_waiting_in_a_script(environ: dict[str, str]) -> None:
    """It goes on; where it cannot come, the script ends."""
    script = SNIPPETS["wait"] + "echo went on\n"

    assert run(environ, "sh", "-c", script).endswith("went on\n")
    Path(environ["RUNTIME_DIRECTORY"], "status.json").unlink()
    done = subprocess.run(
        ["sh", "-c", script], env=environ, check=False, capture_output=True, text=True, timeout=60
    )
    assert (3, "") == (done.returncode, done.stdout)


def test_waiting_in_python(environ: dict[str, str]) -> None:
    """The exit code, and the status."""
    said = run(environ, sys.executable, "-c", SNIPPETS["python"])

    assert said.endswith("0 ready, guarding the default route via 10.180.31.254 dev eth1\n")
    Path(environ["RUNTIME_DIRECTORY"], "status.json").unlink()
    said = run(environ, sys.executable, "-c", SNIPPETS["python"])
    assert said.endswith("3 rcnetd has not run\n")


def test_waiting_in_ansible(environ: dict[str, str]) -> None:
    """A task of a real playbook, run by the real program."""
    if shutil.which("ansible-playbook", path=environ["PATH"]) is None:
        missing("lint", "ansible-playbook is not installed")
    tasks = "".join(f"    {line}\n" for line in SNIPPETS["ansible"].splitlines())
    playbook = Path(environ["HOME"], "playbook.yaml")
    playbook.write_text(f"- hosts: localhost\n  gather_facts: false\n  tasks:\n{tasks}")
    settings = {
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    command = ["ansible-playbook", "--connection", "local", "--inventory", "localhost,"]
    said = run({**environ, **settings}, *command, str(playbook))

    assert re.search(r"ok=1 +changed=0 .*failed=0", said), said


def test_waiting_with_curl(environ: dict[str, str]) -> None:
    """Under the API's own name, over verified TLS; not yet DEPLOYED the first time."""
    if shutil.which("curl") is None:
        missing("lint", "curl is not installed")
    timeline = "servers: [{start: first-request, timeline: [{at: 1s, status: DEPLOYED}]}]"
    script = SNIPPETS["curl"].replace("sleep 10", "sleep 1")
    with emulator(timeline) as api:
        Path(environ["HOME"], ".curlrc").write_text(
            f'cacert = "{api.ca_file}"\nconnect-to = "::127.0.0.1:{api.url.rpartition(":")[2]}"\n'
        )
        begin = time.monotonic()
        run({**environ, "CURL_HOME": environ["HOME"]}, "sh", "-c", script)
        asked = [request.target for request in api.requests]

    assert time.monotonic() - begin < 30
    assert 2 <= len(asked) == asked.count("/v1/automation_status?format=text")


def test_the_emulators_answer() -> None:
    """The body that rcnetd-emulator(5) shows is the one that is sent."""
    page = TREE / "packaging/man/rcnetd-emulator.5.rst"
    shown = re.search(r"curl --cacert ca.pem \S+\n +(\{.*\})", page.read_text(encoding="utf-8"))
    assert shown is not None
    assert {"gateway_ip": "10.180.31.254"} == json.loads(shown[1])
