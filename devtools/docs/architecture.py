"""The architecture diagram: which part calls which, and what is stored where."""

from __future__ import annotations

from .diagrams import Arrow, Box, draw

BOXES = {
    "member": Box(text="Member", x=90, y=60, width=120, kind="outside"),
    "discord": Box(text="Discord", x=660, y=60, width=880, kind="outside"),
    "moderator": Box(text="Moderator\nin a browser", x=90, y=220, width=120, height=56, kind="outside"),
    "gateway": Box(text="API Gateway", x=320, y=220, width=120),
    "lambda": Box(text="interactions_lambda\nverify, decide, answer", x=550, y=220, width=180, height=56),
    "queue": Box(text="SQS FIFO queue", x=790, y=220, width=130, kind="store"),
    "worker": Box(text="gpu_worker\nclaim, generate, store", x=1010, y=220, width=180, height=56),
    "site": Box(text="sparkle_site\nadmin, dashboard, gallery", x=320, y=390, width=190, height=56),
    "database": Box(text="PostgreSQL", x=550, y=390, width=130, kind="store"),
    "images": Box(text="S3 bucket", x=1010, y=390, width=130, kind="store"),
    "upkeep": Box(text="upkeep, each minute\nresend, reclaim, refund", x=550, y=530, width=190, height=56),
    "scaling": Box(text="scaling, every 10 s", x=790, y=530, width=150),
}
ARROWS = (
    Arrow(start="member", end="discord", text="/sparkle"),
    Arrow(start="discord", end="gateway", text="signed POST"),
    Arrow(start="gateway", end="lambda"),
    Arrow(start="lambda", end="database", text="one transaction:\nquota and job"),
    Arrow(start="lambda", end="queue", text="job id", dashed=True),
    Arrow(start="queue", end="worker", text="job id", dashed=True),
    Arrow(start="worker", end="database", text="lease, status"),
    Arrow(start="worker", end="images", text="images"),
    Arrow(start="worker", end="discord", text="progress, images"),
    Arrow(start="moderator", end="gateway", text="pages"),
    Arrow(start="gateway", end="site"),
    Arrow(start="site", end="database"),
    Arrow(start="upkeep", end="database"),
    Arrow(start="scaling", end="database", text="demand"),
    Arrow(start="scaling", end="worker", text="starts and stops"),
)


def architecture_diagram() -> str:
    """Return the SVG of the architecture."""
    return draw(BOXES, ARROWS, title="Sparkle's parts and what they send to each other")
