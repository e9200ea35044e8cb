"""`./dev package`: build the Lambda package, and the source that an AWS account builds the images from.

The same sources give the same bytes.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from deployment import source
from interactions_lambda.packaging import PLATFORMS, ROOT, BuildFailed, build

from . import arguments


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev package", description=__doc__ or "")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=_zip,
        default=ROOT / "build" / "lambda.zip",
        help="file to write (default: build/lambda.zip)",
    )
    parser.add_argument(
        "--source-out",
        metavar="FILE",
        type=_zip,
        default=ROOT / "build" / "source.zip",
        help="file for the images' source (default: build/source.zip)",
    )
    parser.add_argument("--architecture", type=arguments.one_of(sorted(PLATFORMS)), default="arm64")
    parser.add_argument(
        "--python",
        type=_python,
        default="3.13",
        metavar="VERSION",
        help="Python version of the Lambda runtime (default: 3.13)",
    )
    return parser.parse_args(argv)


def _zip(given: str) -> Path:
    path = Path(given)
    arguments.folder_to_write(str(path.parent))
    if path.parent.is_dir():
        arguments.file_to_write(given)
    if path.suffix.lower() != ".zip":
        raise argparse.ArgumentTypeError(f"{given}: end the name with .zip")
    return path


def _python(given: str) -> str:
    if not re.fullmatch(r"3\.1[1-9]", given):
        raise argparse.ArgumentTypeError(f"write a version as in 3.13, from 3.11 on, not {given!r}")
    return given


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    try:
        build(options.out, architecture=options.architecture, python=options.python)
        source.pack(options.source_out)
        print(f"{options.source_out}: {options.source_out.stat().st_size / 2**20:.1f} MiB, the source of the images")
    except BuildFailed as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
