"""The marks of what a test needs: none is forgotten, and `--quick` leaves out few tests."""

import subprocess
import sys

import pytest

from tests import required_programs


def test_quick_keeps_four_tests_in_five_of_those_collected(pytestconfig):
    kept, collected = pytestconfig.stash[required_programs.KEPT]
    assert kept >= 0.8 * collected


def test_a_test_without_a_mark_starts_no_process(request):
    with pytest.raises(AssertionError, match=f"{request.node.name} starts a process: mark it with"):
        subprocess.run([sys.executable, "--version"], check=True)


@pytest.mark.processes
def test_a_test_with_a_mark_starts_one():
    subprocess.run([sys.executable, "--version"], check=True)


def test_a_missing_program_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CI", raising=False)
    for what, command in (("browser", "chromium"), ("terraform", "terraform"), ("node", "nodejs npm")):
        with pytest.raises(pytest.skip.Exception, match=f"These tests run after: sudo .* install .*{command}"):
            required_programs.require(what)


def test_ci_lets_no_program_be_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="Terraform"):
        required_programs.require("terraform")
