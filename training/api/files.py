"""Files over HTTP: streamed in constant memory, resumable, and verifiable."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpResponse, StreamingHttpResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

CHUNK = 256 * 1024
ONE_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})\Z")


def answer(request: Request, file: Path, *, etag: str, sha256: str, content_type: str, name: str) -> HttpResponseBase:
    """Send a file, or the range of it that is asked for; 304 to those who have it, 416 to those who ask beyond it."""
    size, quoted = file.stat().st_size, f'"{etag}"'
    headers = {
        "ETag": quoted,
        "X-Content-SHA256": sha256,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    if quoted in [each.strip() for each in request.headers.get("If-None-Match", "").split(",")]:
        return HttpResponse(status=304, headers=headers)
    wanted = asked_range(request, quoted, size)
    if wanted is None:
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    first, end, status = *wanted, 200
    if "Range" in request.headers and (first, end) != (0, size):
        headers["Content-Range"], status = f"bytes {first}-{end - 1}/{size}", 206
    headers |= {"Content-Length": str(end - first), "Content-Disposition": f'attachment; filename="{name}"'}
    is_async = isinstance(request._request, ASGIRequest)  # noqa: SLF001 (DRF hides which server this is)
    body = async_slices(file, first, end) if is_async else slices(file, first, end)
    return StreamingHttpResponse(body, status=status, headers=headers, content_type=content_type)


def asked_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) of what is wanted; the whole file unless one good range is asked for."""
    found = ONE_RANGE.match(request.headers.get("Range", "").strip())
    if found is None or request.headers.get("If-Range", etag) != etag:
        return 0, size
    first, last = found["first"], found["last"]
    if not first and not last:
        return 0, size
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    if int(first) >= size or (last and int(last) < int(first)):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def slices(file: Path, first: int, end: int) -> Iterator[bytes]:
    """The bytes from first to end, piece by piece."""
    with file.open("rb") as stream:
        stream.seek(first)
        while first < end:
            piece = stream.read(min(CHUNK, end - first))
            first += len(piece)
            yield piece


async def async_slices(file: Path, first: int, end: int) -> AsyncIterator[bytes]:
    """The same under ASGI, where a reader that is slow or gone holds nobody up."""
    pieces = slices(file, first, end)
    try:
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece
    finally:
        pieces.close()  # type: ignore[attr-defined]
