"""Terraform's inputs as the operator wrote them: *.tfvars and TF_VAR_... variables. Reads literals, no expressions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_ASSIGNMENT = re.compile(r'^[ \t]*(\w+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|\[[^\]]*\]|[^\s#]+)', re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(#|//).*$", re.MULTILINE)
_PREFIX = "TF_VAR_"


def read(folder: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the inputs by name. Files win over the environment, as with Terraform."""
    values: dict[str, Any] = {
        name.removeprefix(_PREFIX): _literal(text) for name, text in environment.items() if name.startswith(_PREFIX)
    }
    for file in (folder / "terraform.tfvars", *sorted(folder.glob("*.auto.tfvars"))):
        if file.is_file():
            values |= parse(file.read_text())
    return values


def parse(content: str) -> dict[str, Any]:
    """Return the literals that a tfvars file assigns."""
    return {name: _literal(text) for name, text in _ASSIGNMENT.findall(_COMMENT.sub("", content))}


def _literal(text: str) -> Any:
    try:
        value = json.loads(re.sub(r",\s*\]", "]", text))
    except ValueError:
        return text
    # An id of digits is a string, wherever it was written without quotes.
    return text if isinstance(value, int) and not isinstance(value, bool) and len(text) > 9 else value
