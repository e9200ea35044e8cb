"""Unfold's settings: names, colours and the menu, which shows each user only the pages that they may open."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.functional import lazy


def operators_only(request: HttpRequest) -> bool:
    from . import access

    return access.of(request).sees_all_guilds


def environment(request: HttpRequest) -> list[str] | None:
    """Return a label for the top of every page during maintenance or draining, else None."""
    from guilds.models import Platform

    platform = Platform.objects.first()
    if platform is None or not (platform.maintenance or platform.draining):
        return None
    return ["Maintenance", "danger"] if platform.maintenance else ["Draining", "warning"]


def _item(title: str, icon: str, address: str, *, operators: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse_lazy(f"admin:{address}")}
    if operators:
        item["permission"] = "sparkle_site.admin.navigation.operators_only"
    return item


_static = lazy(static, str)

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Sparkle",
    "SITE_HEADER": "Sparkle",
    "SITE_SUBHEADER": "Images for Discord servers",
    "SITE_SYMBOL": "auto_awesome",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _static("sparkle/icon.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "sparkle_site.admin.navigation.environment",
    "DASHBOARD_CALLBACK": "sparkle_site.admin.dashboard.callback",
    "STYLES": [_static("sparkle/admin.css")],
    "SCRIPTS": [
        _static("sparkle/times.js"),
        _static("sparkle/dashboard.js"),
        _static("sparkle/keyboard.js"),
        _static("sparkle/form_errors.js"),
    ],
    "BORDER_RADIUS": "8px",
    "COLORS": {
        "primary": {
            "50": "#eef0ff",
            "100": "#e0e3ff",
            "200": "#c7ccfe",
            "300": "#a5abfc",
            "400": "#8a92f9",
            "500": "#5865f2",
            "600": "#4752d9",
            "700": "#3a43b3",
            "800": "#31398f",
            "900": "#2c3372",
            "950": "#1b1e43",
        },
    },
    "SIDEBAR": {
        "show_search": False,
        "command_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    _item("Dashboard", "dashboard", "index"),
                    _item("Requests", "auto_awesome", "jobs_job_changelist"),
                    _item("Images", "photo_library", "jobs_jobimage_changelist"),
                    _item("Reports", "flag", "reports") | {"badge": "sparkle_site.admin.images.reported_badge"},
                ],
            },
            {
                "title": "Servers",
                "separator": True,
                "items": [
                    _item("Servers", "dns", "guilds_guild_changelist"),
                    _item("Usage", "data_usage", "guilds_usage_changelist"),
                    _item("Bans", "block", "guilds_ban_changelist"),
                    _item("Blocked terms", "speaker_notes_off", "guilds_blockedterm_changelist"),
                    _item("Styles", "palette", "guilds_stylepreset_changelist"),
                    _item("API keys", "key", "jobs_apikey_changelist"),
                    _item("Prompt lists", "list_alt", "guilds_promptlist_changelist"),
                    _item("LoRAs", "texture", "guilds_adapter_changelist"),
                    _item("Audit", "history", "audit"),
                ],
            },
            {
                "title": "Platform",
                "separator": True,
                "items": [
                    _item("Stuck jobs", "troubleshoot", "stuck_jobs", operators=True),
                    _item("Platform settings", "toggle_on", "guilds_platform_changelist", operators=True),
                    _item("Workers", "memory", "jobs_worker_changelist", operators=True),
                    _item("Models", "model_training", "guilds_modelprofile_changelist", operators=True),
                    _item("Users", "group", "auth_user_changelist", operators=True),
                    _item("Moderators", "shield_person", "guilds_staff_changelist", operators=True),
                ],
            },
        ],
    },
}
