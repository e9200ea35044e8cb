"""`./dev doctor`: what is missing before terraform apply, each with the command that provides it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from deployment import checks, doctor, terraform_inputs

from . import arguments


def _parser() -> arguments.Parser:
    parser = arguments.Parser(prog="./dev doctor", description="Show what is missing before terraform apply.")
    parser.add_argument(
        "--folder",
        type=arguments.folder_to_read,
        default=doctor.read_folder(),
        metavar="FOLDER",
        help="folder with terraform.tfvars (default: terraform)",
    )
    return parser


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    return _parser().parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the findings; return 1 if something is missing."""
    options = read_arguments(argv)
    parser = _parser()
    import boto3
    from botocore.exceptions import BotoCoreError

    values = terraform_inputs.read(options.folder, os.environ)
    try:
        session = boto3.session.Session(region_name=values.get("region") or None)
    except BotoCoreError as error:
        parser.error(f"{error}. Set AWS_PROFILE to a profile of: aws configure list-profiles")
    if session.region_name is None:
        parser.error('no AWS region. Write region = "us-east-1" into terraform.tfvars, or run: aws configure')

    def aws(service: str) -> Any:
        client: Any = session.client
        return client(service)

    findings = list(doctor.examine(values, aws=aws, region=session.region_name))
    print(checks.text(findings))
    return 1 if any(finding.status == checks.MISSING for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
