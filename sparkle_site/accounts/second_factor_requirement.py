"""The second factor, which operators and observers need because they see all servers."""

from __future__ import annotations

from allauth.account.authentication import get_authentication_records
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import urlencode


def missing(request: HttpRequest) -> bool:
    """Return whether the user is an operator or observer whose session lacks a second factor.

    Until then their rights count nowhere on the site (sparkle_site.admin.access).
    """
    user = request.user
    if not settings.OPERATORS_NEED_2FA or not (user.is_superuser or user.is_staff):
        return False
    # Compared by id: after a factor was replaced, old sessions must use the new one.
    used = {record.get("id") for record in get_authentication_records(request, user) if record["method"] == "mfa"}
    return not Authenticator.objects.filter(user=user, pk__in=used - {None}).exists()


def ask(request: HttpRequest) -> HttpResponseRedirect:
    """Return a redirect to the page that sets up the second factor or asks for it."""
    if not is_mfa_enabled(request.user):
        return HttpResponseRedirect(resolve_url("mfa_activate_totp"))
    after = request.get_full_path() if request.method == "GET" else request.path
    return HttpResponseRedirect(f"{resolve_url('mfa_reauthenticate')}?{urlencode({'next': after})}")
