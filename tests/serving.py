"""Programs that answer over HTTP on this machine: a port for one, and waiting until it answers."""

from __future__ import annotations

import socket
import time

import httpx

PATIENCE_SECONDS = 90


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return httpx.get(url, timeout=5, trust_env=False)
        except httpx.TransportError:
            assert time.monotonic() < deadline, url
            time.sleep(0.1)
