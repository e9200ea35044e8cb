"""Accounts of the admin, their groups, and the moderators as Discord lists them."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import BigIntegerField, Exists, OuterRef, QuerySet
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from guilds.models import Staff

from . import actor_names, audit_log, formatting, member_names
from .access import OBSERVERS
from .action_framework import Confirmation, Result, RowAction, with_actions
from .filters import MemberFilter
from .scoped_admin import ScopedAdmin

# allauth's rows hold secrets and tokens, so nobody may edit them.
_ALLAUTH_APPS = ("account", "socialaccount", "mfa")
admin.site.unregister(
    [User, Group, *(model for model in list(admin.site._registry) if model._meta.app_label in _ALLAUTH_APPS)]
)


def _reset_second_factor(request: HttpRequest, user: User, form: Any) -> Result:
    Authenticator.objects.filter(user=user).delete()
    audit_log.record_action(request, user, "Reset the second factor")
    return Result(text=f"{user} has to set up a new second factor.")


ON_ROW = (
    RowAction(
        name="reset_second_factor",
        label="Reset second factor",
        icon="lock_reset",
        url_path="reset-second-factor",
        permission="reset",
        confirmation=Confirmation(
            title="Reset the second factor?",
            text="For a user who lost it. They must set up a new one before they can open the admin. First make sure "
            "that the request really comes from them.",
            button="Reset",
        ),
        run=_reset_second_factor,
        applies_to=is_mfa_enabled,
    ),
)


@admin.register(User)
@with_actions(on_row=ON_ROW)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):
    guild_path = None
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["display_name", "display_kind", "is_active", "display_last_login"]
    list_filter = ["is_superuser", "is_active"]
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "email")}),
        (
            "Permissions",
            {
                "fields": ("is_active", "is_superuser", "is_staff", "groups"),
                "description": f"Superusers are operators and can do everything. Staff in the group {OBSERVERS} see "
                "everything and change nothing. Moderators need neither: Discord lists the servers they manage.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    # ScopedAdmin comes first in the MRO and has no add_fieldsets.
    add_fieldsets = (
        (
            None,
            {
                "fields": ("username", "usable_password", "password1", "password2"),
                "description": "For operators and observers. Moderators sign in with Discord and need no account here.",
            },
        ),
    )
    readonly_fields = ["last_login", "date_joined"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        accounts = SocialAccount.objects.filter(provider="discord", user=OuterRef(OuterRef("pk")))
        snowflakes = accounts.annotate(snowflake=Cast("uid", BigIntegerField())).values("snowflake")
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(manages=Exists(Staff.objects.filter(user_id__in=snowflakes)))

    @display(description="Name", ordering="username")
    def display_name(self, user: User) -> str:
        return actor_names.name_of(user)

    @display(description="Kind", label={"Operator": "primary", "Observer": "info", "Moderator": "success"})
    def display_kind(self, user: User) -> str:
        if user.is_superuser:
            return "Operator"
        if user.is_staff:
            return "Observer"
        return "Moderator" if getattr(user, "manages", False) else "Member"

    @display(description="Last sign-in", ordering="last_login")
    def display_last_login(self, user: User) -> str:
        return formatting.when(user.last_login, empty="Never")


@admin.register(Group)
class GroupAdmin(ScopedAdmin, DjangoGroupAdmin):  # type: ignore[misc]  # Both bases define `form`.
    guild_path = None
    operators_may = frozenset({"view"})


@admin.register(Staff)
class GuildManagerAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["display_member", "guild", "role", "display_synced"]
    list_select_related = ["guild"]
    list_filter = [MemberFilter]
    list_filter_submit = True
    readonly_fields = ["display_member"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Staff]:
        return member_names.with_names(super().get_queryset(request))

    @display(description="Moderator")
    def display_member(self, staff: Staff) -> SafeString:
        name = actor_names.of_account(staff.user_id) or getattr(staff, "member_name", None) or ""
        return formatting.member(staff.user_id, name)

    @display(description="Last synced", ordering="synced_at")
    def display_synced(self, staff: Staff) -> str:
        return formatting.when(staff.synced_at)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["guild", "display_member", "role", "synced_at"]
