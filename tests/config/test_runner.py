"""The runner of `make run`: it shows what programs say, revives what dies, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from django.conf import settings
from django.core.management.base import CommandError

from config.management.commands import up
from config.runner import Program, Runner
from training.machine import born

HOUSE = """
import sys
from config import runner
runner.GRACE_SECONDS = 3.0
programs = [runner.Program(name=f"p{number}", words=[sys.executable, "-u", "-c", text])
            for number, text in enumerate(sys.argv[1:])]
sys.exit(runner.Runner(programs=programs, say=lambda line: print(line, flush=True)).run())
"""
POLITE = "import os, time; print('born', os.getpid()); time.sleep(600)"
DEAF = "import os, signal, time; signal.signal(15, signal.SIG_IGN); print('born', os.getpid()); time.sleep(600)"
FORKING = "import os, subprocess, time; p = subprocess.Popen(['sleep', '600']); print('born', p.pid); time.sleep(600)"


@pytest.fixture
def house():
    """Start a runner with programs; whatever happens, it is ended."""
    started = []

    def start(*texts):
        words = [sys.executable, "-c", HOUSE, *map(textwrap.dedent, texts)]
        started.append(subprocess.Popen(words, cwd=settings.ROOT, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.stdout.close()
        process.wait(timeout=20)


def births(process, count):
    """The ids that the programs print at their beginning."""
    found = []
    while len(found) < count:
        line = process.stdout.readline()
        assert line, "the runner has ended"
        if "born" in line:
            found.append(int(line.split()[-1]))
    return found


def wait_for_the_end_of(pids, seconds=30):
    end = time.monotonic() + seconds
    while any(born(pid) for pid in pids):
        assert time.monotonic() < end, "something was left behind"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_program_and_the_runner_ends_well(house, number):
    process = house(POLITE, POLITE)
    pids = births(process, 2)
    process.send_signal(number)
    assert f"Stopping ({number.name})" in process.stdout.readline()
    assert process.wait(timeout=30) == 0
    wait_for_the_end_of(pids)


def test_lines_of_programs_that_speak_at_the_same_time_stay_whole():
    said = []

    def say(line):  # as print does: a line and its end are written one after the other
        said.append(line)
        time.sleep(0.001)
        said.append("\n")

    runner = Runner(programs=[], say=say)
    speakers = [threading.Thread(target=lambda: [runner.tell("line") for _ in range(20)]) for _ in range(4)]
    for speaker in speakers:
        speaker.start()
    for speaker in speakers:
        speaker.join()
    assert said == ["line", "\n"] * 80


def test_a_program_that_does_not_listen_is_killed_after_the_grace(house):
    process = house(DEAF, POLITE)
    pids = births(process, 2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 0
    assert time.monotonic() - began >= 3
    wait_for_the_end_of(pids)


def test_what_a_program_started_ends_with_it(house):
    process = house(FORKING)
    pids = births(process, 1)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    wait_for_the_end_of(pids)


def test_a_program_that_is_killed_is_started_again(house):
    process = house(POLITE)
    (first,) = births(process, 1)
    os.kill(first, signal.SIGKILL)
    (second,) = births(process, 1)
    assert second != first


def test_a_program_that_cannot_live_stops_the_house_with_an_error(house):
    process = house("raise SystemExit('no luck')", POLITE)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "no luck" in said
    assert "ended 3 times in a row" in said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has died")
def test_programs_end_even_if_the_runner_is_killed(house):
    process = house(POLITE)
    pids = births(process, 1)
    process.kill()
    wait_for_the_end_of(pids)


def test_what_programs_say_carries_their_name():
    said = []
    runner = Runner(programs=[Program(name="web", words=["echo", "hello"])], say=said.append)
    runner.start(runner.programs[0])
    runner.programs[0].process.wait()
    end = time.monotonic() + 30
    while not said and time.monotonic() < end:
        time.sleep(0.01)
    assert said == ["web       | hello"]


def test_an_address_is_refused_by_name_if_it_is_taken_or_nobodys():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} is not free"):
            up.refuse_taken("127.0.0.1", port)
    up.refuse_taken("127.0.0.1", port)
    with pytest.raises(CommandError, match="is no address of this machine"):
        up.refuse_taken("nowhere.invalid", port)


def test_an_address_of_the_sixth_version_is_one_too():
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    with probe:
        port = probe.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} is not free"):
            up.refuse_taken("::1", port)
    up.refuse_taken("::1", port)
    assert up.Welcome(up.Command(), "::1", port).address == f"http://[::1]:{port}"
