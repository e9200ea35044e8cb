"""What `./dev mutate` makes of a run's results; the run itself takes minutes and is not part of the tests."""

import ast
from pathlib import Path

import pytest

from devtools.cli.mutation import MODULES, module_and_function, read_results, summary

ROOT = Path(__file__).resolve().parents[2]
PRINTED = """
    guilds.quota.x_decide__mutmut_1: killed
    guilds.quota.x_decide__mutmut_2: survived
    guilds.quota.xǁCounterǁ__add____mutmut_1: timeout
    guilds.quota.x_load_status__mutmut_1: no tests
    jobs.wait_estimate.x_place__mutmut_1: killed
    jobs.wait_estimate.x_place__mutmut_2: no tests
"""


def test_a_survivor_and_an_untested_change_lower_the_share_and_a_function_with_a_database_is_left_out():
    lines, share = summary(read_results(PRINTED), ["guilds.quota", "jobs.wait_estimate"])
    assert share == pytest.approx(3 / 5)
    assert [line.split() for line in lines] == [
        ["guilds.quota", "2", "of", "3", "66.7%"],
        ["jobs.wait_estimate", "1", "of", "2", "50.0%"],
        ["all", "3", "of", "5", "60.0%"],
    ]


def test_a_run_without_changes_has_a_share_of_zero():
    assert summary({}, ["jobs.wait_estimate"])[1] == 0


@pytest.mark.parametrize(
    ("mutant", "module", "function"),
    [
        ("guilds.policy.x__may_post__mutmut_12", "guilds.policy", "_may_post"),
        ("guilds.blocked_terms.xǁMatcherǁ_from__mutmut_3", "guilds.blocked_terms", "_from"),
    ],
)
def test_a_mutants_name_gives_its_module_and_function(mutant, module, function):
    assert module_and_function(mutant) == (module, function)


@pytest.mark.parametrize("name", MODULES)
def test_every_module_its_tests_and_the_functions_left_out_are_there(name):
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert MODULES[name].with_database <= functions
    for file in MODULES[name].tests:
        tests = (ROOT / file).read_text()
        assert name.rpartition(".")[2] in tests
        assert "django_db" not in tests
