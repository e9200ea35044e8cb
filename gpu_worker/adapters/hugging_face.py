"""Downloads an adapter from Hugging Face, with bounds. Not by its own library, which is offline in a worker's image."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import httpx

from guilds.adapter_files import MAX_FILE_BYTES
from guilds.hugging_face import PUBLIC_HUB

from .errors import AdapterUnavailable

TIMEOUT_S = 30.0
_COMMIT = re.compile("[0-9a-f]{40}")


def new_client(address: str = PUBLIC_HUB) -> httpx.Client:
    """Return a client that follows redirects. Without a token, so it reads what is public."""
    return httpx.Client(base_url=address, follow_redirects=True, timeout=TIMEOUT_S)


def download(source: str, folder: Path, *, client: httpx.Client) -> Path:
    """Return the file of `source` (owner/name or owner/name/file) in `folder`, downloaded if it is not there.

    Raises:
        AdapterUnavailable: it does not exist, is gated, is too large, or Hugging Face cannot be reached.
    """
    owner, name, *rest = source.split("/", 2)
    try:
        response = client.get(f"/api/models/{owner}/{name}", params={"blobs": "true"})
        _check(source, response)
        model = response.json()
        commit, sizes = str(model["sha"]), {file["rfilename"]: file.get("size") or 0 for file in model["siblings"]}
        if not _COMMIT.fullmatch(commit):
            raise ValueError(commit)
        file = rest[0] if rest else _only_adapter(f"{owner}/{name}", sizes)
        if sizes.get(file, 0) > MAX_FILE_BYTES:
            raise _too_large(source)
        key = hashlib.sha256(f"{owner}/{name}/{file}@{commit}".encode()).hexdigest()[:32]
        path = folder / f"{key}.safetensors"
        if not path.exists():
            _save(source, f"/{owner}/{name}/resolve/{commit}/{file}", path, client=client)
    except (httpx.HTTPError, ValueError, KeyError, TypeError, OSError) as error:
        raise AdapterUnavailable(f"{source}: {type(error).__name__}", permanent=False) from error
    return path


def _check(source: str, response: httpx.Response) -> None:
    if response.status_code in (401, 403, 404):
        why = "does not exist or is gated"
        raise AdapterUnavailable(f"{source} {why} ({response.status_code})", permanent=True)
    response.raise_for_status()


def _save(source: str, address: str, path: Path, *, client: httpx.Client) -> None:
    written = 0
    with (
        client.stream("GET", address) as response,
        tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as partial,
    ):
        try:
            _check(source, response)
            for chunk in response.iter_bytes(2**20):
                written += len(chunk)
                if written > MAX_FILE_BYTES:
                    raise _too_large(source)
                partial.write(chunk)
        except BaseException:
            Path(partial.name).unlink()
            raise
    Path(partial.name).replace(path)


def _too_large(source: str) -> AdapterUnavailable:
    limit = f"at most {MAX_FILE_BYTES // 2**20:,} MB are allowed"
    return AdapterUnavailable(f"{source} is too large: {limit}", permanent=True, reason="lora_unusable")


def _only_adapter(repo: str, names: Iterable[str]) -> str:
    found = sorted(name for name in names if name.endswith(".safetensors"))
    if len(found) == 1:
        return found[0]
    if found:
        why = f"holds several files: write {repo}/{found[0]}, for example"
    else:
        why = "holds no safetensors file; other formats can run code"
    raise AdapterUnavailable(f"{repo} {why}", permanent=True, reason="lora_unusable")
