"""The paths of the project."""

from django.urls import path
from notes import views

urlpatterns = [
    path("", views.index),
    path("notes/", views.add),
    path("indexed/", views.indexed),
    path("visits/", views.visits),
    path("uploads/", views.upload),
    path("health/", views.health),
]
