"""Which code this is, for the cards of what it makes."""

from __future__ import annotations

import functools
import importlib.metadata
import subprocess

from django.conf import settings


@functools.cache
def current() -> str:
    """The commit, with `+` where the working tree differs from it; elsewhere the installed version."""
    if settings.CODE_REVISION:
        return str(settings.CODE_REVISION)
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return f"laurel {_version()}"
    return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version() -> str:
    try:
        return importlib.metadata.version("laurel")
    except importlib.metadata.PackageNotFoundError:
        return "0"
