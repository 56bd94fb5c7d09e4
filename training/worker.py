"""What a Celery worker does when it starts and when it is told to stop."""

from __future__ import annotations

import gc
from typing import Any

from celery.signals import worker_ready, worker_shutting_down

from training import launcher, sweeper


@worker_ready.connect
def begin(**_: Any) -> None:
    """End what a dead worker of this machine left, take up what was interrupted, and ask for what is queued."""
    launcher.reap_orphans()
    sweeper.resume_interrupted()
    sweeper.ring_queued()
    gc.collect()
    gc.freeze()  # what is here is here to stay: the collector need not go through it whenever a job makes many objects


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """Let running trainers write a savepoint; the pool then waits for them to end."""
    launcher.stopping.set()
