"""Who may enter."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import BigIntegerField, Exists, OuterRef, QuerySet
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from guilds.models import Staff

from . import dialogs, formatting
from .access import OBSERVERS
from .scoped_admin import ScopedAdmin

# allauth's rows hold secrets and tokens, and are nobody's to edit.
_FOREIGN = ("account", "socialaccount", "mfa")
admin.site.unregister(
    [User, Group, *(model for model in list(admin.site._registry) if model._meta.app_label in _FOREIGN)]
)


@admin.register(User)
class UserAdmin(ScopedAdmin, DjangoUserAdmin):
    guild_path = None
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "display_kind", "is_active", "display_last_login"]
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
    # Unfold's own class comes first and has none.
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
    actions_detail = ["reset_second_factor"]

    def has_reset_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.may_act(request, object_id):
            return False
        return object_id is None or is_mfa_enabled(self.get_or_404(request, object_id))

    @action(
        description="Reset the second factor",
        icon="lock_reset",
        url_path="reset-second-factor",
        permissions=["reset"],
        dialog=dialogs.dialog(
            "Reset the second factor?",
            "For someone who lost it. They must set up a new one before the admin opens again; be sure who asks.",
            "Reset",
        ),
    )
    def reset_second_factor(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        person = self.get_or_404(request, object_id)
        Authenticator.objects.filter(user=person).delete()
        self.log_change(request, person, "Reset the second factor")
        messages.success(request, f"{person} has to set up a new second factor.")
        return dialogs.done(request, reverse("admin:auth_user_change", args=[person.pk]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        accounts = SocialAccount.objects.filter(provider="discord", user=OuterRef(OuterRef("pk")))
        snowflakes = accounts.annotate(snowflake=Cast("uid", BigIntegerField())).values("snowflake")
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.annotate(manages=Exists(Staff.objects.filter(user_id__in=snowflakes)))

    @display(description="Kind", label={"Operator": "primary", "Observer": "info", "Moderator": "success"})
    def display_kind(self, user: User) -> str:
        if user.is_superuser:
            return "Operator"
        if user.is_staff:
            return "Observer"
        return "Moderator" if getattr(user, "manages", False) else "Member"

    @display(description="Last sign-in", ordering="last_login")
    def display_last_login(self, user: User) -> str:
        return formatting.when(user.last_login, empty="never")


@admin.register(Group)
class GroupAdmin(ScopedAdmin, DjangoGroupAdmin):  # type: ignore[misc]  # two mixins name a form
    guild_path = None
    operators_may = frozenset({"view"})


@admin.register(Staff)
class StaffAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["user_id", "guild", "role", "display_synced"]
    list_select_related = ["guild"]
    search_fields = ["=user_id"]

    @display(description="Discord said so", ordering="synced_at")
    def display_synced(self, staff: Staff) -> str:
        return formatting.when(staff.synced_at)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["guild", "user_id", "role", "synced_at"]
