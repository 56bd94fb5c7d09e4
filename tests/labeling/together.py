"""Many requests at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from django.db import connection


def at_once(count, work):
    """Run `work(number)` in as many threads, all let loose together; their results."""
    start = Barrier(count)

    def run(number):
        try:
            start.wait()
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
