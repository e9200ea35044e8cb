"""The settings that are read from the environment: found in the source, with a description each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("sparkle_site/settings", "telemetry", "gpu_worker", "interactions_lambda", "jobs", "guilds", "discord_api")
# Settings of the local development, and of programs that build the deployment.
LEFT_OUT = {"local.py", "test.py", "packaging.py"}
READERS = {"str", "int", "float", "bool", "list", "get"}
GROUPS = {
    "Every process": {
        "DATABASE_URL": "The database, as `postgres://user:password@host:5432/name`.",
        "DATABASE_IAM_AUTH": "Log in to RDS with an IAM token instead of the password in `DATABASE_URL`.",
        "DJANGO_SECRET_KEY": "Django's secret key. It also encrypts interaction tokens and names images, so a restored"
        " deployment needs the same one.",
        "DISCORD_APPLICATION_ID": "Application ID, from Discord's developer portal.",
        "DISCORD_PUBLIC_KEY": "Public key, from Discord's developer portal: 64 hexadecimal digits.",
        "DISCORD_BOT_TOKEN": "The bot's token. On AWS set `DISCORD_BOT_TOKEN_ARN` instead.",
        "DISCORD_BOT_TOKEN_ARN": "ARN of the secret in AWS Secrets Manager that holds the bot's token.",
        "DISCORD_API_BASE": "Address of Discord's REST API.",
        "DISCORD_CDN_HOSTS": "Hosts that a source image may be downloaded from, separated by commas.",
        "SQS_QUEUE_URL": "URL of the jobs' FIFO queue.",
        "IMAGE_BUCKET": "S3 bucket of the images.",
        "MODEL_ID": "The default pipeline: a Hugging Face id or a folder. The default is the demo model.",
        "JOB_DISPATCHER": "Dotted path of the class that sends job messages.",
        "SITE_URL": "Public address of the site.",
        "DEPLOYMENT": "Name of the deployment in metrics and traces.",
        "LOG_LEVEL": "Least severe level that is logged.",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "Collector that receives traces by OTLP over HTTP. Not set: no traces.",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "The same, for traces only.",
    },
    "Jobs": {
        "SPARKLE_LEASE_SECONDS": "Length of a worker's lease on a job, in seconds.",
        "SPARKLE_RESEND_AFTER_SECONDS": "Seconds after which the message of a queued job is sent again, the next time"
        " after twice as long, and so on.",
        "SPARKLE_ANNOUNCE_AFTER_SECONDS": "Seconds after which upkeep notifies the member of a job's end, where the"
        " worker has not.",
        "SPARKLE_MAX_ATTEMPTS": "Counted attempts after which a job fails.",
    },
    "Worker": {
        "SPARKLE_ENGINE": "`diffusers`, or `noise` for an engine without a model.",
        "SPARKLE_NOISE_STEP_S": "Seconds that a step of the `noise` engine takes.",
        "SPARKLE_WEIGHTS_DIR": "Folder of the weights that were exported into the image.",
        "SPARKLE_BATCH_CAPACITY": "Capacity of a batch, in units of one 512x512 image. Not set: measured at the start.",
        "SPARKLE_COMPILE": "`1` compiles the model with `torch.compile` beside the work. No card has timed it yet.",
        "SPARKLE_LOADING_BOUND_SECONDS": "Seconds after which loading a model counts as stuck, and the worker exits.",
        "SPARKLE_STEP_BOUND_SECONDS": "The same for one step.",
        "SPARKLE_DECODING_BOUND_SECONDS": "The same for decoding.",
        "SPARKLE_PUBLISHING_BOUND_SECONDS": "The same for one attempt to store or deliver.",
        "SPARKLE_C2PA_CHAIN": "Certificate chain (PEM) for content credentials. Not set: images carry none.",
        "SPARKLE_C2PA_KEY": "Private key (PEM) of that chain.",
        "SPARKLE_C2PA_ALGORITHM": "Signature algorithm of that key.",
        "SPARKLE_HEALTH_FILE": "File whose modification time tells the container's health check that the worker lives.",
        "ECS_AGENT_URI": "Set by ECS: where a task asks for scale-in protection.",
        "ECS_CONTAINER_METADATA_URI_V4": "Set by ECS: where the task reads which version of it runs.",
    },
    "Functions": {
        "DATABASE_STATEMENT_TIMEOUT_MS": "Longest time of one SQL statement, in milliseconds; also for workers.",
        "JOBS_PER_WORKER": "Requests in the queue for each worker before one more is started.",
        "WORKERS_MAX": "Most workers at once.",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "Set by Lambda: `snap-start` makes the function load everything on import.",
    },
    "Site": {
        "ALLOWED_HOSTS": "Host names that the site answers for, separated by commas. Default: that of `SITE_URL`.",
        "DATABASE_POOL_SIZE": "Most database connections of one process.",
        "DISCORD_OAUTH_BASE": "Address of Discord's OAuth2 pages. Default: derived from `DISCORD_API_BASE`.",
        "DISCORD_CLIENT_SECRET": "OAuth2 client secret, to sign in with Discord. Empty: passwords only.",
        "HF_ENDPOINT": "Address of the Hugging Face Hub, from which the form of a model reads what a repository holds.",
        "HF_TOKEN": "Token for it, which gated or private repositories need. Empty: public ones only.",
        "METRICS_TOKEN": "Bearer token for `/metrics` in Prometheus' text format. Empty: there is no such page.",
        "SQS_DEAD_LETTER_URL": "URL of the dead-letter queue.",
        "OPERATORS_NEED_2FA": "Require a second factor from operators.",
        "SESSION_COOKIE_AGE": "Length of a session, in seconds.",
        "SECURE_SSL_REDIRECT": "Redirect HTTP to HTTPS. API Gateway accepts HTTPS only.",
        "SECURE_HSTS_SECONDS": "`max-age` of Strict-Transport-Security, in seconds.",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A variable of the environment, with its default as it is written in the source, or None."""

    name: str
    default: str | None
    required: bool


