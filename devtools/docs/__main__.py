"""`./dev docs`: serve the documentation, or write the reference pages that are generated from code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from devtools.cli import arguments

ROOT = Path(__file__).resolve().parents[2]


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev docs", description=__doc__ or "")
    parser.add_argument("--port", type=arguments.port, default=8001, metavar="N", help="port (default: 8001)")
    parser.add_argument("--write", action="store_true", help="write the generated pages and Terraform files, and exit")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    if options.write:
        return _write()
    command = (sys.executable, "-m", "mkdocs", "serve", "--config-file", str(ROOT / "mkdocs.yml"))
    address = ("--dev-addr", f"127.0.0.1:{options.port}")
    # The theme advertises another program at each start otherwise.
    os.execve(sys.executable, [*command, *address], os.environ | {"NO_MKDOCS_2_WARNING": "1"})


def _write() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.local")
    import django

    django.setup()
    from . import reference_pages, terraform_root_writer

    for name in terraform_root_writer.write():
        print(f"terraform/{name}")
    for path in reference_pages.write():
        print(f"docs/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
