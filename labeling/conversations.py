"""Conversations: from written transcripts to turns, and the normal form that tells whether two are the same."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from training.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Messages = list[dict[str, str]]
ROLES = ("system", "user", "assistant")
TURN = re.compile(r"(?:\A|\n\n)\s*(Human|Assistant):")
SPEAKERS = {"Human": "user", "Assistant": "assistant"}
SPACE = re.compile(r"\s+")


class NotAPrompt(Refusal):
    code, status = "not_a_prompt", 422
    message = "A prompt is a conversation that ends with the user's turn."


def read(prompt: str | Sequence[Mapping[str, Any]]) -> Messages:
    """The turns of a prompt: of a list of messages, of a `Human: … Assistant: …` transcript, or of plain text.

    Raises NotAPrompt where the conversation is empty, has an unknown role or does not end with the user.
    """
    if isinstance(prompt, str):
        turns = transcript(prompt) if TURN.match(prompt) else [{"role": "user", "content": prompt.strip()}]
    else:
        turns = [message(part) for part in prompt]
    turns = [turn for turn in joined(turns) if turn["content"]]
    if not turns:
        raise NotAPrompt("The prompt is empty.")
    if turns[-1]["role"] != "user":
        raise NotAPrompt(f"The prompt ends with the {turns[-1]['role']}'s turn; the user's is wanted.")
    return turns


def message(part: Mapping[str, Any]) -> dict[str, str]:
    """One turn, checked."""
    if not isinstance(part, dict) or set(part) != {"role", "content"} or not isinstance(part["content"], str):
        raise NotAPrompt("A message holds a role and a content, both text.")
    if part["role"] not in ROLES:
        raise NotAPrompt(f"The role {part['role']!r} is unknown; say one of {', '.join(ROLES)}.")
    return {"role": part["role"], "content": part["content"].strip()}


def transcript(text: str) -> Messages:
    """The turns of a `Human: … Assistant: …` transcript; a last, empty `Assistant:` only asks for the answer."""
    pieces = TURN.split(text)
    return [
        {"role": SPEAKERS[speaker], "content": said.strip()}
        for speaker, said in zip(pieces[1::2], pieces[2::2], strict=True)
    ]


def joined(turns: Messages) -> Messages:
    """Two turns of one speaker in a row become one."""
    result: Messages = []
    for turn in turns:
        if result and result[-1]["role"] == turn["role"]:
            result[-1] = {"role": turn["role"], "content": f"{result[-1]['content']}\n\n{turn['content']}".strip()}
        else:
            result.append(turn)
    return result


def normal(text: str) -> str:
    """Text without the differences that do not make another question: width, case and white space."""
    if text.isascii():  # most of it is, and has no other width than its own
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return SPACE.sub(" ", folded).strip()


def normal_form(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation's normal text; a single user turn stands for itself, a longer one names its speakers."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return normal(messages[0]["content"])
    return "\n".join(f"{turn['role']}: {normal(turn['content'])}" for turn in messages)


def fingerprint(text: str) -> str:
    """64 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()
