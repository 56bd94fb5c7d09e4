"""What the settings make of the services that the environment names."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from django.conf import settings

LOOK = """
import json
from django.core.cache import cache
from config.celery import app
print(json.dumps([cache.make_key("pace"), app.conf.broker_transport_options]))
"""


def test_installations_that_share_one_redis_share_no_key(tmp_path):
    own = {"LAUREL_HOME": str(tmp_path), "LAUREL_REDIS_URL": "redis://127.0.0.1/0", "LAUREL_REDIS_PREFIX": "one:"}
    told = subprocess.run(
        [sys.executable, "-m", "django", "shell", "--verbosity", "0", "--command", LOOK],
        cwd=settings.ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"} | own,
        capture_output=True,
        check=True,
    )
    key, transport = json.loads(told.stdout)
    assert key.startswith("one:")
    assert transport == {"global_keyprefix": "one:"}
