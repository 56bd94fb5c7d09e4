"""Readers for environment variables: each refuses a bad value and names the variable."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, default: str = "") -> str:
    """The variable's text, or the default where it is unset or empty."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, *, default: bool) -> bool:
    """A yes or a no."""
    value = text(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} is {value!r}; say 1 or 0")
    return value in TRUE


def number(name: str, default: int, *, least: int = 0) -> int:
    """A whole number that is not below `least`."""
    value = text(name)
    if not value:
        return default
    try:
        result = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name} is {value!r}; a whole number is wanted") from None
    if result < least:
        raise ImproperlyConfigured(f"{name} is {result}; it must be at least {least}")
    return result


def one_of(name: str, choices: tuple[str, ...]) -> str:
    """One of the choices; the first is the default."""
    value = text(name, choices[0])
    if value not in choices:
        raise ImproperlyConfigured(f"{name} is {value!r}; choose one of {', '.join(choices)}")
    return value


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A list, separated by commas."""
    return [word.strip() for word in text(name).split(",") if word.strip()] or list(default)


def address(name: str, default: str = "") -> str:
    """An http or https address without a trailing slash."""
    value = text(name, default)
    if value and urlsplit(value).scheme not in {"http", "https"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; an http:// or https:// address is wanted")
    return value.rstrip("/")


def redis(name: str) -> str:
    """A Redis address, or nothing."""
    value = text(name)
    if value and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
        raise ImproperlyConfigured(f"{name} is {value!r}; an address like redis://host:6379/0 is wanted")
    return value


def secret(name: str, *, kept_in: Path | None) -> str:
    """The secret from the environment, else from a private file that is made on first use.

    Without a file the variable is required.
    """
    value = os.environ.get(name, "")
    if value:
        return value
    if kept_in is None:
        raise ImproperlyConfigured(f"{name} is not set; production wants a long random text in it")
    kept_in.parent.mkdir(parents=True, exist_ok=True)
    draft = kept_in.with_name(f".{kept_in.name}-{secrets.token_hex(8)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(64))
    try:
        os.link(draft, kept_in)  # the first process wins; the others read what it wrote
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return kept_in.read_text()


def database(name: str, sqlite_file: Path, *, pool_size: int) -> dict[str, Any]:
    """Django's database dictionary for an address; no address means the SQLite file.

    `postgresql://user:password@host:5432/name?sslmode=require` and `sqlite:////absolute/file` are understood.
    """
    value = text(name)
    parts = urlsplit(value)
    if not value:
        return sqlite(sqlite_file)
    if parts.scheme == "sqlite":
        return sqlite(Path(unquote(parts.path)))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured(f"{name} begins with {parts.scheme!r}; postgresql:// or sqlite:// is wanted")
    if not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} names no database")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.strip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,  # the pool keeps connections, not Django
        "OPTIONS": {
            # Of our statements none runs long enough to be worth compiling; in a large queue each would be, at 80 ms.
            "options": "-c jit=off",
            **dict(parse_qsl(parts.query)),
            "pool": {"min_size": 1, "max_size": pool_size, "timeout": 20},
            "prepare_threshold": 2,  # times that training.composed says a statement before it is planned for good
        },
    }


def sqlite(file: Path) -> dict[str, Any]:
    """SQLite as a server wants it: writers queue up instead of failing, readers never wait."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(file),
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
