"""Reads from the Hugging Face Hub what a repository holds, by one call of its API and without any weights."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import httpx

from .model_inspection import NotServed, Repository

PUBLIC_HUB = "https://huggingface.co"
_ID = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
_MAX_FILES = 5000


def read(source: str, *, hub: str = PUBLIC_HUB, token: str = "", timeout_s: float = 10) -> Repository:
    """Return what the repository `source` (owner/name) holds. Raise NotServed."""
    if not _ID.fullmatch(source) or ".." in source:
        raise NotServed(f"{source[:100]!r} is not a Hugging Face id. Write it like owner/name.")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    address = f"{hub}/api/models/{quote(source)}"
    try:
        response = httpx.get(
            address, params={"blobs": "true"}, headers=headers, timeout=timeout_s, follow_redirects=True
        )
    except httpx.HTTPError as error:
        raise NotServed(f"Hugging Face does not answer ({type(error).__name__}). Try again in a minute.") from error
    # The Hub answers 401 for a repository that does not exist, so that nobody can tell which private ones do.
    if response.status_code in (401, 404):
        raise NotServed(f"{source} does not exist on Hugging Face, or it is private. Check the spelling.")
    if response.status_code == 403:
        raise NotServed(f"{source} is gated. Accept its licence on Hugging Face and set a token that may read it.")
    if response.status_code != 200:
        raise NotServed(f"Hugging Face answers with status {response.status_code}. Try again in a minute.")
    try:
        return _parse(source, response.json())
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise NotServed(f"Hugging Face describes {source} in an unknown form. Try again later.") from error


def _parse(source: str, model: dict[str, Any]) -> Repository:
    tags = [tag for tag in model.get("tags") or [] if isinstance(tag, str)]
    files = {str(file["rfilename"]): int(file.get("size") or 0) for file in (model["siblings"] or [])[:_MAX_FILES]}
    pipeline = str(((model.get("config") or {}).get("diffusers") or {}).get("_class_name") or "")
    licences = [tag.removeprefix("license:") for tag in tags if tag.startswith("license:")]
    card = model.get("cardData") or {}
    licence = card.get("license_name") or next(iter(licences), "")
    return Repository(
        source=source,
        pipeline=pipeline if "model_index.json" in files else "",
        files=files,
        licence=str(licence)[:80],
        is_gated=bool(model.get("gated")),
        is_lora="lora" in tags or any(tag.startswith("base_model:adapter:") for tag in tags),
    )
