"""The web role's entry: `uvicorn config.asgi:application`."""

from __future__ import annotations

import os
import warnings

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# WhiteNoise reads its small files piece by piece; downloads that matter are streamed by training.api.files.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")

django.setup(set_prefix=False)

from config.web import OneVisitHandler  # noqa: E402 (Django must be set up before its handlers are read)

application = OneVisitHandler()
