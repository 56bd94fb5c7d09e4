"""Documents that would drift are held to the code."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_our_pages_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} points to {target}"


def test_every_setting_is_described_and_no_other():
    code = (ROOT / "config" / "settings.py").read_text()
    read = set(re.findall(r'"((?:LAUREL_\w+|DATABASE_URL|REDIS_URL))"', code))
    described = set(
        re.findall(r"`((?:LAUREL_\w+|DATABASE_URL|REDIS_URL))`", (ROOT / "docs/reference/settings.md").read_text())
    )
    assert described - {"LAUREL_DATA"} == read


def test_the_page_of_jobs_is_what_the_rooms_register():
    page = StringIO()
    call_command("describe_jobs", stdout=page)
    written = (ROOT / "docs" / "reference" / "jobs.md").read_text()
    assert page.getvalue().strip() == written.strip(), "run manage.py describe_jobs > docs/reference/jobs.md"


def test_every_law_that_a_test_proves_stands_on_the_page_of_laws_and_every_file_there_is_a_file():
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    rows = [
        line.split("|")
        for line in (ROOT / "docs" / "reference" / "laws.md").read_text().splitlines()
        if re.match(r"\| [A-Z]\d", line)
    ]
    listed = {law for row in rows for law in row[1].replace(" ", "").split(",")}
    assert set(re.findall(r'mark\.law\("(\w+)"\)', written)) <= listed
    for row in rows:
        for path in re.findall(r"`((?:tests|frontend)/[\w./-]+)`", row[3]):
            assert (ROOT / path).exists(), path


def test_every_test_that_the_page_of_laws_names_is_there():
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    page = (ROOT / "docs" / "reference" / "laws.md").read_text()
    for name in re.findall(r"`(test_\w+)`", page):
        assert f"def {name}(" in written, name
