"""What the code that a deployment starts asks of AWS, read from its source.

From an entry point every function, method and module that is mentioned is followed, by names and imports alone: more
than what will ever be called, hardly less. Mentioning a class reaches all its methods. What a deployment's settings
name by a string is said below.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("discord_api", "telemetry", "guilds", "jobs", "interactions_lambda", "gpu_worker", "sparkle_site")
# Development's edges, and what runs on the operator's machine.
LEFT_OUT = (
    "sparkle_site/settings/local.py",
    "sparkle_site/settings/test.py",
    "interactions_lambda/packaging.py",
)

# A function or class of a module, by name; "" is the module's own body.
Unit = tuple[str, str]

SECRET = "secretsmanager:GetSecretValue"
SQS = {
    "send_message": "sqs:SendMessage",
    "send_message_batch": "sqs:SendMessage",
    "receive_message": "sqs:ReceiveMessage",
    "delete_message": "sqs:DeleteMessage",
    "change_message_visibility_batch": "sqs:ChangeMessageVisibility",
    "get_queue_attributes": "sqs:GetQueueAttributes",
}
# Where a setting chooses, what a deployment's chooses.
CHOSEN: dict[Unit, Unit] = {("jobs.dispatch.message", "current_dispatcher"): ("jobs.dispatch.sqs", "SqsDispatcher")}
STORAGE = {
    # Without s3:ListBucket an image that is not there reads as forbidden, and would be asked for again.
    "open": {"s3:GetObject images", "s3:ListBucket images"},
    "url": {"s3:GetObject images"},
    "save": {"s3:PutObject images"},
    "delete": {"s3:DeleteObject images"},
}
# What Django does by itself for a model with a file field that is edited in the admin: its form saves the file, and
# `FileField.pre_save` calls the storage.
UPLOAD = {"s3:PutObject uploads"}


@dataclass(frozen=True, slots=True)
class Module:
    """A module's units and what its names stand for."""

    name: str
    units: dict[str, list[ast.AST]]
    names: dict[str, Unit] = field(default_factory=dict)


@cache
def modules() -> dict[str, Module]:
    found = {}
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            path = file.relative_to(ROOT)
            if not path.as_posix().startswith(LEFT_OUT):
                parts = path.with_suffix("").parts
                package = parts[-1] == "__init__"
                name = ".".join(parts[:-1] if package else parts)
                found[name] = _module(name, ast.parse(file.read_text()), package=package)
    return found


def _module(name: str, tree: ast.Module, *, package: bool) -> Module:
    units: dict[str, list[ast.AST]] = {"": []}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            units[node.name] = [node]
            units[""] += node.decorator_list
        elif not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)):
            units[""].append(node)
            # What is built at import (a table of functions) is reached by its name as well.
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                if isinstance(target, ast.Name):
                    units.setdefault(target.id, []).append(node)
    module = Module(name, units)
    for each in ast.walk(tree):
        if isinstance(each, ast.Import):
            for alias in each.names:
                module.names[alias.asname or alias.name.split(".")[0]] = (alias.name, "")
        elif isinstance(each, ast.ImportFrom):
            parts = name.split(".")
            base = parts[: len(parts) - each.level + package] if each.level else []
            origin = ".".join([*base, *([each.module] if each.module else [])])
            for alias in each.names:
                module.names[alias.asname or alias.name] = (origin, alias.name)
    return module


def reached(*roots: Unit) -> set[Unit]:
    """Return every unit that can be come to from `roots`."""
    seen: set[Unit] = set()
    waiting = list(roots)
    while waiting:
        unit = waiting.pop()
        if unit in seen or not _is(unit):
            continue
        seen.add(unit)
        waiting += _mentioned(unit)
        # To be called a module must have been imported.
        waiting.append((unit[0], ""))
    return seen


def everything(*prefixes: str) -> list[Unit]:
    """Every unit of the modules below `prefixes`: a site whose views and admin actions Django finds by itself."""
    return [(name, unit) for name, module in modules().items() if name.startswith(prefixes) for unit in module.units]


def _is(unit: Unit) -> bool:
    return unit[0] in modules() and unit[1] in modules()[unit[0]].units


