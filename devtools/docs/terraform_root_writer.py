"""The root configuration in terraform/, written from its module: the same inputs, the call, the same outputs.

An error about an input then names the operator's own file, and the module can be called from elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from . import terraform_tables

FOLDER = Path(__file__).resolve().parents[2] / "terraform"
HEAD = "# Written by `./dev docs --write` from modules/sparkle. Change the module, not this file.\n\n"


def all_files() -> dict[str, str]:
    """Return the text of each written file, by its name in terraform/."""
    inputs = (terraform_tables.MODULE / "variables.tf").read_text()
    outputs = terraform_tables.read_blocks((terraform_tables.MODULE / "outputs.tf").read_text())
    names = [block.name for block in terraform_tables.read_blocks(inputs)]
    width = max(map(len, names))
    arguments = "".join(f"  {name:<{width}} = var.{name}\n" for name in names)
    return {
        "main.tf": f'{HEAD}module "sparkle" {{\n  source = "./modules/sparkle"\n\n{arguments}}}\n',
        "variables.tf": HEAD + inputs,
        "outputs.tf": HEAD + "\n".join(_output(block) for block in outputs),
    }


def write() -> list[str]:
    """Write each file that differs from the module; return their names."""
    changed = [name for name, text in all_files().items() if not _is(FOLDER / name, text)]
    for name in changed:
        (FOLDER / name).write_text(all_files()[name])
    return changed


def _is(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


def _output(block: terraform_tables.Block) -> str:
    return (
        f'output "{block.name}" {{\n'
        f"  description = {terraform_tables.quote_hcl(block.description)}\n"
        f"  value       = module.sparkle.{block.name}\n}}\n"
    )
