"""`./dev security`: static analysis, an audit of the locked packages, and an SBOM (CycloneDX)."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import arguments

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("discord_api", "telemetry", "guilds", "jobs", "interactions_lambda", "gpu_worker", "sparkle_site")
LOCKS = ("headless", "web", "worker", "safety")
UNREACHED = "could not be audited"


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def analyse() -> bool:
    """Run bandit on every package. Exceptions carry their reason (`# nosec`)."""
    done = tool("bandit", "-q", "-c", "pyproject.toml", "-r", *PACKAGES)
    print("bandit: clean" if done.returncode == 0 else done.stdout)
    return done.returncode == 0


def audit() -> bool:
    """Run pip-audit on every lock. Packages without reachable advisories are reported as not audited."""
    clean = True
    for lock in LOCKS:
        done = tool("pip_audit", "-r", f"requirements/{lock}.txt", "--require-hashes", "--disable-pip")
        unreached = done.stdout.count(UNREACHED)
        if done.returncode and not unreached and "vulnerabilit" not in done.stdout:
            print(f"pip-audit {lock}: not audited, the advisory service can't be reached")
        elif done.returncode:
            print(done.stdout)
            clean = False
        elif unreached:
            print(f"pip-audit {lock}: {unreached} packages not audited, unknown to the advisory service")
        else:
            print(f"pip-audit {lock}: no known vulnerabilities")
    return clean


def materials(folder: Path) -> bool:
    """Write one CycloneDX file for each lock: names, versions, hashes."""
    folder.mkdir(parents=True, exist_ok=True)
    for lock in LOCKS:
        file = folder / f"sbom-{lock}.json"
        done = tool("cyclonedx_py", "requirements", f"requirements/{lock}.txt", "--of", "JSON", "-o", str(file))
        if done.returncode:
            print(f"sbom {lock}: {done.stderr.strip().splitlines()[-1]}")
            return False
        print(f"sbom: {file}")
    return True


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev security", description=__doc__ or "")
    parser.add_argument(
        "--out",
        type=arguments.folder_to_write,
        default=ROOT / "build",
        help="folder for the SBOM files (default: build/)",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    return 0 if all([analyse(), audit(), materials(options.out)]) else 1


if __name__ == "__main__":
    sys.exit(main())
