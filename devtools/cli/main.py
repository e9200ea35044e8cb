"""Implements ./dev: create the virtual environment, then run a command in it. Standard library only."""

from __future__ import annotations

import ast
import difflib
import errno
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
STAMP = VENV / "sparkle-requirements"
LOCAL = ROOT / ".local"
LOCK = ROOT / "requirements" / "dev.txt"
# Not in the lock: the hash differs between the CPU and CUDA builds, and pip's settings say which one is wanted here.
TORCH = ROOT / "requirements" / "torch.txt"
PIP_INSTALL = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
# The lock names every package itself; without --no-deps it would ask for PyTorch.
LOCKED = ("--no-deps", "--require-hashes", "-r", str(LOCK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command of ./dev. `arguments` follow the environment's python; without the file `needs` it is not offered."""

    help: str
    arguments: tuple[str, ...] = ()
    needs: str = "dev"
    usage: str = ""
    from_here: bool = False
    """Run in the caller's folder, so that relative file names on the command line work."""


COMMANDS = {
    "demo": Command(
        help="run Sparkle on this machine with a Discord simulator",
        arguments=("-m", "devtools.demo.main"),
        needs="devtools/demo/main.py",
        usage="[--once PROMPT]",
        from_here=True,
    ),
    "test": Command(help="run the tests", arguments=("-m", "pytest"), usage="[OPTIONS OF PYTEST]"),
    "check": Command(help="check style, types, imports, templates, docs and Terraform"),
    "bench": Command(
        help="run benchmarks",
        arguments=("-m", "benchmarks"),
        needs="benchmarks/__main__.py",
        usage="[NAME ...]",
        from_here=True,
    ),
    "cost": Command(
        help="calculate the monthly bill of a Terraform plan",
        arguments=("-m", "devtools.cost"),
        needs="devtools/cost/__main__.py",
        usage="[--plan FILE]",
        from_here=True,
    ),
    "package": Command(
        help="build the Lambda package (reproducible zip)",
        arguments=("-m", "devtools.cli.package"),
        needs="devtools/cli/package.py",
        usage="[--out FILE]",
        from_here=True,
    ),
    "doctor": Command(
        help="show what is missing before terraform apply",
        arguments=("-m", "devtools.cli.doctor"),
        needs="devtools/cli/doctor.py",
        from_here=True,
    ),
    "deploy": Command(
        help="run or show a deployment in AWS",
        arguments=("-m", "devtools.cli.deploy"),
        needs="devtools/cli/deploy.py",
        usage="run | status",
        from_here=True,
    ),
    "images": Command(
        help="build the container images without an engine, and check them",
        arguments=("-m", "devtools.images"),
        needs="devtools/images/__main__.py",
        usage="[--check]",
    ),
    "chaos": Command(
        help="inject faults under load and check that nothing is lost",
        arguments=("-m", "devtools.chaos"),
        needs="devtools/chaos/__main__.py",
        from_here=True,
    ),
    "soak": Command(
        help="run a steady load for an hour and check memory",
        arguments=("-m", "devtools.soak"),
        needs="devtools/soak/__main__.py",
        from_here=True,
    ),
    "fuzz": Command(
        help="send generated hostile interactions to the handler",
        arguments=("-m", "devtools.fuzz"),
        needs="devtools/fuzz.py",
        from_here=True,
    ),
    "mutate": Command(
        help="run mutation tests on the pure modules",
        arguments=("-m", "devtools.cli.mutation"),
        needs="devtools/cli/mutation.py",
        usage="[MODULE ...]",
        from_here=True,
    ),
    "docs": Command(
        help="serve the documentation, or update its generated pages",
        arguments=("-m", "devtools.docs"),
        needs="devtools/docs/__main__.py",
        usage="[--write]",
        from_here=True,
    ),
    "security": Command(
        help="run static analysis, a vulnerability audit and an SBOM",
        arguments=("-m", "devtools.cli.security"),
        needs="devtools/cli/security.py",
        from_here=True,
    ),
    "screenshots": Command(
        help="update the screenshots in the documentation",
        arguments=("-m", "devtools.screenshots"),
        needs="devtools/screenshots.py",
        from_here=True,
    ),
    "manage": Command(help="run a Django management command", arguments=("manage.py",), usage="COMMAND ..."),
}
CHECKS: dict[str, tuple[str, ...]] = {
    "lint": ("ruff", "check", ".", "dev"),
    "formatting": ("ruff", "format", "--check", ".", "dev"),
    "import contracts": ("lint-imports", "--no-cache"),
    "templates": ("djlint", "--lint", "--quiet", "templates", "sparkle_site"),
    "words": ("codespell",),
    "docs": ("mkdocs", "build", "--strict", "--quiet"),
    # Test code is not type-checked: a wrong type fails the test itself.
    "types": ("mypy", ".", "--exclude", "^tests/"),
}
# The Terraform checks decide themselves what to skip.
TERRAFORM_CHECK = "tests/terraform/static_checks.py"


class Stop(Exception):
    """Ends ./dev with a one-line message."""

    def __init__(self, line: str, status: int = 1) -> None:
        super().__init__(line)
        self.status = status


def main(argv: Sequence[str]) -> int:
    """Run ./dev with `argv` (without the program's name) and return the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _run(argv)
    except Stop as stop:
        print(f"dev: {stop}", file=sys.stderr)
        return stop.status
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno == errno.ENOSPC:
            print("dev: the disk is full.", file=sys.stderr)
        else:
            print(f"dev: {error.filename or ROOT}: {error.strerror}.", file=sys.stderr)
        return 1


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _run(argv: Sequence[str]) -> int:
    word, *rest = argv or ["help"]
    if word in ("help", "-h", "--help"):
        print(help_text())
        return 0
    command = available().get(word)
    if command is None:
        near = difflib.get_close_matches(word, available(), n=1)
        hint = f'Did you mean "{near[0]}"?' if near else "See ./dev help."
        raise Stop(f'unknown command "{word}". {hint}', status=2)
    ensure_environment()
    if word == "check":
        return check(rest)
    variables = environment()
    if command.from_here:
        # A folder of the caller must not shadow one of our packages.
        variables["PYTHONSAFEPATH"] = "1"
    else:
        os.chdir(ROOT)
    sys.stdout.flush()
    # The command replaces this process, so it gets signals and the terminal directly.
    os.execve(PYTHON, [str(PYTHON), *command.arguments, *rest], variables)


def available() -> dict[str, Command]:
    """Return the commands whose module exists in this checkout."""
    return {word: command for word, command in COMMANDS.items() if (ROOT / command.needs).exists()}


def help_text() -> str:
    lines = [f"  {f'{word} {command.usage}'.strip():<27} {command.help}" for word, command in available().items()]
    return textwrap.dedent("""\
        Sparkle: Stable Diffusion for many Discord servers.

        usage: ./dev COMMAND [ARGUMENTS]

        {commands}

        The first command installs everything into .venv. Data is kept in .local. Delete both to start over.
        Settings come from the environment, such as DATABASE_URL and MODEL_ID. See ./dev COMMAND --help.""").format(
        commands="\n".join(lines)
    )


def environment() -> dict[str, str]:
    """Return the environment of a command: the virtual environment first, this checkout importable from anywhere."""
    return os.environ | {
        "VIRTUAL_ENV": str(VENV),
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
    }


def ensure_environment() -> None:
    """Install requirements/ into .venv. Raises Stop when that fails."""
    wanted = _requirements_hash()
    if _installed() == wanted:
        return
    LOCAL.mkdir(exist_ok=True)
    with (LOCAL / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _installed() == wanted:  # Another ./dev installed it.
            return
        log = LOCAL / "install.log"
        log.unlink(missing_ok=True)
        # Without pyvenv.cfg, pip would install into the system.
        whole = (VENV / "pyvenv.cfg").exists() and PYTHON.exists()
        if not whole or _logged(log, PYTHON, "-m", "pip", "--version"):
            _step("Creating .venv", log, (sys.executable, "-m", "venv", "--clear", VENV))
        # Most modules are never imported, so compiling all of them would waste time.
        uv = (UV, "pip", "install", "--no-progress", "--python", PYTHON, *LOCKED)
        ways = ([uv] if _has_uv(log) else []) + [(PYTHON, *PIP_INSTALL, "--no-compile", *LOCKED)]
        _step("Installing everything but PyTorch", log, *ways, more=uv_settings() if len(ways) > 1 else {})
        _step("Installing PyTorch", log, (PYTHON, *PIP_INSTALL, "-r", TORCH))
        STAMP.write_text(wanted)


def _has_uv(log: Path) -> bool:
    """Install the locked uv by its hash. Return False if that fails; pip is used instead."""
    pinned = LOCAL / "uv.txt"
    pinned.write_text(pin("uv", LOCK.read_text()))
    if not pinned.stat().st_size:
        return False
    return _logged(log, PYTHON, *PIP_INSTALL, "--no-deps", "--require-hashes", "-r", pinned) == 0


def pin(package: str, lock: str) -> str:
    """Return the lines of `lock` that name the package's version and hashes, "" where it has none."""
    found = re.search(rf"^{re.escape(package)}==.*(?:\n[ \t]+.*)*\n?", lock, re.MULTILINE)
    return found[0] if found else ""


def uv_settings() -> dict[str, str]:
    """Return what pip is configured with, in uv's variables, which uv does not look up itself; the caller's own win."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], env=environment(), capture_output=True, text=True, check=False
    )
    return {name: value for name, value in translate(listed.stdout).items() if name not in os.environ}


def translate(listed: str) -> dict[str, str]:
    """Return uv's variables for the output of `pip config list`."""
    options: dict[str, str] = {}
    # A variable counts more than the section of the command, and that more than the one of all commands.
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.startswith(f"{section}."):
                with suppress(ValueError, SyntaxError):
                    options[name.removeprefix(f"{section}.").replace("_", "-")] = str(ast.literal_eval(value))
    variables = {
        variable: separator.join(options[option].split())
        for option, (variable, separator) in UV_NAMES.items()
        if options.get(option, "").strip()
    }
    if options.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        variables["UV_NO_INDEX"] = "true"
        variables["UV_OFFLINE"] = "true"
    if proxy := variables.pop("PROXY", ""):
        variables |= {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    # pip takes the best match of all indexes; with hashes no index can slip in another file.
    return variables | {"UV_INDEX_STRATEGY": "unsafe-best-match"}


# pip's option -> uv's variable, and what stands between several values.
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "keyring-provider": ("UV_KEYRING_PROVIDER", " "),
}


def _installed() -> str:
    return STAMP.read_text() if STAMP.exists() and PYTHON.exists() else ""


def _requirements_hash() -> str:
    digest = hashlib.sha256()
    for file in (TORCH, LOCK):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _step(title: str, log: Path, *ways: tuple[str | Path, ...], more: Mapping[str, str] | None = None) -> None:
    """Run the first of `ways`, or the next where one fails, with `more` in its environment. Raises Stop."""
    print(f"{title} ... ", end="", flush=True)
    started = time.monotonic()
    if all(_logged(log, *way, more=more) for way in ways):
        print("failed", flush=True)
        raise Stop(f"{_reason(log.read_text(errors='replace'))} (full log: {log.relative_to(ROOT)})")
    print(f"{time.monotonic() - started:.0f} s", flush=True)


def _logged(log: Path, *command: str | Path, more: Mapping[str, str] | None = None) -> int:
    with log.open("a") as output:
        return _call(command, output=output, more=more)


def _reason(log: str) -> str:
    """Return one line saying why pip or venv failed."""
    if "No space left" in log:
        return "the disk is full"
    if "ensurepip is not available" in log:
        return "this Python cannot create virtual environments. Install python3-venv"
    if any(sign in log for sign in ("NewConnectionError", "NameResolutionError", "Read timed out", "ConnectTimeout")):
        return "a download failed. Check that the package index is reachable, then run the command again"
    errors = [line for line in log.splitlines() if line.startswith("ERROR:")]
    lines = errors or log.splitlines() or ["no reason given"]
    return lines[-1].removeprefix("ERROR: ").strip()


def _call(command: Sequence[str | Path], *, output: object = None, more: Mapping[str, str] | None = None) -> int:
    """Run `command` in the checkout and return its exit status; it does not outlive an interrupted ./dev."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment() | dict(more or {}),
        stdin=subprocess.DEVNULL,
        stdout=output,  # type: ignore[call-overload]
        stderr=subprocess.STDOUT if output else None,
    )
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def check(names: Sequence[str]) -> int:
    """Run the checks called `names`, or all; print a line each, and what a failed one said. Returns 0 or 1."""
    checks = {name: (str(PYTHON.with_name(program)), *rest) for name, (program, *rest) in CHECKS.items()}
    if (ROOT / TERRAFORM_CHECK).exists():
        checks["terraform"] = (str(PYTHON), "-m", TERRAFORM_CHECK.removesuffix(".py").replace("/", "."))
    if unknown := [name for name in names if name not in checks]:
        raise Stop(f'unknown check "{unknown[0]}". Choose from: {", ".join(checks)}.', status=2)
    LOCAL.mkdir(exist_ok=True)
    failed = []
    for name in names or checks:
        print(f"{name} ... ", end="", flush=True)
        log = LOCAL / "check.log"
        with log.open("w") as output:
            status = _call(checks[name], output=output)
        print("failed" if status else "ok", flush=True)
        if status:
            failed.append(name)
            print(log.read_text(errors="replace"), flush=True)
    if failed:
        print(f"Failed: {', '.join(failed)}.")
    return 1 if failed else 0
