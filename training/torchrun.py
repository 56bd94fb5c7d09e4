"""torchrun, except that it ends with the process that started it: `python -m training.torchrun …`, as `torchrun …`.

A trainer in one process is asked to stop when its worker dies (`training.program.follow_parent`). With several,
torchrun stands between the two, and must hear of it to pass it on.
"""

from __future__ import annotations

import sys

from torch.distributed import run

from training import program
from training.report import StopSignal

if __name__ == "__main__":
    orphaned = StopSignal()
    program.follow_parent(orphaned)
    sys.exit(program.INTERRUPTED if orphaned.requested else run.main())
