"""`./dev images`: builds the site's image and the CPU worker's without a container engine; `--check` starts both."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from devtools.cli import arguments

from . import build, buildah, check
from .buildah import CannotBuild


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(
        prog="./dev images", description="Build the container images with buildah, as root and without an engine."
    )
    parser.add_argument("--check", action="store_true", help="start both: the site answers, the worker makes an image")
    parser.add_argument("--no-build", action="store_true", help="with --check: start the images of the last build")
    parser.add_argument(
        "--mount",
        action="append",
        default=[],
        type=arguments.folder_to_read,
        metavar="FOLDER",
        help="make a folder visible to the build, such as one that pip's settings name",
    )
    options = parser.parse_args(argv)
    if options.no_build and not options.check:
        parser.error("--no-build needs --check")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    say = partial(print, flush=True)
    try:
        buildah.check_available()
        if not options.no_build:
            for image in build.DOCKERFILES:
                build.build(image, mounts=[str(folder) for folder in options.mount], say=say)
        if options.check:
            check.check(say)
    except CannotBuild as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
