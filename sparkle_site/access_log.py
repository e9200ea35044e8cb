"""gunicorn's logs as JSON lines. A request is logged by its path only: no query string and no referrer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from telemetry.logs import JsonFormatter


class Logger(GunicornLogger):  # type: ignore[misc]
    """Set by `--logger-class=sparkle_site.access_log.Logger`; gunicorn's access_log_format is not used."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        # gunicorn's error log quotes request lines that it could not parse.
        for log in (self.error_log, self.access_log):
            for handler in log.handlers:
                handler.setFormatter(JsonFormatter())

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        if not self.access_log_enabled:
            return
        self.access_log.info(
            "request",
            extra={
                "method": environ.get("REQUEST_METHOD", ""),
                "path": environ.get("PATH_INFO", ""),
                "status": int(str(resp.status).split(maxsplit=1)[0]),
                "bytes": getattr(resp, "sent", None),
                "ms": round(request_time.total_seconds() * 1000),
                "client": environ.get("REMOTE_ADDR", ""),
            },
        )