def _resolved(unit: Unit) -> Unit:
    """`from package import module` names a module."""
    whole = ".".join(part for part in unit if part)
    return (whole, "") if whole in modules() else unit


def _nodes(unit: Unit) -> Iterator[ast.AST]:
    for node in modules()[unit[0]].units[unit[1]]:
        yield from ast.walk(node)


def _mentioned(unit: Unit) -> Iterator[Unit]:
    module = modules()[unit[0]]
    if unit in CHOSEN:
        yield CHOSEN[unit]
    for node in _nodes(unit):
        if isinstance(node, ast.Name):
            if node.id in module.units:
                yield (module.name, node.id)
            if node.id in module.names:
                yield _resolved(module.names[node.id])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.names:
            origin = _resolved(module.names[node.value.id])
            if origin[1] == "":
                yield _resolved((origin[0], node.attr))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            for alias in node.names:
                known = module.names.get(alias.asname or alias.name.split(".")[0])
                if known:
                    yield (_resolved(known)[0], "")


def asks(units: Iterable[Unit]) -> set[str]:
    """Return the actions that the units need, each with what it is done to: "sqs:SendMessage jobs"."""
    needed: set[str] = set()
    for unit in units:
        if any(_has_file(model) for model in _edited(unit)):
            needed |= UPLOAD
        for node in _nodes(unit):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                needed |= _asked(node, node.func)
            elif isinstance(node, ast.JoinedStr) and "/task-protection/" in ast.unparse(node):
                needed.add("ecs:UpdateTaskProtection tasks")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "secret":
                needed |= {f"{SECRET} {name}" for name in _literals(node)}
            elif isinstance(node, ast.Attribute) and node.attr.endswith("_ARN"):
                needed.add(f"{SECRET} {node.attr.removesuffix('_ARN')}")
    return needed


def _edited(unit: Unit) -> Iterator[Unit]:
    """The models that an admin class is registered for, or that an inline or a form names as its own."""
    module = modules()[unit[0]]
    for node in module.units[unit[1]]:
        if not isinstance(node, ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("register"):
                yield from (_meant(module, each) for each in decorator.args)
        for each in ast.walk(node):
            if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "model":
                yield _meant(module, each.value)


def _meant(module: Module, expression: ast.AST) -> Unit:
    """What a name or an attribute of an imported module stands for."""
    first, *rest = ast.unparse(expression).split(".")
    if first in module.units:
        return (module.name, first)
    origin = _resolved(module.names.get(first, ("", first)))
    return _resolved((origin[0], rest[0])) if rest and origin[1] == "" else (origin[0], ".".join([origin[1], *rest]))


def _bases(unit: Unit) -> Iterator[Unit]:
    if _is(unit):
        module = modules()[unit[0]]
        for node in module.units[unit[1]]:
            if isinstance(node, ast.ClassDef):
                yield from (_meant(module, base) for base in node.bases)


def _is_file_field(unit: Unit) -> bool:
    return unit[1].split(".")[-1] in ("FileField", "ImageField") or any(map(_is_file_field, _bases(unit)))


def _has_file(model: Unit) -> bool:
    """Whether the model or a model that it inherits from has a file field."""
    if not _is(model):
        return False
    module = modules()[model[0]]
    fields = (
        each.value.func
        for node in module.units[model[1]]
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if isinstance(each, ast.Assign | ast.AnnAssign) and isinstance(each.value, ast.Call)
    )
    return any(_is_file_field(_meant(module, field)) for field in fields) or any(map(_has_file, _bases(model)))


def _literals(call: ast.Call) -> list[str]:
    return [str(each.value) for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _asked(call: ast.Call, function: ast.Attribute) -> set[str]:
    queue = next((each.value for each in call.keywords if each.arg == "QueueUrl"), None)
    if queue is not None:
        which = "dead" if "DEAD_LETTER" in ast.unparse(queue) else "jobs"
        return {f"{SQS[function.attr]} {which}"}
    if function.attr == "describe_services":
        return {"ecs:DescribeServices services"}
    if function.attr == "generate_db_auth_token":
        return {"rds-db:connect database"}
    if ast.unparse(function.value) == "default_storage":
        return STORAGE[function.attr]
    return set()
