"""Pages: the front end for every address of the app, the API's documentation, and a sign of life."""

from __future__ import annotations

from typing import TYPE_CHECKING

from csp.decorators import csp_replace
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe
from drf_spectacular.views import SpectacularSwaggerSplitView
from whitenoise.middleware import WhiteNoiseMiddleware

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

NOT_BUILT = "The front end is not built yet: run `make build`, or use the API at /api/docs/."


class Files(WhiteNoiseMiddleware):  # type: ignore[misc]  # WhiteNoise carries no types
    """Static files, and the front end's as they lie on the disk now: a build under a running server is served at once.

    Django's own static files are listed when the server starts; those of a build change their names with it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self.directories = [(f"{settings.FRONT_END}/", "/")]

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer with a file where one lies at the address."""
        file = self.files.get(request.path_info) or self.find_file(request.path_info)
        answer: HttpResponseBase = self.get_response(request) if file is None else self.serve(file, request)
        return answer


class ContentPolicy(CSPMiddleware):
    """The content security policy of each page."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Below the API's addresses there is none to write: JSON and files to download are never shown as a page."""
        return response if request.path_info.startswith("/api/v1/") else super().process_response(request, response)


@require_safe
@never_cache
@ensure_csrf_cookie
def front_end(_request: HttpRequest) -> HttpResponse:
    """The one page of the front end, which finds its own way by the address."""
    index = settings.FRONT_END / "index.html"
    if not index.exists():
        return HttpResponse(NOT_BUILT, status=503, content_type="text/plain")
    return HttpResponse(index.read_bytes(), content_type="text/html; charset=utf-8")


@require_safe
@never_cache
def alive(_request: HttpRequest) -> JsonResponse:
    """Whether this web process answers and reaches its database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return JsonResponse({"alive": True})


DOCS_POLICY = {
    "default-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "style-src": ["'self'", "'unsafe-inline'"],  # Swagger UI styles its own elements
    "object-src": ["'none'"],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}


@method_decorator(csp_replace(DOCS_POLICY), name="dispatch")
class Docs(SpectacularSwaggerSplitView):
    """The API's documentation, readable and tryable."""
