from django.urls import path

from . import edit_area, health, members, metrics

urlpatterns = [
    path("", members.home, name="home"),
    path("data/", members.download_data, name="download_data"),
    path("data/delete/", members.delete_everything, name="delete_everything"),
    path("requests/<int:job_id>/delete/", members.delete_request, name="delete_request"),
    path("gallery/<int:guild_id>/<int:job_id>/", members.gallery, name="gallery"),
    path("gallery/<int:guild_id>/<int:job_id>/<int:number>/edit/", edit_area.edit_area, name="edit_area"),
    path("p/<str:signed>/", members.signed_image, name="signed_image"),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("metrics", metrics.serve, name="metrics"),
]
