"""`manage.py scheduler`: fires schedules and sweeps the ledger, until it is told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from training import schedules, sweeper

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Fire schedules when their time comes, and return to the queue what was interrupted, lost or not delivered."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Read how often to look."""
        parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="seconds between two looks")
        parser.add_argument("--once", action="store_true", help="look once, then end")

    def handle(self, *, every: float, once: bool, **_options: Any) -> None:
        """Look again and again until SIGTERM or SIGINT."""
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        tick()
        while not once and not stop.wait(every):
            tick()


def tick() -> None:
    """One look; whatever part of it fails is tried again at the next."""
    attempt(schedules.fire_due)
    attempt(sweeper.sweep)
    close_old_connections()


def attempt(part: Callable[[], object]) -> None:
    """Do one part, and log what stopped it: the scheduler outlives a database that is away for a while."""
    try:
        part()
    except DatabaseError:
        log.exception("%s was stopped by the database; it is tried again", part.__name__)
    except Exception:
        log.exception("%s has a defect; the other parts go on", part.__name__)
