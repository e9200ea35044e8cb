"""The pages of docs/ that follow from code. `./dev docs --write` writes them; a test compares them with the code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devtools.cli import main as cli
from devtools.cost import docs as costs
from discord_api import i18n
from guilds import command_definitions
from jobs.job_status import ENDED, MOVES, OPEN, Status

from . import sensitivity_table, settings_table, terraform_tables
from .architecture import architecture_diagram
from .diagrams import Arrow, Box, draw

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
HEAD = "<!-- Written by `./dev docs --write` from the code. Change the code, not this page. -->\n\n"
OPTION_TYPES = {3: "text", 4: "whole number", 10: "number", 11: "file"}
# What each page of the admin is for, by the name of its address.
ADMIN_PAGES = {
    "index": "Requests, images, failures, waiting times and GPU time of the last days",
    "jobs_job_changelist": "All requests: search, filter, cancel, retry, refund, export",
    "jobs_jobimage_changelist": "All images: hide, blur, remove",
    "reports": "Reported images, one after the other: remove or keep; warn, time out or ban the author",
    "guilds_guild_changelist": "A server's settings: channels, roles, limits, quota rules, retention",
    "guilds_usage_changelist": "How much of each quota is used; grant more",
    "guilds_ban_changelist": "Members who may not use Sparkle",
    "guilds_blockedterm_changelist": "Words that a prompt may not have or that count as adult; test a term first",
    "guilds_stylepreset_changelist": "Style presets that members can choose",
    "jobs_apikey_changelist": "Keys with which programs make requests by the HTTP API",
    "guilds_promptlist_changelist": "Lists of words that prompts can use",
    "guilds_adapter_changelist": "LoRAs that servers may offer",
    "audit": "Who changed which setting, before and after",
    "stuck_jobs": "Requests that are stuck, and the dead-letter queue",
    "guilds_platform_changelist": "Draining and maintenance, for the whole deployment",
    "jobs_worker_changelist": "GPU workers and when each was last seen",
    "guilds_modelprofile_changelist": "Models that members can choose, and their adapters (LoRA)",
    "auth_user_changelist": "Accounts of the site",
    "guilds_staff_changelist": "Which member may manage which server, as Discord last said",
}
STATUS_MEANING = {
    Status.WAITING: "Accepted and its quota reserved; in the server's queue in the database",
    Status.QUEUED: "Promoted: a message in SQS names it, and any worker may claim it",
    Status.RUNNING: "Claimed by one worker, under a lease that its heartbeat renews",
    Status.COMPLETED: "Its images are stored; quota is settled",
    Status.FAILED: "Ended with a reason; quota is refunded",
    Status.CANCELLED: "Cancelled by the member or a moderator; quota is refunded",
    Status.EXPIRED: "Not finished in time; quota is refunded",
    Status.REFUSED: "Never accepted; kept for moderators, costs nothing",
}


def all_pages() -> dict[str, str]:
    """Return the text of each written page, by its path below docs/. Django must be set up."""
    return {
        "reference/commands.md": HEAD + commands_page(),
        "reference/settings.md": HEAD + settings_page(),
        "reference/terraform.md": HEAD + terraform_page(),
        "reference/dev-commands.md": HEAD + dev_commands_page(),
        "reference/admin-pages.md": HEAD + admin_pages_page(),
        "reference/job-status.md": HEAD + job_status_page(),
        "explanation/performance.md": sensitivity_table.fill((DOCS / "explanation/performance.md").read_text()),
        "explanation/costs.md": costs.fill((DOCS / "explanation/costs.md").read_text()),
        "decisions/README.md": HEAD + decisions_page(),
        "images/job-status.svg": status_diagram(),
        "images/architecture.svg": architecture_diagram(),
    }


def write() -> list[str]:
    """Write each page that differs from the code; return their paths."""
    changed = []
    for path, text in all_pages().items():
        file = DOCS / path
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            changed.append(path)
    return changed


def commands_page() -> str:
    """Return the page of the commands in Discord, from their definitions and the English texts."""
    parts = [
        "# Commands in Discord",
        "Names and descriptions are shown in the member's language:"
        f" {', '.join(sorted(i18n.LOCALES))}. `./dev manage register_commands` registers them.",
    ]
    for command in command_definitions.all_commands():
        if "description" not in command:
            parts += [f"## {command['name']}", "In the menu of a message, under *Apps*."]
            continue
        parts += [f"## /{command['name']}", f"{command['description']}."]
        if "default_member_permissions" in command:
            parts.append("For members with the permission *Manage Server*.")
        if options := command.get("options"):
            rows = [(f"`{o['name']}`", OPTION_TYPES[o["type"]], _limits(o), o["description"]) for o in options]
            parts.append(_table(("Option", "Type", "Limits", "Description"), rows))
    return "\n\n".join(parts) + "\n"


def _limits(option: dict[str, Any]) -> str:
    limits = ["required"] if option.get("required") else []
    if "choices" in option:
        limits.append("one of " + ", ".join(f"`{choice['value']}`" for choice in option["choices"]))
    if "min_value" in option:
        limits.append(f"{option['min_value']} to {option['max_value']}")
    if "max_length" in option and not option.get("autocomplete"):
        limits.append(f"at most {option['max_length']:,} characters")
    if option.get("autocomplete"):
        limits.append("suggestions while typing")
    return "; ".join(limits)


def settings_page() -> str:
    """Return the page of the settings that are read from the environment."""
    return (
        "# Settings\n\n"
        "All settings come from the environment. Terraform sets them on AWS; `./dev` sets them on one machine.\n"
        "A process that misses a required setting stops at its start with one line that names it.\n"
        "`DJANGO_SECRET_KEY_ARN` and `DISCORD_BOT_TOKEN_ARN` name secrets in AWS Secrets Manager instead of values.\n"
        "AWS's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL`) are read by boto3.\n\n" + settings_table.table()
    )


def terraform_page() -> str:
    """Return the page of Terraform's inputs and outputs."""
    return (
        "# Terraform\n\n"
        "Set the inputs in `terraform/terraform.tfvars`, secrets as `TF_VAR_name` in the environment.\n"
        "`terraform/` configures the provider and calls the module `terraform/modules/sparkle` with the same inputs.\n"
        "[Deploy](../how-to/deploy.md) shows which ones to start with, and `terraform/examples` has three complete "
        "configurations.\n\n"
        "Tested with version 5.100.0 of the AWS provider, which the lock file names. For version 6, raise the limit in "
        "`terraform/versions.tf`, run `terraform init -upgrade` and read the plan: the module uses nothing that "
        "version 6 removed, and an existing deployment should show no change.\n\n"
        f"## Inputs\n\n{terraform_tables.inputs()}\n\n"
        f"## Outputs\n\n{terraform_tables.outputs()}\n"
    )


