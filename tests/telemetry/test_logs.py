import json
import logging
import time

from telemetry.logs import JsonFormatter, redact


def line(message, **extra):
    record = logging.LogRecord("sparkle", logging.INFO, "x.py", 1, message, (), None)
    vars(record).update(extra)
    return JsonFormatter().format(record)


def test_a_field_cannot_forge_a_second_line():
    written = line("job_failed", detail='bad\n{"level": "INFO", "event": "all_is_well"}\r\u2028')
    assert len(written.splitlines()) == 1
    assert json.loads(written)["event"] == "job_failed"


def test_tokens_in_addresses_and_headers_are_taken_out():
    url = "https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb246planted/messages/@original"
    assert "planted" not in redact(f"PATCH {url} failed")
    assert "planted" not in redact("Authorization: Bot MTAx.planted-secret.x_y")
    assert "planted" not in line("asked", url=url, nested={"headers": "Bot planted"})


def test_an_error_is_told_by_class_and_place_not_by_its_words():
    try:
        raise ValueError("DETAIL: Key (prompt)=(a planted prompt) already exists.")
    except ValueError as error:
        record = logging.LogRecord(
            "sparkle", logging.ERROR, "x.py", 1, "failed", (), (type(error), error, error.__traceback__)
        )
    written = JsonFormatter().format(record)
    assert "planted" not in written
    assert json.loads(written)["error"] == "ValueError"
    assert any("test_logs.py" in place for place in json.loads(written)["where"])


def test_metrics_ride_on_the_line_as_cloudwatch_reads_them(monkeypatch):
    monkeypatch.setenv("DEPLOYMENT", "sparkle-test")
    written = json.loads(line("answered", ms=12, metrics={"AnswerTime": (12, "Milliseconds"), "Asked": (1, "Count")}))
    told = written["_aws"]["CloudWatchMetrics"][0]
    # A metric's and a dimension's value is the member of that name; the specification asks for no more.
    assert {each["Name"]: (written[each["Name"]], each["Unit"]) for each in told["Metrics"]} == {
        "AnswerTime": (12, "Milliseconds"),
        "Asked": (1, "Count"),
    }
    assert [[written[name] for name in names] for names in told["Dimensions"]] == [["sparkle-test"]]
    assert told["Namespace"] == "Sparkle"
    assert abs(written["_aws"]["Timestamp"] - 1000 * time.time()) < 3_600_000
    assert "metrics" not in written
