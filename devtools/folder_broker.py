"""Celery's file system broker, with messages that are never read before they are written.

kombu's own creates a message's file and then fills it. A consumer that takes the file in between reads nothing and
deletes it, so the message is lost. The list of an exchange's queues has the same fault when it is new.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem
from kombu.utils.json import dumps

SCHEME = "folder"


class FolderChannel(filesystem.Channel):  # type: ignore[misc]
    """Writes each message under a name that no consumer looks for, then renames it."""

    # The names in kombu's own two classes differ.
    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}"
        unfinished = folder / f"{name}.unfinished"
        try:
            unfinished.write_text(dumps(payload))
            unfinished.rename(folder / f"{name}.{queue}.msg")
        except OSError as error:
            raise ChannelError(f"Cannot write a message into {folder}.") from error

    def _exchange_file(self, exchange: str) -> Path:
        """Return the file with the exchange's queues. A new one appears with its first content, never empty."""
        file: Path = super()._exchange_file(exchange)  # type: ignore[misc]  # kombu's types lack it
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f"{file.name}.{uuid.uuid4()}.unfinished")
            unfinished.write_text("[]")
            # Another process may have been first.
            with suppress(FileExistsError):
                file.hardlink_to(unfinished)
            unfinished.unlink()
        return file


class FolderTransport(filesystem.Transport):  # type: ignore[misc]
    Channel = FolderChannel


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:FolderTransport"
