"""Settings from the environment: a bad value is refused, and the refusal names the variable."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import environment


@pytest.mark.parametrize(
    ("read", "bad"),
    [
        (lambda name: environment.flag(name, default=False), "maybe"),
        (lambda name: environment.number(name, 1), "many"),
        (lambda name: environment.number(name, 1, least=1), "0"),
        (lambda name: environment.one_of(name, ("embedded", "production")), "prod"),
        (environment.address, "laurel.example"),
        (environment.redis, "localhost:6379"),
        (lambda name: environment.database(name, settings.ROOT, pool_size=1), "mysql://host/name"),
        (lambda name: environment.database(name, settings.ROOT, pool_size=1), "postgresql://host"),
    ],
    ids=["flag", "number", "least", "choice", "address", "redis", "database", "no-name"],
)
def test_a_bad_value_is_refused_by_the_name_of_its_variable(monkeypatch, read, bad):
    monkeypatch.setenv("LAUREL_SOMETHING", bad)
    with pytest.raises(ImproperlyConfigured, match="LAUREL_SOMETHING"):
        read("LAUREL_SOMETHING")


def test_a_database_address_is_taken_apart(monkeypatch):
    monkeypatch.setenv("LAUREL_SOMETHING", "postgresql://ann%40x:p%2Fw@db.example:5433/laurel?sslmode=require")
    found = environment.database("LAUREL_SOMETHING", settings.ROOT, pool_size=7)
    told = {name: found[name] for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT")}
    assert told == {"NAME": "laurel", "USER": "ann@x", "PASSWORD": "p/w", "HOST": "db.example", "PORT": "5433"}
    assert found["OPTIONS"]["sslmode"] == "require"
    assert found["OPTIONS"]["pool"]["max_size"] == 7
    assert found["OPTIONS"]["options"] == "-c jit=off"


def test_without_an_address_the_database_is_a_file_that_many_processes_can_write(tmp_path, monkeypatch):
    monkeypatch.delenv("LAUREL_SOMETHING", raising=False)
    found = environment.database("LAUREL_SOMETHING", tmp_path / "db.sqlite3", pool_size=1)
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in found["OPTIONS"]["init_command"]


def test_a_secret_is_made_once_however_many_ask_and_nobody_else_may_read_it(tmp_path, monkeypatch):
    monkeypatch.delenv("LAUREL_SOMETHING", raising=False)
    with ThreadPoolExecutor(8) as pool:
        asked = [
            pool.submit(environment.secret, "LAUREL_SOMETHING", kept_in=tmp_path / "home" / "secret") for _ in range(8)
        ]
    assert len({each.result() for each in asked}) == 1
    assert stat.S_IMODE((tmp_path / "home" / "secret").stat().st_mode) == 0o600


def test_production_wants_a_secret_of_its_own(monkeypatch):
    monkeypatch.delenv("LAUREL_SOMETHING", raising=False)
    with pytest.raises(ImproperlyConfigured, match="LAUREL_SOMETHING"):
        environment.secret("LAUREL_SOMETHING", kept_in=None)


def test_a_process_with_a_bad_setting_does_not_start_and_says_why(tmp_path):
    tried = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=settings.ROOT,
        env={"LAUREL_HOME": str(tmp_path), "LAUREL_DATABASE_POOL": "plenty"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode != 0
    assert "LAUREL_DATABASE_POOL is 'plenty'" in tried.stderr
