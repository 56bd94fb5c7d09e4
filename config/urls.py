"""Every address of Laurel."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView

from config import errors, pages

handler400 = "config.errors.bad_request"
handler403 = "config.errors.forbidden"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"

urlpatterns = [
    path("api/v1/", include("labeling.urls")),  # what is asked for most comes first: addresses are tried in this order
    path("api/v1/", include("training.urls")),
    path("api/v1/", include("policy.urls")),
    path("admin/", admin.site.urls),
    path("healthz", pages.alive, name="alive"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", pages.Docs.as_view(url_name="schema"), name="docs"),
    re_path(r"^(?:api|static|assets)(?:/|$)", errors.no_such_address),
    re_path(r"", pages.front_end, name="front-end"),
]
