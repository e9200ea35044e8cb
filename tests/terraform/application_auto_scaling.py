"""A stand-in for Application Auto Scaling, which ministack lacks: it keeps what Terraform registers.

That an alarm of AWS's runs a step policy is AWS's part; the tests look at the alarm and at the policy's steps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ARN = "arn:aws:autoscaling:us-east-1:000000000000:scalingPolicy:0:resource/ecs/{ResourceId}:policyName/{PolicyName}"


class Store:
    """The targets and policies that were registered, by their own names."""

    def __init__(self) -> None:
        self.targets: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.refusing = False

    def answer(self, action: str, asked: dict[str, Any]) -> dict[str, Any]:
        resource = asked.get("ResourceId", "")
        match action:
            case "RegisterScalableTarget":
                arn = f"arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/{resource}"
                kept = self.targets.get(resource, {"CreationTime": time.time(), "RoleARN": "arn:aws:iam::0:role/r"})
                self.targets[resource] = kept | asked | {"ScalableTargetARN": arn}
                return {"ScalableTargetARN": arn}
            case "DescribeScalableTargets":
                wanted = asked.get("ResourceIds") or list(self.targets)
                return {"ScalableTargets": [self.targets[each] for each in wanted if each in self.targets]}
            case "DeregisterScalableTarget":
                self.targets.pop(resource, None)
                return {}
            case "PutScalingPolicy":
                arn = ARN.format(**asked)
                self.policies[asked["PolicyName"]] = asked | {"PolicyARN": arn, "CreationTime": time.time()}
                return {"PolicyARN": arn, "Alarms": []}
            case "DescribeScalingPolicies":
                wanted = asked.get("PolicyNames") or list(self.policies)
                return {"ScalingPolicies": [self.policies[each] for each in wanted if each in self.policies]}
            case "DeleteScalingPolicy":
                self.policies.pop(asked["PolicyName"], None)
                return {}
            case "ListTagsForResource":
                return {"Tags": {}}
            case _:
                return {}


@contextmanager
def running() -> Iterator[tuple[str, Store]]:
    """Serve on a free port; yield its address and what it holds."""
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            refusal = {"__type": "AccessDeniedException", "message": "not yet"}
            action = self.headers["X-Amz-Target"].split(".")[-1]
            body = json.dumps(refusal if store.refusing else store.answer(action, asked)).encode()
            self.send_response(400 if store.refusing else 200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", store
    finally:
        server.shutdown()
        server.server_close()
