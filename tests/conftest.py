"""Every test runs on SQLite in a file; those marked `both_databases` run again on PostgreSQL.

`make test` runs them the second time with LAUREL_TEST_DATABASE_URL. A database that is not there skips the tests with
the reason on a laptop, and fails them where CI=true.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections
from hypothesis import settings as hypothesis_settings

from config import environment

hypothesis_settings.register_profile("laurel", deadline=None)  # a busy machine is no defect
hypothesis_settings.load_profile("laurel")
HOME = Path(tempfile.mkdtemp(prefix="laurel-tests-"))
JOURNEYS = Path(__file__).parent / "journeys"
DATABASE_VARIABLE = "LAUREL_TEST_DATABASE_URL"


def chosen_database():
    """The database of this run, under a name of its own, without a pool: tests make and close threads at will."""
    database = environment.database(DATABASE_VARIABLE, HOME / "db.sqlite3", pool_size=4)
    database["OPTIONS"].pop("pool", None)
    if database["ENGINE"].endswith("sqlite3"):
        return database | {"TEST": {"NAME": str(HOME / "test.sqlite3")}}
    return database | {"TEST": {"NAME": f"test_laurel_{os.getpid()}"}}


settings.LAUREL_HOME = HOME
settings.STORE_ROOT = HOME / "store"
settings.RUNS_ROOT = HOME / "runs"
settings.DATABASES = {"default": chosen_database()}
connections.settings = connections.configure_settings(settings.DATABASES)  # Django was set up before this file was read
if hasattr(connections._connections, "default"):
    del connections["default"]
settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
settings.CELERY_BROKER_URL = "memory://"
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1", "localhost"]


def missing_database():
    """Why the chosen database cannot be used, or nothing."""
    if not os.environ.get(DATABASE_VARIABLE):
        return ""
    import psycopg  # noqa: PLC0415 (only where PostgreSQL was asked for)

    try:
        psycopg.connect(os.environ[DATABASE_VARIABLE], connect_timeout=5).close()
    except psycopg.Error as error:
        return f"{DATABASE_VARIABLE} cannot be reached: {error}"
    return ""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    # A file's tests stay together, and the longest files wait for most of their time: begun first, they wait beside the
    # others, and the end is left to many short ones.
    in_a_browser = {item.path for item in items if item.get_closest_marker("browser")}
    items.sort(key=lambda item: (JOURNEYS not in item.path.parents, item.path not in in_a_browser))
    reason = missing_database()
    if reason and environment.flag("CI", default=False):
        raise pytest.UsageError(reason)
    for item in items if reason else ():
        item.add_marker(pytest.mark.skip(reason=reason))


def pytest_unconfigure():
    shutil.rmtree(HOME, ignore_errors=True)
