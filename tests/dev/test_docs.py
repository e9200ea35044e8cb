"""The documentation's generated pages say what the code says, and the site holds together."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from devtools.docs import reference_pages, settings_table, terraform_root_writer, terraform_tables
from devtools.docs.diagrams import Arrow, Box, draw
from jobs.job_status import MOVES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
DECISIONS = sorted(DOCS.glob("decisions/[0-9]*.md"))


@pytest.mark.parametrize("path", reference_pages.all_pages())
def test_a_generated_page_says_what_the_code_says(path):
    assert (DOCS / path).read_text() == reference_pages.all_pages()[path], "run: ./dev docs --write"


@pytest.mark.parametrize("name", terraform_root_writer.all_files())
def test_the_root_of_terraform_has_the_inputs_and_outputs_of_its_module(name):
    assert (terraform_root_writer.FOLDER / name).read_text() == terraform_root_writer.all_files()[name], (
        "run: ./dev docs --write"
    )


def test_each_transition_is_in_the_diagram():
    arrows = re.findall(r'marker-end="url\(#head\)"', reference_pages.status_diagram())
    assert len(arrows) == sum(len(to) for to in MOVES.values())


def test_an_arrow_begins_and_ends_at_the_edges_of_its_boxes():
    boxes = {
        "a": Box(text="a", x=100, y=50, width=100, height=40),
        "b": Box(text="b", x=400, y=50, width=100, height=40),
    }
    drawing = draw(boxes, [Arrow(start="a", end="b", text="<&>")], title="t")
    assert 'd="M150.0 50.0Q250.0 50.0 350.0 50.0"' in drawing
    assert "&lt;&amp;&gt;" in drawing


def test_a_setting_without_a_description_is_refused(monkeypatch):
    groups = {title: dict(group) for title, group in settings_table.GROUPS.items()}
    del groups["Jobs"]["SPARKLE_LEASE_SECONDS"]
    monkeypatch.setattr(settings_table, "GROUPS", groups)
    with pytest.raises(KeyError, match="SPARKLE_LEASE_SECONDS"):
        settings_table.table()


def test_settings_are_read_with_their_defaults():
    settings = settings_table.read_settings()
    assert settings["DATABASE_URL"].required
    assert (settings["SPARKLE_MAX_ATTEMPTS"].default, settings["SPARKLE_MAX_ATTEMPTS"].required) == ("3", False)
    assert settings["SPARKLE_HEALTH_FILE"].default is None


def test_each_input_and_output_of_terraform_is_listed():
    for file in ("variables.tf", "outputs.tf"):
        source = (terraform_tables.MODULE / file).read_text()
        blocks = terraform_tables.read_blocks(source)
        assert [block.name for block in blocks] == re.findall(r'^(?:variable|output) "(\w+)"', source, re.M)
        assert all(block.description for block in blocks)
    inputs = terraform_tables.read_blocks((terraform_tables.MODULE / "variables.tf").read_text())
    (vpc,) = [block for block in inputs if block.name == "vpc_id"]
    assert (vpc.type, vpc.default) == ("string", None)


def test_every_decision_is_in_the_navigation_and_in_the_list():
    pages = [f"decisions/{page.name}" for page in DECISIONS]
    assert [page for page in pages if page not in (ROOT / "mkdocs.yml").read_text()] == []
    overview = (DOCS / "decisions/README.md").read_text()
    assert [page.name for page in DECISIONS if f"({page.name})" not in overview] == []


def test_decisions_are_numbered_without_a_gap():
    assert [int(file.name[:4]) for file in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for file in DECISIONS:
        assert file.read_text().startswith(f"# {int(file.name[:4])}. ")


def test_decision_6_lists_packages_that_are_required():
    required = re.findall(r"^([\w.-]+)", "\n".join(f.read_text() for f in (ROOT / "requirements").glob("*.in")), re.M)
    required += re.findall(r"^([\w.-]+)", (ROOT / "requirements" / "torch.txt").read_text(), re.M)
    rows = re.findall(r"^\| (.+?) \| ", (DOCS / "decisions" / "0006-dependencies.md").read_text(), re.M)
    for name in re.findall(
        r"[\w.-]*[a-z][\w.-]*", ", ".join(row for row in rows if "---" not in row and row != "Package")
    ):
        assert name.lower() in {package.lower() for package in required}, name


def test_pages_name_files_that_exist():
    for page in DOCS.rglob("*.md"):
        for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|tf|toml|sql))`", page.read_text()):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


def test_the_threat_model_names_tests_that_exist():
    tests = "\n".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", (DOCS / "explanation" / "threat-model.md").read_text())
    assert len(named) > 30
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_the_runbooks_name_inputs_of_terraform():
    inputs = {block.name for block in terraform_tables.read_blocks((ROOT / "terraform/variables.tf").read_text())}
    for page in [*DOCS.glob("how-to/**/*.md")]:
        for name in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", page.read_text()):
            known = name in inputs or name in LOGGED or name.startswith(("jobs_", "guilds_", "pg_", "discord_"))
            assert known, f"{page.name}: {name}"


def test_the_pages_that_runbooks_name_are_in_the_admins_menu():
    menu = (DOCS / "reference" / "admin-pages.md").read_text()
    named = [
        name for page in DOCS.glob("how-to/**/*.md") for name in re.findall(r"\*([^*\n]+)\* page", page.read_text())
    ]
    assert named
    assert [name for name in named if f"| {name} |" not in menu] == []


# Log events, fields and tables that pages name beside Terraform's inputs.
LOGGED = {
    "job_claimed", "job_completed", "job_failed", "job_id", "request_id", "bad_message", "interaction_failed",
    "model_unavailable",
}  # fmt: skip


@pytest.mark.processes
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_other_hosts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [page.read_text() for page in (tmp_path / "site").rglob("*.html")]
    assert len(pages) > 40
    for page in pages:
        assert not re.search(r'<(?:script|img|link rel="stylesheet")[^>]*(?:src|href)="(?:https?:)?//', page)
