from django.urls import path

from . import health, members, metrics

urlpatterns = [
    path("", members.home, name="home"),
    path("data/", members.download_data, name="download_data"),
    path("data/delete/", members.delete_everything, name="delete_everything"),
    path("requests/<int:job_id>/delete/", members.delete_request, name="delete_request"),
    path("gallery/<int:guild_id>/<int:job_id>/", members.gallery, name="gallery"),
    path("p/<str:signed>/", members.signed_image, name="signed_image"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.serve, name="metrics"),
]
