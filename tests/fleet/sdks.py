"""The releases of openstacksdk that the distributions ship, each in an environment of its own.

`python -m tests.fleet.sdks [VERSION …]` runs the fleet's tests on each. They are kept in
${XDG_CACHE_HOME:-~/.cache}/rcnetd. All run on this Python but the oldest, which needs Python 3.9.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from rcnetd.basic.dataclass import dataclass

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Sdk:
    """A release with the keystoneauth that goes with it; it needs a Python *before* this one."""

    version: str
    keystoneauth: str
    where: str
    before: tuple[int, int] = (4, 0)


SDKS = (
    Sdk("0.50.0", "4.2.1", "Debian 11", before=(3, 10)),
    Sdk("0.101.0", "5.0.0", "Debian 12"),
    Sdk("4.4.0", "5.10.0", "Debian 13"),
    Sdk("4.22.0", "5.18.1", "the Python index"),
)
NEEDS = ("rackspaceauth", "rich", "pyyaml", "requests", "pytest", "pytest-mock", "hypothesis",
         "trustme", "setuptools<80")  # fmt: skip


def python_of(sdk: Sdk) -> str | None:
    """The interpreter to use; None if none here can run this release."""
    if sys.version_info < sdk.before:
        return sys.executable
    here = shutil.which("python3.9")
    pyenv = map(str, (Path.home() / ".pyenv/versions").glob("3.9.*/bin/python"))
    for python in (*pyenv, *filter(None, [here])):
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
            return python
    return None


def installed(sdk: Sdk) -> Path | None:
    """The interpreter of its environment, which is made at its first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rcnetd"
    folder, base = cache / f"openstacksdk-{sdk.version}", python_of(sdk)
    stamp = folder / "complete"
    if base is None:
        return None
    if not stamp.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(folder)], check=True)
        pinned = [f"openstacksdk=={sdk.version}", f"keystoneauth1=={sdk.keystoneauth}"]
        pip = [str(folder / "bin/pip"), "install", "-qq", "--disable-pip-version-check"]
        subprocess.run([*pip, *pinned, *NEEDS], check=True)
        stamp.touch()
    return folder / "bin/python"


def passes(sdk: Sdk) -> bool:
    """Run the fleet's tests with this release."""
    print(f"openstacksdk {sdk.version} ({sdk.where})", flush=True)
    python = installed(sdk)
    if python is None:
        print("skipped: it needs Python 3.9", flush=True)
        return os.environ.get("CI") != "true"
    command = [str(python), "-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "-W", "ignore", "tests/unit/fleet"]  # fmt: skip
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main(versions: list[str]) -> int:
    """Run all, or those that are named; the exit code is the number that failed."""
    return sum(not passes(sdk) for sdk in SDKS if not versions or sdk.version in versions)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
