"""A base image from Debian's packages, laid out as the official Python image, for use without a registry.

Python is in /usr/local, its packages in site-packages, and pip has no restriction, as the Dockerfiles expect it.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from . import buildah

# Debian's releases by their Python. 3.12 is in none, so an image of 3.12 is tried with the one before.
SUITES = {"3.11": "bookworm", "3.12": "bookworm", "3.13": "trixie"}
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = "python3,python3-venv,python3-distutils,ca-certificates"
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


def named_in(dockerfile: str) -> list[str]:
    """Return the base images that a Dockerfile's FROM lines name, with the default of BASE_REGISTRY."""
    default = re.search(r"^ARG BASE_REGISTRY=(\S+)", dockerfile, re.MULTILINE)
    registry = default[1] if default else "docker.io/library"
    names = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    return sorted({name.replace("$BASE_REGISTRY", registry).replace("${BASE_REGISTRY}", registry) for name in names})


def version_of(name: str) -> str:
    """Return the Python version of an official image's name, such as "3.13"."""
    found = re.search(r"python:(3\.\d+)", name)
    if found is None or found[1] not in SUITES:
        raise buildah.CannotBuild(f"{name} is not a Python image of version {', '.join(SUITES)}.")
    return found[1]


def make(name: str) -> str:
    """Make the image `name` if it is not there; return the version of Python in it. Raises CannotBuild."""
    suite = SUITES[version_of(name)]
    if buildah.exists(name):
        return PYTHONS[suite]
    with tempfile.TemporaryDirectory(prefix="sparkle-base-") as folder:
        root = Path(folder) / "root"
        packages = PACKAGES if suite == "bookworm" else PACKAGES.replace("python3-distutils,", "")
        buildah.run(
            ["debootstrap", "--variant=minbase", f"--include={packages}", suite, str(root), mirror()], what=name
        )
        arrange(root, PYTHONS[suite])
        working = buildah.output("from", "scratch").strip()
        try:
            buildah.output("copy", "--quiet", working, str(root), "/")
            buildah.output("config", "--env", f"PATH={PATH}", working)
            buildah.output("commit", "--quiet", "--format", "docker", working, name)
        finally:
            buildah.output("rm", working)
    return PYTHONS[suite]


def mirror() -> str:
    """Return the address of this machine's own Debian mirror. Raises CannotBuild."""
    for file in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if file.is_file() and (found := re.search(r"https?://\S+/debian/?(?=\s|$)", file.read_text())):
            return found[0]
    raise buildah.CannotBuild("No Debian mirror in /etc/apt: run ./dev images on Debian, or in a container of it.")


def arrange(root: Path, version: str) -> None:
    """Give the root a Python in /usr/local that has no trace of Debian's own layout, and pip."""
    bin_, lib = root / "usr/local/bin", root / f"usr/local/lib/python{version}"
    bin_.mkdir(parents=True, exist_ok=True)
    shutil.copy2(root / f"usr/bin/python{version}", bin_)
    for link in ("python3", "python"):
        (bin_ / link).symlink_to(f"python{version}")
    shutil.rmtree(lib, ignore_errors=True)
    shutil.copytree(root / f"usr/lib/python{version}", lib, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    (lib / "EXTERNALLY-MANAGED").unlink(missing_ok=True)
    (lib / "sitecustomize.py").unlink(missing_ok=True)
    (lib / "site-packages").mkdir(exist_ok=True)
    shutil.rmtree(lib / "dist-packages", ignore_errors=True)
    # Debian's interpreter looks here for packages.
    (lib / "dist-packages").symlink_to("site-packages")
    for file in (lib / "sysconfig.py", lib / "sysconfig" / "__init__.py"):
        if file.is_file():
            file.write_text(
                file.read_text()
                .replace("= 'posix_local'", "= 'posix_prefix'")
                .replace("'DEB_PYTHON_INSTALL_LAYOUT', 'posix_local'", "'DEB_PYTHON_INSTALL_LAYOUT', 'posix_prefix'")
            )
    wheels = "/usr/share/python-wheels"
    wheel = next(iter((root / wheels.lstrip("/")).glob("pip-*.whl")))
    code = (
        f"import runpy, sys; sys.path.insert(0, '{wheels}/{wheel.name}');"
        f" sys.argv = ['pip', 'install', '--no-index', '--find-links', '{wheels}', 'pip'];"
        " runpy.run_module('pip', run_name='__main__')"
    )
    buildah.run(
        ["chroot", str(root), f"/usr/local/bin/python{version}", "-c", code],
        what="pip",
        environment={"PIP_ROOT_USER_ACTION": "ignore", "PATH": PATH},
    )
