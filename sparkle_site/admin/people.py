"""Who may enter."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from guilds.models import Staff

from . import shown
from .scope import OBSERVERS, ScopedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class PersonAdmin(ScopedAdmin, DjangoUserAdmin):
    guild_path = None
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "shown_kind", "is_active", "shown_last_login"]
    list_filter = ["is_superuser", "is_active"]
    fieldsets = (
        (None, {"fields": ("username", "password", "first_name", "email")}),
        (
            "What they may do",
            {
                "fields": ("is_active", "is_superuser", "is_staff", "groups"),
                "description": f"An operator may do everything. A member of the group {OBSERVERS} sees everything and "
                "changes nothing. A moderator needs neither: Discord says which servers they manage.",
            },
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ["last_login", "date_joined"]

    @display(description="Kind", label={"Operator": "primary", "Observer": "info", "Moderator": "success"})
    def shown_kind(self, user: User) -> str:
        if user.is_superuser:
            return "Operator"
        return "Observer" if user.is_staff else "Moderator"

    @display(description="Last sign-in", ordering="last_login")
    def shown_last_login(self, user: User) -> str:
        return shown.when(user.last_login, empty="never")


@admin.register(Group)
class CircleAdmin(ScopedAdmin, DjangoGroupAdmin):
    guild_path = None
    operators_may = frozenset({"view"})


@admin.register(Staff)
class StaffAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["user_id", "guild", "role", "shown_synced"]
    list_select_related = ["guild"]
    search_fields = ["=user_id"]

    @display(description="Discord said so", ordering="synced_at")
    def shown_synced(self, staff: Staff) -> str:
        return shown.when(staff.synced_at)

    def get_fields(self, request: Any, obj: Any = None) -> list[str]:
        return ["guild", "user_id", "role", "synced_at"]
