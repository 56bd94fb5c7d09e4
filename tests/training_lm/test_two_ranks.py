"""What two ranks build together is revealed once, however long one of them takes to come."""

from __future__ import annotations

import threading
import time

import pytest
import tiny

from training.program import Run


class LateRun(Run):
    """A rank that is always behind when it comes to saving."""

    def card(self):
        time.sleep(0.5)
        return super().card()


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("what", ["output", "savepoint"])
def test_no_rank_waits_for_one_that_has_passed_by(tmp_path, late, what):
    """The first may have written all of it before the second has even looked: both must still meet at the end."""
    meeting = threading.Barrier(2, timeout=10)
    passed, errors = [], []

    def one(rank):
        run = (LateRun if rank == late else Run)(tmp_path, tiny.job("test"), 1)
        run.rank, run.barrier = rank, meeting.wait

        def build(folder):
            (folder / "weights").write_text("of both")

        try:
            if what == "output":
                run.publish(build, {})
            else:
                run.card()
                run.savepoint(3, build)
            passed.append(rank)
        except threading.BrokenBarrierError as error:
            errors.append((rank, error))

    ranks = [threading.Thread(target=one, args=(rank,)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
    assert errors == []
    assert sorted(passed) == [0, 1]
    home = tmp_path / "attempt-1" / ("output" if what == "output" else "savepoints/step-000000003")
    assert (home / "weights").read_text() == "of both"
