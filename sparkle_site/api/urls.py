from django.urls import path

from . import views

urlpatterns = [
    path("openapi.json", views.document, name="api_document"),
    path("requests", views.requests, name="api_requests"),
    path("requests/<int:job_id>", views.request, name="api_request"),
    path("requests/<int:job_id>/images/<int:number>", views.image, name="api_image"),
]
