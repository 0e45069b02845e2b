"""`./dev` on an imitated fresh machine: an empty environment, a PATH with next to nothing, and no network.

The checkout is a toy with the real script. Its packages are wheels made here, found through pip's own variables.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COREUTILS = ("cat", "dirname", "mkdir", "readlink", "rm")
PYTHON = f"python3.{sys.version_info.minor}"

BACKEND = """
import os, pathlib, signal
from toy_wheel import wheel
def build_editable(directory, config_settings=None, metadata_directory=None):
    hang = os.environ.get("TOY_HANG")
    if hang:
        pathlib.Path(hang).write_text("here")
        signal.pause()
    files = {"tacit.pth": os.path.abspath("src") + "\\n"}
    return wheel(pathlib.Path(directory), "tacit", "1", files, "[console_scripts]\\ntacit=tacit.toy:main\\n").name
"""
WHEEL_SOURCE = '''
import base64, hashlib, zipfile
def wheel(folder, name, version, files, entry_points=""):
    """A pure wheel of `files`."""
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: toy\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    if entry_points:
        files[f"{info}/entry_points.txt"] = entry_points
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}\\n"
        for path, text in files.items()
    )
    files[f"{info}/RECORD"] = record + f"{info}/RECORD,,\\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return path
'''
MAIN = """
import sys
def main():
    print("toy tacit", *sys.argv[1:], sep="|")
"""


def wheel(folder: Path, name: str, version: str, files: dict[str, str], entry_points: str = "") -> str:
    """Makes a wheel and gives its locked line."""
    space: dict[str, object] = {"base64": base64, "hashlib": hashlib, "zipfile": zipfile}
    exec(WHEEL_SOURCE, space)
    path: Path = space["wheel"](folder, name, version, files, entry_points)  # type: ignore[operator]
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


class Machine:
    """A fresh machine with a toy checkout on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "a checkout with spaces"
        self.bin = folder / "bin"
        self.wheels = folder / "wheels"
        for path in (self.checkout / "requirements", self.checkout / "src" / "tacit", self.bin, self.wheels):
            path.mkdir(parents=True)
        for tool in ("sh", *COREUTILS):
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        shutil.copy(ROOT / "dev", self.checkout)
        (self.checkout / "src" / "tacit" / "toy.py").write_text(MAIN, encoding="utf-8")
        (self.checkout / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "toy_backend"\n[project]\nname = "tacit"\nversion = "1"\n',
            encoding="utf-8",
        )
        self.lock(
            "build", wheel(self.wheels, "toyback", "1", {"toy_backend.py": BACKEND, "toy_wheel.py": WHEEL_SOURCE})
        )
        program = "[console_scripts]\ntoyrun=toyrun:main\n"
        self.lock("runtime", wheel(self.wheels, "toyrun", "1", {"toyrun.py": "def main(): pass\n"}, program))
        tests = "import sys\nprint('toy pytest', *sys.argv[1:], sep='|')\n"
        self.lock("test", wheel(self.wheels, "toytest", "1", {"pytest/__init__.py": "", "pytest/__main__.py": tests}))

    def lock(self, name: str, text: str) -> None:
        (self.checkout / "requirements" / f"{name}.txt").write_text(text, encoding="utf-8")

    def python(self, text: str, name: str = PYTHON) -> None:
        path = self.bin / name
        path.write_text("#!/bin/sh\n" + text, encoding="utf-8")
        path.chmod(0o755)

    def real_python(self) -> None:
        (self.bin / PYTHON).symlink_to(base_python())

    def python_with(self, *, pip: bool) -> None:
        """Debian's bare python3: no ensurepip; with `pip` it has python3-pip."""
        has = f"exec '{python_with_pip()}' \"$@\"" if pip else "exit 1"
        self.python(
            f"""case " $* " in
    *" -m venv --without-pip "*) ;;
    *" -m venv "*) echo 'ensurepip is not available' >&2; exit 1 ;;
    *" -m pip "*) {has} ;;
esac
exec '{base_python()}' "$@"
"""
        )

    def environment(self, **more: str) -> dict[str, str]:
        return {
            "PATH": str(self.bin), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri(), **more,
        }  # fmt: skip

    def dev(self, *arguments: str, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.checkout / "dev"), *arguments],
            cwd=cwd or self.checkout,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def base_python() -> str:
    """The Python that this environment was made with."""
    return str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())