def dev_commands_page() -> str:
    """Return the page of ./dev's commands."""
    commands = [
        (f"`./dev {f'{word} {command.usage}'.strip()}`".replace("|", "\\|"), _sentence(command.help))
        for word, command in cli.COMMANDS.items()
    ]
    checks = [(f"`{name}`", f"`{' '.join(words)}`") for name, words in cli.CHECKS.items()]
    return (
        "# ./dev commands\n\n"
        "`./dev COMMAND --help` lists a command's options. The first command installs what is needed into `.venv`.\n\n"
        f"{_table(('Command', 'What it does'), commands)}\n\n"
        "## Checks\n\n"
        "`./dev check` runs all of these and the Terraform checks; `./dev check NAME ...` runs some.\n\n"
        f"{_table(('Check', 'Runs'), checks)}\n"
    )


def admin_pages_page() -> str:
    """Return the page of the admin's pages, from its menu."""
    from sparkle_site.admin.navigation import UNFOLD

    rows = []
    for group in UNFOLD["SIDEBAR"]["navigation"]:
        for item in group["items"]:
            address = str(item["link"])
            who = "operators" if "permission" in item else "moderators and operators"
            rows.append((str(item["title"]), f"`{address}`", who, ADMIN_PAGES[_address_name(address)]))
    return (
        "# Admin pages\n\n"
        "The admin is at `/admin/`. A moderator sees the servers that Discord says they manage; an operator sees"
        " all.\n\n"
        f"{_table(('Page', 'Address', 'For', 'What it is for'), rows)}\n"
    )


def _address_name(address: str) -> str:
    from django.urls import resolve

    return resolve(address).url_name or ""


def job_status_page() -> str:
    """Return the page of a job's statuses, from the transition table."""
    rows = [
        (f"`{status}`", STATUS_MEANING[status], ", ".join(f"`{to}`" for to in Status if to in MOVES[status]) or "none")
        for status in Status
    ]
    return (
        "# Status of a job\n\n"
        "Only `Job.objects.move` writes a status, by compare-and-set, and only along these transitions"
        " (`jobs/job_status.py`).\n\n"
        "![The transitions between a job's statuses](../images/job-status.svg)\n\n"
        f"{_table(('Status', 'Meaning', 'Next'), rows)}\n\n"
        "A job goes from `running` back to `queued` when its worker shuts down or is lost.\n"
    )


def status_diagram() -> str:
    """Return the SVG of the transition table: open statuses on the left, ended ones on the right."""
    opened = [status for status in Status if status in OPEN]
    reached = [status for status in Status if status in ENDED and any(status in to for to in MOVES.values())]
    alone = [status for status in Status if status in ENDED and status not in reached]
    boxes: dict[str, Box] = {
        status: Box(text=status, x=90, y=60 + 130 * number) for number, status in enumerate(opened)
    }
    for number, status in enumerate(reached):
        kind = "done" if status == Status.COMPLETED else "ended"
        boxes[status] = Box(text=status, x=430, y=350 - 95 * number, kind=kind)
    for status in alone:
        boxes[status] = Box(text=status, x=600, y=60, kind="outside")
    arrows = [
        Arrow(start=start, end=end, bend=_bend(start, end)) for start in Status for end in Status if end in MOVES[start]
    ]
    return draw(boxes, arrows, title="The transitions between a job's statuses")


def _bend(start: Status, end: Status) -> float:
    """Return a bend for two statuses that lead to each other, so that both arrows can be seen."""
    return 30 if start in MOVES[end] else 0


def decisions_page() -> str:
    """Return the index of the decisions. Raises ValueError where a page lacks its title, status or date."""
    rows = []
    for file in sorted(DOCS.glob("decisions/[0-9]*.md")):
        found = re.match(
            r"# (\d+)\. (.+)\n\n- \*\*Status:\*\* (.+)\n- \*\*Date:\*\* (\d{4}-\d\d-\d\d)\n", file.read_text()
        )
        if not found:
            raise ValueError(f"{file.name}: begin with '# N. Title', then '- **Status:** ...' and '- **Date:** ...'")
        rows.append((found[1], f"[{found[2]}]({file.name})", found[3], found[4]))
    return (
        "# Decisions\n\n"
        "Why things are as they are. Add a numbered page when you decide something that a newcomer would ask about.\n"
        "A decision that is no longer followed keeps its number; its status names the page that replaced it.\n\n"
        f"{_table(('No.', 'Decision', 'Status', 'Date'), rows)}\n"
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
