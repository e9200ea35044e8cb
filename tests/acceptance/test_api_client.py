"""The client in docs/how-to/use-the-api.md, as it stands there, against the site and a worker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from jobs import api_keys
from jobs.api_models import ApiKey

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-the-api.md"


def test_the_client_of_the_docs_makes_an_image(site: str, worker: None, tmp_path: Path, monkeypatch: Any) -> None:
    from guilds.models import Guild
    from jobs.models import Job

    (client, *_) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    guild = Guild.objects.get(name="Pixel Garden")
    monkeypatch.setenv("SPARKLE_URL", f"{site}/api/v1")
    monkeypatch.setenv("SPARKLE_KEY", api_keys.issue(ApiKey(guild=guild, name="Docs", user_id=42)))
    monkeypatch.chdir(tmp_path)
    exec(compile(client, str(PAGE), "exec"), {})
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")
    job = Job.objects.get()
    assert (job.delivered_via, job.message_id) == (Job.Via.GALLERY, None)