def python_with_pip() -> str:
    if importlib.util.find_spec("pip"):
        return sys.executable
    return base_python()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def kill_group(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        if process.poll() is None:
            kill_group(process)


def test_a_fresh_machine_with_venv(machine: Machine) -> None:
    if importlib.util.find_spec("ensurepip") is None:
        pytest.skip("this Python has no ensurepip (Debian: python3-venv)")
    machine.real_python()
    first = machine.dev("demo", "--two words", "x y", cwd=machine.folder)
    assert (first.returncode, first.stdout) == (0, "toy tacit|demo|--two words|x y\n"), first.stderr
    assert "Installing tacit's packages" in first.stderr
    assert not list(machine.checkout.glob(".venv/lib/*/site-packages/pytest"))
    second = machine.dev("test", "-k", "some thing")
    assert (second.returncode, second.stdout) == (0, "toy pytest|-n|2|--dist|worksteal|-k|some thing\n"), second.stderr
    assert "Installing the test packages" in second.stderr

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    again = machine.dev("test")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Of the processor, however busy it is with something else; CI sees the second itself pass.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0
    assert (again.returncode, again.stderr) == (0, "")
    assert (machine.checkout / ".venv" / "bin" / "tacit").exists()


def test_a_fresh_machine_with_pip_alone(machine: Machine) -> None:
    machine.python_with(pip=True)
    done = machine.dev("test")
    assert (done.returncode, done.stdout) == (0, "toy pytest|-n|2|--dist|worksteal\n"), done.stderr
    tacit = subprocess.run([machine.checkout / ".venv" / "bin" / "tacit"], capture_output=True, text=True, check=True)
    assert tacit.stdout == "toy tacit\n"


@pytest.mark.parametrize("machine_has", ["no python", "neither venv nor pip", "an old python", "a broken shim"])
def test_what_is_missing_is_named_with_the_apt_command(machine: Machine, machine_has: str) -> None:
    match machine_has:
        case "neither venv nor pip":
            machine.python_with(pip=False)
        case "an old python":
            machine.python("exit 1", "python3")
        case "a broken shim":
            machine.python("echo 'command not found in this version' >&2; exit 127", "python3")
    for command in ("demo", "test", "check", "adversary", "fuzz", "vectors", "interop", "bench", "lock"):
        done = machine.dev(command)
        assert done.returncode == 2
        assert "apt-get install -y python3 python3-venv" in done.stderr
        assert not (machine.checkout / ".venv").exists()


def test_a_broken_shim_does_not_hide_a_working_python(machine: Machine) -> None:
    machine.python("exit 127", "python3")
    machine.python_with(pip=True)
    assert machine.dev("demo").returncode == 0


def test_the_callers_settings_for_python_and_pip_do_no_harm(machine: Machine) -> None:
    machine.python_with(pip=True)
    trap = machine.folder / "trap"
    trap.mkdir()
    (trap / "sitecustomize.py").write_text("raise SystemExit('trapped')", encoding="utf-8")
    (trap / "constraint.txt").write_text("toyrun==99\n", encoding="utf-8")
    done = machine.dev(
        "demo",
        PYTHONPATH=str(trap), PYTHONHOME="/nowhere", PYTHONWARNINGS="error", HOME="", CDPATH="/",
        PYTHONDONTWRITEBYTECODE="1",
        PIP_TARGET=str(trap), PIP_USER="1", PIP_CONSTRAINT=str(trap / "constraint.txt"), PIP_REQUIRE_HASHES="1",
        PIP_NO_DEPS="1", PIP_DRY_RUN="1", PIP_NO_BINARY=":all:", PIP_REQUIRE_VIRTUALENV="1", PIP_QUIET="3",
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "toy tacit|demo\n"), done.stderr
    assert list(machine.checkout.glob("src/tacit/__pycache__/toy.*.pyc"))  # compiled once, not at each start


def test_an_index_that_gives_nothing_fails_and_is_tried_again(machine: Machine) -> None:
    machine.python_with(pip=True)
    nothing = machine.folder / "nothing"
    nothing.mkdir()
    done = machine.dev("demo", PIP_FIND_LINKS=nothing.as_uri())
    assert done.returncode == 1
    assert "No matching distribution" in done.stderr
    again = machine.dev("demo")
    assert again.returncode == 0
    assert "interrupted" not in again.stderr


def test_a_wrong_or_missing_hash_is_refused(machine: Machine) -> None:
    machine.python_with(pip=True)
    lock = machine.checkout / "requirements" / "runtime.txt"
    lock.write_text(lock.read_text(encoding="utf-8").split("sha256:")[0] + "sha256:" + "0" * 64 + "\n")
    done = machine.dev("demo")
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stderr
    for name in ("build", "runtime"):
        pins = (machine.checkout / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        machine.lock(name, pins.split(" \\")[0] + "\n")
    done = machine.dev("demo")
    assert done.returncode == 1
    assert "Hashes are required" in done.stderr


@pytest.mark.parametrize("killed", ["everything", "the script alone"])
def test_a_set_up_that_was_killed_is_done_anew(
    machine: Machine, started: list[subprocess.Popen[str]], killed: str
) -> None:
    machine.python_with(pip=True)
    flag = machine.folder / "hanging"
    process = subprocess.Popen(
        [str(machine.checkout / "dev"), "demo"],
        env=machine.environment(TOY_HANG=str(flag)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    started.append(process)
    while not flag.exists():
        assert process.poll() is None
        time.sleep(0.01)
    if killed == "the script alone":
        # Its pip goes on and holds the lock; the next command waits until that is over.
        process.kill()
        process.wait()
        waiting = subprocess.Popen(
            [str(machine.checkout / "dev"), "demo"],
            env=machine.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        started.append(waiting)
        assert waiting.stderr is not None
        assert "Another ./dev" in waiting.stderr.readline()
        os.killpg(process.pid, signal.SIGKILL)
        out, err = waiting.communicate()
        assert (waiting.returncode, out) == (0, "toy tacit|demo\n"), err
        return
    kill_group(process)
    (half,) = machine.checkout.glob(".venv/lib/*/site-packages/toyrun.py")
    half.unlink()  # as pip leaves it between two files; it would call this installed
    again = machine.dev("demo")
    assert half.exists()
    assert (again.returncode, again.stdout) == (0, "toy tacit|demo\n"), again.stderr
    assert "interrupted" in again.stderr


def test_a_moved_checkout_and_a_vanished_python_are_set_up_anew(machine: Machine) -> None:
    machine.python_with(pip=True)
    assert machine.dev("demo").returncode == 0
    moved = machine.folder / "moved"
    machine.checkout.rename(moved)
    machine.checkout = moved
    assert machine.dev("demo").stdout == "toy tacit|demo\n"
    subprocess.run([moved / ".venv" / "bin" / "toyrun"], check=True)
    python = moved / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert machine.dev("demo").stdout == "toy tacit|demo\n"


def test_a_changed_pin_is_installed(machine: Machine) -> None:
    machine.python_with(pip=True)
    assert machine.dev("demo").returncode == 0
    machine.lock("runtime", wheel(machine.wheels, "toyrun", "2", {"toyrun.py": ""}))
    assert machine.dev("demo").returncode == 0
    assert list(machine.checkout.glob(".venv/lib/*/site-packages/toyrun-2.dist-info"))
    assert machine.dev("demo").stderr == ""


def test_an_environment_that_is_there_already_is_kept(machine: Machine) -> None:
    machine.python_with(pip=True)
    venv = machine.checkout / ".venv"
    subprocess.run([base_python(), "-m", "venv", "--without-pip", venv], check=True)
    (venv / "mine").touch()
    assert machine.dev("demo").returncode == 0
    assert (venv / "mine").exists()


def test_a_wrong_command_is_refused_before_anything_is_made(machine: Machine) -> None:
    done = machine.dev("dance")
    assert done.returncode == 2
    assert "no command 'dance'" in done.stderr
    assert machine.dev("help").stdout.startswith("usage: ./dev COMMAND")
    assert not (machine.checkout / ".venv").exists()


def test_the_script_is_called_through_a_link(machine: Machine) -> None:
    machine.python_with(pip=True)
    link = machine.folder / "link"
    link.symlink_to(machine.checkout / "dev")
    done = subprocess.run([link, "demo"], env=machine.environment(), capture_output=True, text=True, check=False)
    assert done.stdout == "toy tacit|demo\n", done.stderr
