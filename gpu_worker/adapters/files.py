"""Files of adapters on this machine: fetched once, from storage or Hugging Face, and the oldest deleted.

No torch: this runs in the worker's pool, before a request enters an engine.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from guilds import lora_selection
from guilds.adapter_files import InvalidAdapter, read_header
from guilds.adapter_models import Adapter
from jobs.storage import StorageUnavailable

from ..engine import AdapterUse
from . import hugging_face
from .errors import AdapterUnavailable

MAX_FOLDER_BYTES = 5 * 2**30
# Asked for once a process: a request must not wait for Hugging Face each time.
_downloaded: dict[str, Path] = {}


def resolve_adapters(stored: str, *, guild_id: int, fetch: Callable[[str], bytes]) -> tuple[AdapterUse, ...]:
    """Return the adapters that a job's `loras` name, with their files on this machine.

    `fetch` returns what storage holds under a key.

    Raises:
        AdapterUnavailable: one is no longer allowed in this guild, or its file cannot be fetched or is none.
    """
    choices = lora_selection.parse(stored) or ()
    slugs = [choice.name for choice in choices]
    rows = {row.slug: row for row in Adapter.objects.filter(enabled=True, slug__in=slugs).usable_in([guild_id])}
    uses = []
    for choice in choices:
        if choice.name not in rows:
            raise AdapterUnavailable(f"the LoRA {choice.name} is no longer allowed here", permanent=True)
        path = local_file(rows[choice.name], fetch=fetch)
        weight = rows[choice.name].default_weight if choice.weight is None else choice.weight
        uses.append(AdapterUse(key=str(path), path=path, weight=weight))
    return tuple(uses)


def local_file(adapter: Adapter, *, fetch: Callable[[str], bytes]) -> Path:
    """Return the adapter's file on this machine. Its path changes when its content does. Raise AdapterUnavailable."""
    if adapter.source:
        if adapter.source not in _downloaded or not _downloaded[adapter.source].exists():
            with hugging_face.new_client() as client:
                _downloaded[adapter.source] = hugging_face.download(adapter.source, _folder(), client=client)
        path = _downloaded[adapter.source]
    else:
        path = _from_storage(str(adapter.file.name), fetch)
    os.utime(path)
    _delete_oldest(sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime), kept=path)
    try:
        with path.open("rb") as file:
            header = read_header(file, size=path.stat().st_size)
    except InvalidAdapter as error:
        raise AdapterUnavailable(f"{adapter.slug}: {error}", permanent=True, reason="lora_unusable") from error
    if adapter.details != header.summary():
        Adapter.objects.filter(pk=adapter.pk).update(details=header.summary())
    return path


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / "sparkle-adapters"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _from_storage(key: str, fetch: Callable[[str], bytes]) -> Path:
    folder = _folder()
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
    if not path.exists():
        try:
            content = fetch(key)
        except StorageUnavailable as error:
            raise AdapterUnavailable(str(error), permanent=error.permanent) from error
        # Another thread may fetch the same one.
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".partial", delete=False) as partial:
            partial.write(content)
        Path(partial.name).replace(path)
    return path


def _delete_oldest(files: Sequence[Path], *, kept: Path) -> None:
    """Delete the least recently used files until the others fit. An open file stays readable."""
    total = sum(file.stat().st_size for file in files)
    for file in files:
        if total > MAX_FOLDER_BYTES and file != kept:
            total -= file.stat().st_size
            file.unlink(missing_ok=True)
