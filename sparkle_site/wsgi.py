"""The WSGI application for gunicorn. Production sets DJANGO_SETTINGS_MODULE to sparkle_site.settings.web."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.web")
application = get_wsgi_application()
if os.environ.get("BEHIND_GATEWAY") == "true":
    from .forwarded_headers import trust_api_gateway

    application = trust_api_gateway(application)  # type: ignore[assignment]
