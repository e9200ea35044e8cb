"""The body of a queue message: a version and a job id. A change of the format needs a new version."""

import json

VERSION = 1
MAX_JOB_ID = 2**63 - 1


class BadMessage(Exception):
    """The body is not a valid job message. Retrying cannot help."""


def encode(job_id: int) -> str:
    """Return the body, exactly `{"v":1,"job_id":N}`."""
    return f'{{"v":{VERSION},"job_id":{job_id:d}}}'


def decode(body: str) -> int:
    """Return the job's id. Raises BadMessage for anything that `encode` does not write."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("not JSON") from exc
    if not isinstance(message, dict) or message.keys() != {"v", "job_id"}:
        raise BadMessage("not an object of v and job_id")
    if type(message["v"]) is not int or message["v"] != VERSION:
        raise BadMessage("unknown version")
    job_id = message["job_id"]
    if type(job_id) is not int or not 0 < job_id <= MAX_JOB_ID:
        raise BadMessage("job_id is not a positive 64-bit integer")
    return job_id
