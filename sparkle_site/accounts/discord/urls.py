from allauth.socialaccount.providers.oauth2.urls import default_urlpatterns

from .provider import Discord

urlpatterns = default_urlpatterns(Discord)
