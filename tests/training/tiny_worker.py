"""A Celery app whose one kind of job needs no model: `celery -A tests.training.tiny_worker worker`."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config.celery import app  # noqa: E402 (Django comes first)
from tests.training.conftest import SNAPSHOT, TINY  # noqa: E402
from training import kinds  # noqa: E402
from training.launcher import answer  # noqa: E402

for kind in (TINY, SNAPSHOT):
    kinds.register(kind)
train = answer(TINY.name)
snapshot = answer(SNAPSHOT.name)

__all__ = ["app"]
