"""Connects the Discord application to the deployment: its endpoints and its commands, through Discord's API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from discord_api import errors
from discord_api.client import DiscordClient
from guilds import command_registration
from guilds.app_version import __version__
from guilds.command_definitions import all_commands

from .step_runner import StepFailed
from .terraform_output import Deployment

# A new API's name and a function's first start can take a moment. Seconds.
WAITS_S = (5.0, 10.0, 20.0, 40.0)
EVENTS = ["APPLICATION_AUTHORIZED"]
_ENABLED = 2
RESET_ADVICE = (
    "Copy the token from Discord's developer portal (Bot, Reset Token) into TF_VAR_discord_bot_secret, raise"
    " secrets_version, and apply again."
)
KEY_ADVICE = "Copy both from Discord's developer portal (General Information) into terraform.tfvars, and apply again."


def client(deployment: Deployment, *, bot_token: str, **options: Any) -> DiscordClient:
    """Return a client with the bot's token; `options` as DiscordClient has them."""
    return DiscordClient(
        deployment.discord_api_base,
        application_id=int(deployment.discord_application_id),
        bot_token=bot_token,
        user_agent=f"DiscordBot ({deployment.site_url}, {__version__})",
        **options,
    )


def application_of(discord: DiscordClient) -> dict[str, Any]:
    """Return the token's application. Raises StepFailed."""
    try:
        return discord.application()
    except errors.DiscordError as error:
        if error.status == 401:
            raise StepFailed("Discord refuses the bot token.", RESET_ADVICE) from None
        raise _unavailable(error) from None


def identity_problem(application: dict[str, Any], *, application_id: str, public_key: str) -> str:
    """Return why the two values are not those of the token's application, or ""."""
    if str(application.get("id")) != application_id:
        return (
            f"The bot token belongs to application {application.get('id')},"
            f" but discord_application_id is {application_id}."
        )
    if str(application.get("verify_key", "")).lower() != public_key.lower():
        return "discord_public_key is not the public key of this application."
    return ""


def connect(
    deployment: Deployment, discord: DiscordClient, *, sleep: Callable[[float], object] = time.sleep
) -> list[str]:
    """Set both endpoints and register the commands where they differ; return what was done. Raises StepFailed."""
    application = application_of(discord)
    problem = identity_problem(
        application, application_id=deployment.discord_application_id, public_key=deployment.discord_public_key
    )
    if problem:
        raise StepFailed(problem, KEY_ADVICE)
    endpoints = (
        _Endpoint(what="interactions endpoint", settings={"interactions_endpoint_url": deployment.interactions_url}),
        _Endpoint(
            what="event webhook",
            settings={
                "event_webhooks_url": deployment.events_url,
                "event_webhooks_status": _ENABLED,
                "event_webhooks_types": EVENTS,
            },
        ),
    )
    advice = (
        f"Read why: aws logs tail /aws/lambda/{deployment.name}-interactions --since 15m --region {deployment.region}."
        " With domain_name, its CNAME record must be there (terraform output custom_domain_target). Then apply again."
    )
    done = [_set(endpoint, application, discord, advice=advice, sleep=sleep) for endpoint in endpoints]
    return [*done, _register(discord)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    """An address that Discord checks, the first one of `settings`, and what belongs to it."""

    what: str
    settings: dict[str, Any]


def _set(
    endpoint: _Endpoint,
    application: dict[str, Any],
    discord: DiscordClient,
    *,
    advice: str,
    sleep: Callable[[float], object],
) -> str:
    name, url = next(iter(endpoint.settings.items()))
    if all(application.get(key) == value for key, value in endpoint.settings.items()):
        return f"The {endpoint.what} is {url}."
    for wait in (*WAITS_S, None):
        try:
            discord.edit_application(endpoint.settings)
        except errors.InvalidFormBody:
            if wait is None:
                raise StepFailed(f"Discord could not verify the {endpoint.what} {url}.", advice) from None
            sleep(wait)
        except errors.DiscordError as error:
            raise _unavailable(error) from None
        else:
            break
    before = application.get(name)
    return f"The {endpoint.what} was set to {url}" + (f"; it was {before}." if before and before != url else ".")


def _register(discord: DiscordClient) -> str:
    try:
        changes = command_registration.register(discord)
    except errors.DiscordError as error:
        raise _unavailable(error) from None
    if not changes:
        return f"All {len(all_commands())} commands are registered."
    return "Commands registered: " + ", ".join(f"{change.name} ({change.kind})" for change in changes) + "."


def _unavailable(error: errors.DiscordError) -> StepFailed:
    return StepFailed(
        f"Discord answered with {error.status} ({error.message or 'no reason'}).",
        "Look at discordstatus.com, and apply again.",
    )
