"""Builds the Lambda's zip reproducibly, byte for byte, for `./dev package`.

Dependencies come from the hash-locked requirements as wheels for the target's platform; nothing is compiled here. If
the target's Python is installed, the zip holds bytecode, without which Django's import takes four times as long. The
bytecode is unchecked-hash, so that no timestamp decides whether it is used.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "discord_api",
    "telemetry",
    "guilds",
    "jobs",
    "interactions_lambda",
    "sparkle_site/settings",
    "sparkle_site/rds",
)
LEFT_OUT = {"packaging.py", "__pycache__"}
# Not needed at run time.
PRUNED = (
    "**/__pycache__", "**/tests", "bin", "**/*.pyi", "django/contrib/*/locale", "django/conf/locale/*/LC_MESSAGES/*.po",
)  # fmt: skip
# botocore describes every AWS service (19 MB). The code creates clients of these alone; the shared files beside them
# (partitions, endpoints, retries) stay. tests/terraform/test_package.py compares this with the code.
SERVICES = ("rds", "s3", "secretsmanager", "sqs")
DESCRIPTIONS = ("botocore/data", "boto3/data")
PLATFORMS = {"arm64": "manylinux2014_aarch64", "x86_64": "manylinux2014_x86_64"}
EPOCH = (1980, 1, 1, 0, 0, 0)
LIMIT = 250 * 1024 * 1024  # Lambda's limit, unpacked


class BuildFailed(Exception):
    """The zip could not be built; the message is one line for a person."""


def install(folder: Path, *, architecture: str, python: str) -> None:
    """Unpack the locked wheels for the target into `folder`. Raise BuildFailed."""
    platform = PLATFORMS[architecture]
    newer = [platform.replace("2014", f"_2_{minor}") for minor in (17, 24, 26, 27, 28, 31, 34)]
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes"),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", python, "--target", str(folder)),
        *(argument for tag in (platform, *newer) for argument in ("--platform", tag)),
        *("--requirement", str(ROOT / "requirements" / "headless.txt")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise BuildFailed(errors[-1] if errors else "pip could not install the requirements")


def copy_packages(folder: Path) -> None:
    """Copy the project's own packages beside the dependencies."""
    (folder / "sparkle_site").mkdir()
    (folder / "sparkle_site" / "__init__.py").touch()
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=lambda _, names: LEFT_OUT & set(names))


def prune(folder: Path) -> None:
    """Delete what never runs in Lambda."""
    for pattern in PRUNED:
        for path in sorted(folder.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
    for services in DESCRIPTIONS:
        for path in (folder / services).iterdir():
            if path.is_dir() and path.name not in SERVICES:
                shutil.rmtree(path)


def compile_for(folder: Path, python: str) -> bool:
    """Write bytecode with the target's Python. Return False if it is not installed."""
    same = f"{sys.version_info.major}.{sys.version_info.minor}" == python
    program = sys.executable if same else shutil.which(f"python{python}")
    if program is None:
        return False
    done = subprocess.run(
        [program, "-m", "compileall", "-q", "-s", str(folder), "--invalidation-mode", "unchecked-hash", str(folder)],
        # The order of set constants in bytecode depends on string hashes.
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def write_zip(folder: Path, target: Path) -> None:
    """Zip the folder in sorted order with one timestamp, so that equal content gives equal bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o755 if path.suffix == ".so" else 0o644) << 16
                archive.writestr(entry, path.read_bytes(), compresslevel=9)


def cold_import_ms(folder: Path) -> float | None:
    """Return the time in ms to import the handler from the package alone, None on another platform."""
    code = (
        "import time, sys; began = time.perf_counter(); import interactions_lambda.handler; "
        "print((time.perf_counter() - began) * 1000)"
    )
    environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(folder), "DISCORD_PUBLIC_KEY": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return float(done.stdout) if done.returncode == 0 else None


def build(target: Path, *, architecture: str, python: str) -> None:
    """Build the zip and print its size and hash. Raise BuildFailed."""
    with tempfile.TemporaryDirectory(prefix="sparkle-package-") as name:
        folder = Path(name)
        install(folder, architecture=architecture, python=python)
        copy_packages(folder)
        prune(folder)
        compiled = compile_for(folder, python)
        unpacked = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if unpacked > LIMIT:
            raise BuildFailed(f"{unpacked / 2**20:.0f} MiB unpacked, more than Lambda's limit of 250")
        write_zip(folder, target)
        milliseconds = cold_import_ms(folder)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB, {unpacked / 2**20:.0f} MiB unpacked, sha256 {digest}")
    print(f"for Python {python} on {architecture}, {'with' if compiled else 'WITHOUT'} bytecode", end="")
    print("" if compiled else f": python{python} is not installed here, so cold starts will be slower")
    if milliseconds is None:
        print("cold import: not measured, this machine cannot run the target platform's libraries")
    else:
        print(f"cold import of the handler: {milliseconds:.0f} ms")
