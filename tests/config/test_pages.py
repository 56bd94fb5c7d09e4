"""The front end as it lies on the disk, whatever lay there when the server started."""

from __future__ import annotations

import shutil

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def build(folder, name):
    """What a build leaves: an index that names its script, and the script under a name made of its content."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(f'<script src="/assets/index-{name}.js"></script>')
    (folder / "assets" / f"index-{name}.js").write_text(f"say('{name}')")
    (folder / "laurel.svg").write_text(f"<svg>{name}</svg>")


@pytest.mark.parametrize("built_before", [True, False], ids=["another build", "no build"])
def test_a_front_end_built_under_a_running_server_is_served_without_a_restart(tmp_path, settings, built_before):
    settings.FRONT_END = tmp_path / "dist"
    if built_before:
        build(settings.FRONT_END, "AAAAAAAA")
    client = Client()
    assert client.get("/p/stories").status_code == (200 if built_before else 503)
    build(settings.FRONT_END, "BBBBBBBB")
    assert b"index-BBBBBBBB.js" in client.get("/p/stories").content
    script = client.get("/assets/index-BBBBBBBB.js")
    assert b"".join(script.streaming_content) == b"say('BBBBBBBB')"
    assert "immutable" in script["Cache-Control"]
    assert b"".join(client.get("/laurel.svg").streaming_content) == b"<svg>BBBBBBBB</svg>"
    assert client.get("/assets/index-AAAAAAAA.js").status_code == 404


@pytest.mark.parametrize(
    "address", ["/assets/../secret", "/../secret", "/assets/%2e%2e/secret", "/a%00b", "/" + "x" * 5000]
)
def test_nothing_beside_the_front_end_is_served(tmp_path, settings, address):
    settings.FRONT_END = tmp_path / "dist"
    build(settings.FRONT_END, "AAAAAAAA")
    (tmp_path / "secret").write_text("the key")
    answer = Client().get(address)
    assert b"the key" not in (b"".join(answer.streaming_content) if answer.streaming else answer.content)
    assert answer.status_code < 500


def test_static_files_of_django_are_served_beside_the_front_end(tmp_path, settings):
    settings.FRONT_END = tmp_path / "dist"
    answer = Client().get("/static/admin/css/base.css")
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content)


@pytest.mark.parametrize("address", ["/", "/sign-in", "/healthz", "/admin/login/", "/api/docs/", "/no/such/page"])
def test_every_page_has_a_content_security_policy_that_lets_no_strangers_script_run(address):
    policy = Client().get(address)["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_the_api_carries_no_policy_since_it_is_never_shown_as_a_page():
    assert "Content-Security-Policy" not in Client().get("/api/v1/session")
