"""Terraform's inputs and outputs as Markdown, read from the configuration's own files."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "terraform"
MODULE = FOLDER / "modules" / "sparkle"
BLOCK = re.compile(
    r'^(?:# -+ (?P<title>[^\n]+)|(?P<kind>variable|output) "(?P<name>\w+)" \{\n(?P<body>.*?)^\})$', re.M | re.S
)
ATTRIBUTE = r"^  {name}\s+= (.+)$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One variable or output; `default` is as written in the source, None where the variable is required."""

    name: str
    section: str
    description: str
    type: str
    default: str | None


def read_blocks(source: str) -> list[Block]:
    """Return the variables and outputs of a file's text, in their order."""
    section, blocks = "", []
    for found in BLOCK.finditer(source):
        if found["title"]:
            section = found["title"]
            continue
        description = _attribute("description", found["body"]) or ""
        blocks.append(
            Block(
                name=found["name"],
                section=section,
                description=description.removeprefix('"').removesuffix('"').replace('\\"', '"'),
                type=_attribute("type", found["body"]) or "",
                default=_attribute("default", found["body"]),
            )
        )
    return blocks


def inputs() -> str:
    """Return the tables of the inputs, one for each section of variables.tf, and those of the root alone."""
    blocks = read_blocks((MODULE / "variables.tf").read_text())
    blocks += [
        dataclasses.replace(block, section="Provider") for block in read_blocks((FOLDER / "versions.tf").read_text())
    ]
    tables = []
    for section in dict.fromkeys(block.section for block in blocks):
        rows = [
            f"| `{block.name}` | `{block.type}` | {_default(block)} | {_cell(block.description)} |"
            for block in blocks
            if block.section == section
        ]
        tables.append(
            "\n".join([f"### {section}\n", "| Input | Type | Default | Meaning |", "|---|---|---|---|", *rows])
        )
    return "\n\n".join(tables)


def outputs() -> str:
    """Return the table of the outputs."""
    blocks = read_blocks((MODULE / "outputs.tf").read_text())
    rows = [f"| `{block.name}` | {_cell(block.description)} |" for block in blocks]
    return "\n".join(["| Output | Meaning |", "|---|---|", *rows])


def quote_hcl(text: str) -> str:
    """Return a description as Terraform's source has it."""
    return '"' + text.replace('"', '\\"') + '"'


def _attribute(name: str, body: str) -> str | None:
    found = re.search(ATTRIBUTE.format(name=name), body, re.M)
    return found[1] if found else None


def _default(block: Block) -> str:
    if block.default is None:
        return "required"
    return "" if block.default in ('""', "null", "[]") else f"`{block.default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
