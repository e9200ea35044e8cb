"""Form fields that choose channels, roles and members by name. The values are Discord's ids, which nobody sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django import forms
from django.urls import reverse_lazy
from unfold.widgets import UnfoldAdminSelect2MultipleWidget, UnfoldAdminSelectWidget

from discord_api import snowflakes
from guilds import directory
from guilds.directory import ChannelName, Directory, RoleName

from . import member_names

Choice = tuple[int | str, str]


def channel_label(channel: ChannelName) -> str:
    """Return how a list shows a channel: its name, its category, and whether it was deleted."""
    if not channel.name:
        return "Deleted channel" if channel.gone else "Unknown channel"
    if channel.kind == directory.CATEGORY:
        label = f"{channel.name} (whole category)"
    else:
        label = f"#{channel.name}" + (f" · {channel.category}" if channel.category else "")
    return f"{label} (deleted)" if channel.gone else label


def role_label(role: RoleName) -> str:
    """Return how a list shows a role."""
    if not role.name:
        return "Deleted role" if role.gone else "Unknown role"
    return f"@{role.name} (deleted)" if role.gone else f"@{role.name}"


def channel_choices(
    known: Directory, *, chosen: Iterable[int] = (), kinds: Collection[int] = directory.WRITABLE | {directory.CATEGORY}
) -> list[Choice]:
    """Return the channels to choose from, and those that are chosen already, even if they were deleted."""
    offered = [channel for channel in known.channels if not channel.gone and channel.kind in kinds]
    ids = {channel.id for channel in offered}
    kept = [known.channel(channel_id) for channel_id in chosen if channel_id not in ids]
    return [(channel.id, channel_label(channel)) for channel in (*offered, *kept)]


def role_choices(known: Directory, *, chosen: Iterable[int] = ()) -> list[Choice]:
    """Return the roles to choose from, and those that are chosen already, even if they were deleted."""
    offered = [role for role in known.roles if not role.gone]
    ids = {role.id for role in offered}
    kept = [known.role(role_id) for role_id in chosen if role_id not in ids]
    return [(role.id, role_label(role)) for role in (*offered, *kept)]


class NamesField(forms.TypedMultipleChoiceField):
    """Several channels or roles, chosen by name. The cleaned value is a list of ids."""

    widget = UnfoldAdminSelect2MultipleWidget

    def __init__(self, what: str, **kwargs: Any) -> None:
        messages = {
            "invalid_choice": f"One of the {what} is not on this server any more. Choose from the list.",
            "invalid_list": f"Choose {what} from the list.",
        }
        super().__init__(coerce=int, required=False, error_messages=messages, **kwargs)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return {str(value) for value in initial or ()} != {str(value) for value in data or ()}


class NameField(forms.TypedChoiceField):
    """One channel or role, chosen by name, or none. The cleaned value is its id."""

    widget = UnfoldAdminSelectWidget

    def __init__(self, what: str, **kwargs: Any) -> None:
        messages = {"invalid_choice": f"This {what} is not on this server any more. Choose one from the list."}
        super().__init__(coerce=int, empty_value=None, required=False, error_messages=messages, **kwargs)


class MemberSelect(forms.Select):
    """A list of members that is searched by name on the server (sparkle_site.admin.member_search)."""

    guild_ids: frozenset[int] | None = frozenset()
    """The guilds whose names may be shown; None for all."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        search = {
            "class": "unfold-filter-autocomplete",
            "data-theme": "admin-autocomplete",
            "data-ajax--url": reverse_lazy("admin:members"),
            "data-ajax--delay": "250",
            "data-allow-clear": "true",
            "data-placeholder": "Type the start of a name",
            "style": "width: 100%",
        }
        super().__init__({**search, **(attrs or {})})

    def optgroups(self, name: str, value: list[str], attrs: Any = None) -> list[Any]:
        ids = [user_id for each in value if (user_id := snowflakes.parse(each)) is not None]
        names = member_names.in_guilds(ids, self.guild_ids)
        self.choices = [("", ""), *((user_id, names.get(user_id, member_names.UNKNOWN)) for user_id in ids)]
        return super().optgroups(name, value, attrs)

    class Media:
        js = (
            "admin/js/vendor/jquery/jquery.min.js",
            "admin/js/vendor/select2/select2.full.js",
            "admin/js/jquery.init.js",
            "unfold/js/select2.init.js",
        )
        css = {"screen": ("admin/css/vendor/select2/select2.css", "admin/css/autocomplete.css")}


class MemberField(forms.Field):
    """One member, chosen by name. The cleaned value is their id."""

    widget = MemberSelect
    default_error_messages = {
        "required": "Choose a member.",
        "unknown": "Choose a member from the list: type the start of their name and pick them.",
    }

    def to_python(self, value: Any) -> int | None:
        return snowflakes.parse(value) if value not in self.empty_values else None

    def clean(self, value: Any) -> int | None:
        if value not in self.empty_values and not self._known(value):
            raise forms.ValidationError(self.error_messages["unknown"], code="unknown")
        cleaned: int | None = super().clean(value)
        return cleaned

    def _known(self, value: Any) -> bool:
        user_id = snowflakes.parse(value)
        if user_id is None:
            return False
        widget = self.widget
        assert isinstance(widget, MemberSelect)  # noqa: S101
        return str(self.initial) == str(user_id) or bool(member_names.in_guilds([user_id], widget.guild_ids))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return str(initial or "") != str(data or "")