def read_settings() -> dict[str, Setting]:
    """Return each setting that the source reads, by name."""
    settings: dict[str, Setting] = {}
    for folder in SOURCES:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.name not in LEFT_OUT and "migrations" not in file.parts:
                for setting in _settings_of(ast.parse(file.read_text())):
                    known = settings.get(setting.name)
                    if known is None or setting.required or known.default is None:
                        settings[setting.name] = setting
    return settings


def table() -> str:
    """Return the settings as Markdown. Raises KeyError where a setting has no description, or no use."""
    settings = read_settings()
    described = {name for group in GROUPS.values() for name in group}
    if differing := described ^ set(settings):
        raise KeyError(f"describe in settings_table.GROUPS exactly what the source reads: {sorted(differing)}")
    sections = []
    for title, group in GROUPS.items():
        rows = [f"| `{name}` | {_default(settings[name])} | {meaning} |" for name, meaning in group.items()]
        sections.append("\n".join([f"## {title}\n", "| Variable | Default | Meaning |", "|---|---|---|", *rows]))
    return "\n\n".join(sections) + "\n"


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    return f"`{setting.default}`" if setting.default else ""


def _settings_of(tree: ast.AST) -> Iterator[Setting]:
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = _name(node.args[0], constants)
        if not (isinstance(name, str) and name.isupper()):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ("required", "secret"):
            yield Setting(name=name, default=None, required=True)
        elif isinstance(node.func, ast.Attribute) and node.func.attr in READERS and _is_environment(node.func.value):
            default = node.args[1:2] or [keyword.value for keyword in node.keywords if keyword.arg == "default"]
            yield Setting(name=name, default=_written(default[0]) if default else None, required=False)


def _name(node: ast.expr, constants: Mapping[str, object]) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None


def _is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) in ("env", "os.environ", "environment")


def _written(node: ast.expr) -> str | None:
    """Return a default as an operator would write it, or None where the program computes it."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    if isinstance(value, list):
        return ",".join(value)
    return str(value) if value not in ("", None) else None
