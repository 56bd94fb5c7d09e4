"""Benchmark of labeling against Label Studio: `make bench-labeling`.

Both run from their own packages on PostgreSQL, served by gunicorn, and the same annotators (`load.py`) label on both
in turn, on the same cores as the servers. Medians of the rounds are said. A figure that has a bound and no peer is
compared with its bound, or with ours at another size: its `unit` says so. Says a JSON line a figure, in which a higher
ratio is better for us.

    python tests/benchmarks/labeling/compare.py [--rounds 5] [--only CASE …] [--soak MINUTES]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from functools import partial
from typing import TYPE_CHECKING, Any

import measuring
from label_studio import LabelStudio
from laurel import ROOT, Laurel, LaurelAnnotator
from load import label
from measuring import in_turn, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from load import Done

HOME = ROOT / "build" / "bench-labeling"
say = partial(measuring.say, "labeling")
ANNOTATORS = 16
ALONE_AT_MOST = 500
"""Hand-outs of a run in which one annotator labels: the shortest queue must not become much shorter."""
ORDERS = ("served", "uniform", "score")
NEXT_MS = 12.0
PROMPTS_A_SECOND = 4000.0
FIRST_BYTE_SECONDS = 0.2
GROWTH_MB = 20.0


class Bench:
    def __init__(self, options: argparse.Namespace) -> None:
        self.rounds, self.seconds, self.scale, self.options = options.rounds, options.seconds, options.scale, options
        self._peer: LabelStudio | None = None

    # --- The two sites ---

    def ours(self, *, sqlite: bool = False) -> Laurel:
        """Laurel on an empty database."""
        postgres = None if sqlite else self.options.postgres
        return Laurel(HOME / "laurel", postgres=postgres, redis=self.options.redis, port=self.options.port)

    def peer(self) -> LabelStudio:
        """Label Studio; its database and projects stay for the whole run."""
        if self._peer is None:
            tell("  setting Label Studio up")
            self._peer = LabelStudio(HOME / "label-studio", postgres=self.options.postgres, port=self.options.port + 1)
        return self._peer

    def scaled(self, count: int) -> int:
        """A size of this run; a thousand tasks at least, so that there are some left when the time is over."""
        return max(1000, round(count * self.scale))

    # --- Cases ---

    def cycles(self, count: int, goal: float) -> None:
        """Next and submit, by all annotators at once."""
        size = self.scaled(count)
        ours, peer = self.ours(), self.peer()
        ours.state(project={"slug": "open", "tasks": size})
        found: dict[str, list[Done]] = {"ours": [], "peer": []}
        with ours, peer:
            there = peer.project(size)
            for _ in range(self.rounds):
                found["ours"].append(self.labeled(ours, "open"))
                ours.state(reset="open")
                found["peer"].append(self.labeled(peer, there))
        speed = {site: middle(done.cycles_a_second for done in rounds) for site, rounds in found.items()}
        case = f"next and submit, {ANNOTATORS} annotators, {size} open"
        say(case, speed["ours"], speed["peer"], speed["ours"] / speed["peer"], goal, "cycles/s")

    def labeled(self, site: Any, project: Any, count: int = ANNOTATORS, *, first: int = 0, **bounds: Any) -> Done:
        """One round of labeling, by so many annotators from the first on."""
        done = label(site.annotators(project, count, first=first), seconds=self.seconds, **bounds)
        tell(f"  {site.name:12} {done.said()}")
        return done

    def alone(self) -> None:
        """How long one annotator waits for the next task, in queues of many lengths."""
        sizes = {count: self.scaled(count) for count in (1000, 20_000, 1_000_000)}
        ours, peer = self.ours(), self.peer()
        for count, size in sizes.items():
            ours.state(project={"slug": f"open-{count}", "tasks": size})
        overlapped = self.scaled(100_000)
        done_by_them = overlapped // 2
        begun = {"tasks": overlapped, "seats": 3, "judged_by_first": done_by_them}
        for order in ORDERS:
            ours.state(project={"slug": order, "order": order} | begun)
        waits: dict[Any, list[float]] = {}
        compared = list(sizes)[:2]
        with ours, peer:
            there = {count: peer.project(sizes[count]) for count in compared}
            others = itertools.cycle(range(1, ANNOTATORS))  # who asks as fast as this again and again is held up
            for _ in range(self.rounds):
                for slug in (*(f"open-{count}" for count in sizes), *ORDERS):
                    who = 0 if slug in ORDERS else next(others)
                    done = self.labeled(ours, slug, 1, first=who, at_most=ALONE_AT_MOST)
                    waits.setdefault(slug, []).append(middle(done.next_ms))
                ours.state(reset="open-1000")
                for count in compared:
                    waits.setdefault(count, []).append(middle(self.labeled(peer, there[count], 1).next_ms))
        p50 = {where: middle(rounds) for where, rounds in waits.items()}
        for count, size in sizes.items():
            mine, theirs = p50[f"open-{count}"], p50.get(count)
            if theirs is not None:
                say(f"next p50, one annotator, {size} open", mine, theirs, theirs / mine, None, "ms")
            bound = f"next p50, one annotator, {size} open, against its bound"
            say(bound, mine, NEXT_MS, NEXT_MS / mine, 1.0, "ms; peer: the most allowed")
        short, long = p50["open-1000"], p50["open-1000000"]
        case = f"next p50, one annotator, {sizes[1_000_000]} open against {sizes[1000]}"
        say(case, long, short, short / long, round(1 / 1.15, 3), "ms; peer: ours with few open")
        for order in ORDERS:
            case = f"next p50 with overlap 3, order {order}, for who has done {done_by_them} of {overlapped}"
            say(case, p50[order], short, short / p50[order], round(1 / 1.5, 3), "ms; peer: ours with few open")

    def imports(self, count: int) -> None:
        """Prompts a second, each with a task."""
        size = self.scaled(count)
        ours, peer = self.ours(), self.peer()
        seconds: dict[str, list[float]] = {"ours": [], "peer": []}
        for number in range(self.rounds + 1):
            ours.state(project={"slug": f"empty-{number}", "tasks": 0})
        with ours, peer:
            ours.import_prompts(f"empty-{self.rounds}", ANNOTATORS)  # a server's first import loads what it needs
            peer.import_prompts(ANNOTATORS)
            for number in range(self.rounds):
                seconds["ours"].append(ours.import_prompts(f"empty-{number}", size))
                seconds["peer"].append(peer.import_prompts(size))
                tell(f"  ours {size / seconds['ours'][-1]:.0f}, peer {size / seconds['peer'][-1]:.0f} prompts/s")
        mine, theirs = (size / middle(seconds[site]) for site in ("ours", "peer"))
        say(f"import of {size} prompts, a task each", mine, theirs, mine / theirs, None, "prompts/s")
        case = f"import of {size} prompts against its bound"
        say(case, mine, PROMPTS_A_SECOND, mine / PROMPTS_A_SECOND, 1.0, "prompts/s; peer: the least wanted")

    def exports(self, count: int) -> None:
        """Rows a second of judged tasks, the first byte, and how much memory it takes."""
        size = self.scaled(count)
        ours, peer = self.ours(), self.peer()
        ours.state(project={"slug": "judged", "tasks": size, "judged": size})
        ours.state(project={"slug": "few", "tasks": ANNOTATORS, "judged": ANNOTATORS})
        found: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
        with ours, peer:
            there = {"ours": "judged", "peer": peer.project(size, judged=True)}
            ours.export("few", HOME / "export")  # what a server's first export loads
            peer.export(peer.project(ANNOTATORS, judged=True), HOME / "export")
            for _ in range(self.rounds):
                for name, site in (("ours", ours), ("peer", peer)):
                    said = site.export(there[name], HOME / "export")
                    tell(f"  {site.name:12} {said}")
                    if said["rows"] != size:
                        raise SystemExit(f"{site.name} exported {said['rows']} of {size} rows")
                    found[name].append(said)
        mine, theirs = (
            {what: middle(said[what] for said in rounds) for what in rounds[0]} for rounds in found.values()
        )
        fast = theirs["seconds"] / mine["seconds"]
        say(f"export of {size} judged tasks", size / mine["seconds"], size / theirs["seconds"], fast, 50.0, "rows/s")
        first = mine["first byte"]
        say(
            "first byte after an export was asked for",
            first,
            theirs["first byte"],
            theirs["first byte"] / first,
            None,
            "s",
        )
        first = mine["first byte of the download"]
        case, unit = "first byte of an export's download against its bound", "s; peer: the most allowed"
        say(case, first, FIRST_BYTE_SECONDS, FIRST_BYTE_SECONDS / first, 1.0, unit)
        grown, grew = mine["growth"] / 1e6, theirs["growth"] / 1e6
        say("memory that an export takes", grown, grew, grew / max(grown, 0.1), None, "MB more in all servers")
        case, unit = "memory that an export takes against its bound", "MB more; peer: the most allowed"
        say(case, grown, GROWTH_MB, GROWTH_MB / max(grown, 0.1), 1.0, unit)

    def raced(self, count: int) -> None:
        """Hand-outs of tasks with one seat each: none is given to two people."""
        size = self.scaled(count)
        for database in ("PostgreSQL", "SQLite"):
            ours = self.ours(sqlite=database == "SQLite")
            ours.state(project={"slug": "open", "tasks": size + 2 * ANNOTATORS})
            with ours:
                done = label(ours.annotators("open", ANNOTATORS), at_most=size, warm=0.0)
            handed = done.tasks.total()
            tell(f"  {database}: {done.said()}")
            case = f"double among {handed} raced hand-outs on {database}"
            say(case, done.doubles, None, 1 - done.doubles / handed, 1.0, "hand-outs; ratio: share that is single")

    def soak(self, minutes: float) -> None:
        """Annotators on SQLite, as `make run` serves it, for a long while: nobody sees an error."""
        ours = self.ours(sqlite=True)
        ours.state(project={"slug": "open", "tasks": max(2000, round(9000 * minutes))})
        with ours:
            clients = [each.client for each in ours.annotators("open", ANNOTATORS)]
            annotators = [LaurelAnnotator(client, "open", drafts=True) for client in clients]
            done = label(annotators, seconds=60 * minutes, stops=False)
        tell(f"  {done.said()}")
        for error in done.errors[:10]:
            tell(f"  {error}")
        tried = len(done.errors) + len(done.submit_ms)
        case = f"errors in {minutes:g} minutes on SQLite, {ANNOTATORS} annotators, {len(done.submit_ms)} cycles"
        unit = "errors; ratio: share of cycles without one"
        say(case, len(done.errors), None, 1 - len(done.errors) / tried, 1.0, unit)


def middle(numbers: Any) -> float:
    """The median."""
    return statistics.median(list(numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = "20k, 100k, alone, import, export, raced, soak"
    parser.add_argument("--only", nargs="*", default=[], metavar="CASE", help=names)
    parser.add_argument("--rounds", type=int, default=5, help="runs of each measurement, of which the median counts")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of one run of labeling")
    parser.add_argument("--soak", type=float, default=10.0, metavar="MINUTES", help="length of the soak")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the tasks; small ones prove only that it runs"
    )
    parser.add_argument("--postgres", default="postgresql://127.0.0.1:5432/test", help="a server to make databases on")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", help="broker and cache of our side")
    parser.add_argument("--port", type=int, default=8471, help="of our side; Label Studio's is the next one")
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    bench = Bench(options)
    cases: dict[str, Callable[[], None]] = {
        "20k": lambda: bench.cycles(20_000, 15.0),
        "100k": lambda: bench.cycles(100_000, 35.0),
        "alone": bench.alone,
        "import": lambda: bench.imports(20_000),
        "export": lambda: bench.exports(20_000),
        "raced": lambda: bench.raced(10_000),
        "soak": lambda: bench.soak(options.soak),
    }
    in_turn(cases, options.only)


if __name__ == "__main__":
    main()
