"""JSON log lines, one event each. Secrets are redacted here, as the last step."""

import json
import logging
import os
import re
import traceback
from collections.abc import Mapping

# A URL's query may hold an OAuth code, a state or a signature, and its path a signed value (Django's signing, URLs of
# job images, links that set a password). Logs keep the path only, without signed segments.
_QUERY = re.compile(r"\?[^\s\"'<>]+")
_SIGNED = re.compile(r"(/p/|/set-password/[\w-]+/)[^/\s\"'<>?]+|([/=])[^/\s\"'<>?]*(?::|%3[aA])[\w-]{16,}")
# Discord's URLs contain interaction tokens; Authorization headers contain bot tokens.
_SECRETS = re.compile(r"(webhooks/\d+/)[^/\s\"'?]+|(interactions/\d+/)[^/\s\"'?]+|(Bot )[\w.\-]+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    """Return `text` without interaction and bot tokens, without signed parts of paths, and without queries."""
    for pattern in (_SECRETS, _SIGNED):
        text = pattern.sub(lambda match: next(group for group in match.groups() if group) + "[redacted]", text)
    return _QUERY.sub("", text)


class JsonFormatter(logging.Formatter):
    """Format a record as `{"level", "event", "logger", "at", ...extra}`; newlines cannot forge a second line.

    The extra field `metrics`, `{name: (value, unit)}`, becomes CloudWatch metrics in the embedded metric format, which
    CloudWatch Logs extracts from the line without an API call.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "level": record.levelname,
            "event": redact(record.getMessage()),
            "logger": record.name,
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
        }
        for key, value in vars(record).items():
            if key == "metrics":
                fields |= embedded(value, milliseconds=int(record.created * 1000))
            elif key == "request":
                # Django's own log records hold the request, whose text contains the query.
                fields |= {"method": getattr(value, "method", ""), "path": redact(str(getattr(value, "path", "")))}
            elif key not in _STANDARD:
                fields[key] = value if isinstance(value, int | float | bool | None) else redact(str(value))
        if record.exc_info and record.exc_info[0]:
            # The traceback without the message: database errors quote the row, and so the prompt.
            fields["error"] = record.exc_info[0].__name__
            fields["where"] = [
                f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}:{frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])[-6:]
            ]
        return json.dumps(fields, ensure_ascii=True)


def embedded(metrics: Mapping[str, tuple[float, str]], *, milliseconds: int) -> dict[str, object]:
    """Return the fields that add `metrics` to a log line, with the deployment as dimension."""
    directive = {"Namespace": "Sparkle", "Dimensions": [["Deployment"]]}
    names = [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()]
    return {
        "_aws": {"Timestamp": milliseconds, "CloudWatchMetrics": [directive | {"Metrics": names}]},
        "Deployment": os.environ.get("DEPLOYMENT", "sparkle"),
        **{name: value for name, (value, _) in metrics.items()},
    }
