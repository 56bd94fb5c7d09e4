"""What a trainer says is read as it was said, line by line."""

from __future__ import annotations

import os
import signal

from hypothesis import given
from hypothesis import strategies as st

from training.report import Reporter, StopSignal, read_events


def test_events_are_read_in_their_order_and_once(tmp_path):
    path = tmp_path / "attempt-1" / "events.jsonl"
    assert read_events(path) == ([], 0)
    reporter = Reporter(path)
    reporter.metrics(3, {"ppo/kl": 0.5, "ppo/broken": float("nan")})
    reporter.progress(3, 10, "steps")
    first, offset = read_events(path)
    reporter.samples(3, [{"prompt": "a kite", "response": "It flew.\u2028Home."}])
    reporter.error("bad_config", "say it otherwise")
    reporter.done()
    second, _ = read_events(path, offset)
    assert [event["event"] for event in first + second] == ["metrics", "progress", "samples", "error", "done"]
    assert first[0]["values"] == {"ppo/kl": 0.5, "ppo/broken": None}
    assert second[0]["rows"][0]["response"] == "It flew.\u2028Home."
    assert all(event["at"] > 1.7e9 for event in first + second)


def test_half_a_line_waits_until_it_is_whole(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"event": "note"}\n{"event": "me')
    events, offset = read_events(path)
    assert len(events) == 1
    with path.open("ab") as file:
        file.write(b'trics"}\n')
    assert read_events(path, offset)[0] == [{"event": "metrics"}]


@given(st.text())
def test_any_note_comes_back_as_it_was_said(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("notes") / "events.jsonl"
    text = text.encode("utf-8", "ignore").decode()
    Reporter(path).note(text)
    assert read_events(path)[0][0]["text"] == text


def test_a_signal_is_a_wish_that_loops_look_at():
    stop = StopSignal()
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        stop.install()
        assert not stop.requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGINT, before[1])
