"""`python -m tests.terraform.cost_plans`: plan the profiles of terraform/tests/cost.tftest.hcl for `./dev cost`."""

from __future__ import annotations

import tempfile
from pathlib import Path

from devtools.cost import fixture
from devtools.cost.docs import PLANS

from .terraform import Terraform


def plan_profiles(folder: Path) -> dict[str, str]:
    """Return each profile's reduced plan, by its name. `folder` is Terraform's for its data."""
    terraform = Terraform(data=folder, environment={"AWS_DEFAULT_REGION": "us-east-1"})
    terraform.init()
    output = terraform.run("test", "-filter=tests/cost.tftest.hcl", "-json", "-verbose")
    return {name: fixture.reduce(plan, region="us-east-1") for name, plan in fixture.planned(output)}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="sparkle-terraform-") as folder:
        for name, text in plan_profiles(Path(folder)).items():
            (PLANS / f"{name}.json").write_text(text)
            print(PLANS / f"{name}.json")


if __name__ == "__main__":
    main()
