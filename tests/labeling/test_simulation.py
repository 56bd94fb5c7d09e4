"""Simulated annotators use the people's own door, and leave their mark on what they say."""

from __future__ import annotations

import labeling_factories as factories
import pytest
from django.core.management import CommandError, call_command
from knox.models import AuthToken

from labeling.models import Judgement, LabelingSettings
from labeling.simulation import simulate

pytestmark = pytest.mark.django_db(transaction=True)


def test_they_rank_all_that_is_open_and_are_marked(project, live_server):
    factories.TaskFactory.create_batch(5, of=project)
    assert simulate(project=project, base_url=live_server.url, annotators=3) == 5
    assert Judgement.objects.filter(is_simulated=True, annotator__is_simulated=True).count() == 5
    assert Judgement.objects.values("annotator").distinct().count() == 3
    assert not AuthToken.objects.exists()


def test_they_stop_after_as_many_labels_as_asked(project, live_server):
    factories.TaskFactory.create_batch(4, of=project)
    assert simulate(project=project, base_url=live_server.url, labels=2) == 2


def test_who_has_done_enough_for_today_stops_and_the_others_go_on(project, live_server):
    LabelingSettings.objects.update_or_create(project=project, defaults={"daily_limit": 1})
    factories.TaskFactory.create_batch(5, of=project)
    assert simulate(project=project, base_url=live_server.url, annotators=3) == 3


def test_a_server_that_is_not_there_is_said(project, db):
    with pytest.raises(CommandError, match="Is the server running"):
        call_command("simulate", project=project.slug, url="http://127.0.0.1:9", verbosity=0)
