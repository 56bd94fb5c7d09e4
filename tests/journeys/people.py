"""Ada, Ben, Rhea and Lea at the API, each with a password or a token of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from cast import PASSWORD
from stack import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OVER = {"succeeded", "failed", "cancelled"}


class Person:
    """One person who uses a Laurel over HTTP."""

    def __init__(self, url: str, **headers: str) -> None:
        self.http = httpx.Client(base_url=f"{url}/api/v1/", headers=headers, timeout=30)

    def sign_in(self, name: str) -> None:
        """Begin a session, as a browser does."""
        assert self.http.get("session").status_code == 401
        self.ask("POST", "session", 200, {"username": name, "password": PASSWORD})

    def new_token(self) -> str:
        """A token for programs that speak for this person."""
        return str(self.ask("POST", "tokens", 201)["token"])

    def ask(self, method: str, address: str, status: int, body: Mapping[str, Any] | None = None) -> Any:
        """Ask, insist on the status, and give what was answered."""
        answer = self.http.request(method, address, json=body, headers=self.proof())
        assert answer.status_code == status, f"{method} {address} answered {answer.status_code}: {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def get(self, address: str) -> Any:
        return self.ask("GET", address, 200)

    def proof(self) -> dict[str, str]:
        """What shows that a request of a session comes from its own pages."""
        token = self.http.cookies.get("csrftoken")
        return {"X-CSRFToken": token} if token else {}

    def lines(self, dataset: int) -> list[dict[str, Any]]:
        """The lines of a dataset."""
        answer = self.http.get(f"datasets/{dataset}/download")
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    # --- Labeling ------------------------------------------------------------------------------

    def lease(self, slug: str) -> Any:
        """The next task to rank, or None."""
        answer = self.http.post(f"projects/{slug}/leases", json={"kind": "ranking"}, headers=self.proof())
        assert answer.status_code in {201, 204}, answer.text
        return answer.json() if answer.content else None

    # --- Machine work --------------------------------------------------------------------------

    def start(self, slug: str, kind: str, config: Mapping[str, Any], **inputs: Any) -> int:
        """Start a job; its number."""
        body = {"project": slug, "kind": kind, "config": dict(config), "inputs": inputs}
        return int(self.ask("POST", "jobs", 201, body)["id"])

    def job(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"jobs/{number}")
        return found

    def succeeded(self, number: int) -> dict[str, Any]:
        """Wait for a job to succeed."""

        def over() -> dict[str, Any] | None:
            job = self.job(number)
            return job if job["state"] in OVER else None

        job: dict[str, Any] = eventually(over, f"job {number} ended")
        assert job["state"] == "succeeded", job["error"]
        return job

    def curve(self, number: int, name: str) -> list[list[float]]:
        """What a job has measured so far: [[step, value], …]."""
        points: list[list[float]] = self.get(f"jobs/{number}/metrics")["series"].get(name, [])
        return points


def ranking(responses: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The word of someone who likes vowels: more of them are better, equally many are a tie."""
    merits = {each["id"]: sum(letter in "aeiou" for letter in each["text"]) for each in responses}
    order = sorted(set(merits.values()), reverse=True)
    return {
        "placements": [
            {"response": key, "rank": order.index(merit) + 1, "rating": 7 - order.index(merit)}
            for key, merit in merits.items()
        ],
        "seconds_spent": 12.5,
    }
