"""The plans that `./dev cost` calculates are those of the configuration."""

import pytest

from devtools.cost.docs import PLANS

from .cost_plans import plan_profiles

pytestmark = pytest.mark.terraform


def test_the_kept_plans_are_those_of_the_configuration(tmp_path):
    found = plan_profiles(tmp_path)
    kept = {file.stem: file.read_text() for file in PLANS.glob("*.json")}
    assert found == kept, "run: python -m tests.terraform.cost_plans && ./dev docs --write"
