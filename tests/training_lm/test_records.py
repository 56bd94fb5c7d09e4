"""Dataset lines: what is written is read back, and what breaks the format is refused by line and field (law D2)."""

from __future__ import annotations

import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.records import (
    WORDS,
    DemonstrationLine,
    Message,
    Placement,
    PromptLine,
    RankingJudgement,
    RankingLine,
    RecordError,
    Response,
    RewardLine,
    Sample,
    SampleLine,
    TextLine,
    Verdict,
    VerdictsJudgement,
    read_lines,
    write_lines,
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
words = texts.filter(str.strip)
splits = st.sampled_from(["train", "valid", "test"])
prompts = st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), words), max_size=3).flatmap(
    lambda turns: words.map(lambda content: (*turns, Message("user", content)))
)
heads = {"id": words, "split": splits, "group": texts, "prompt": prompts}


@st.composite
def rankings(draw, ids):
    """Any weak order over the ids, with ratings that keep it or with none."""
    levels = draw(st.lists(st.integers(0, 3), min_size=len(ids), max_size=len(ids)))
    dense = {level: rank for rank, level in enumerate(sorted(set(levels)), start=1)}
    ratings = sorted(draw(st.lists(st.integers(1, 7), min_size=len(dense), max_size=len(dense))), reverse=True)
    rated = draw(st.booleans())
    placements = tuple(
        Placement(
            response=response,
            rank=dense[level],
            rating=ratings[dense[level] - 1] if rated else None,
            flags=tuple(draw(st.lists(words, max_size=2))),
        )
        for response, level in zip(ids, levels, strict=True)
    )
    return RankingJudgement(
        annotator=draw(texts),
        placements=placements,
        flags=tuple(draw(st.lists(words, max_size=2))),
        note=draw(texts),
        guidelines=draw(st.none() | st.integers(1, 9)),
        shown=tuple(draw(st.permutations(ids))) if draw(st.booleans()) else (),
        seconds=draw(st.none() | st.floats(0, 1e6)),
        simulated=draw(st.booleans()),
        weight=draw(st.floats(0.001, 100)),
    )


@st.composite
def ranking_lines(draw):
    ids = draw(st.lists(words, min_size=2, max_size=5, unique=True))
    pairs = st.permutations(ids).map(lambda order: order[:2])
    verdicts = st.builds(
        VerdictsJudgement,
        annotator=texts,
        verdicts=st.lists(
            st.tuples(pairs, st.sampled_from(WORDS)).map(
                lambda said: Verdict(a=said[0][0], b=said[0][1], verdict=said[1])
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
        simulated=st.booleans(),
        weight=st.just(1.0) | st.floats(0.001, 100),
    )
    return RankingLine(
        id=draw(words),
        split=draw(splits),
        group=draw(texts),
        prompt=draw(prompts | st.just(())),
        responses=tuple(
            Response(id=i, text=draw(words), checkpoint=draw(st.none() | words), author=draw(st.none() | words))
            for i in ids
        ),
        judgements=tuple(draw(st.lists(rankings(ids) | verdicts, max_size=3))),
    )


samples = st.builds(
    Sample,
    k=st.integers(0, 9),
    text=texts,
    token_count=st.integers(0, 99),
    logprob=st.floats(allow_nan=False, allow_infinity=False),
    finished=st.booleans(),
    seed=st.integers(0, 2**60),
)
lines = st.one_of(
    st.builds(PromptLine, **heads, source=texts),
    st.builds(
        DemonstrationLine,
        **heads,
        response=words,
        annotator=st.none() | texts,
        source=texts,
        simulated=st.booleans(),
        started_from=st.none() | texts,
    ),
    ranking_lines(),
    st.builds(
        RewardLine,
        prompt=prompts | st.just(()),
        response=texts,
        reward=st.none() | st.floats(-9, 9),
        spread=st.none() | st.floats(0, 9),
    ),
    st.builds(TextLine, text=words, split=splits, title=st.none() | texts, weight=st.floats(0.001, 100)),
    st.builds(
        SampleLine,
        prompt_id=words,
        prompt=prompts,
        responses=st.lists(samples, max_size=3, unique_by=lambda sample: sample.k).map(tuple),
    ),
)


@given(lines)
def test_a_line_survives_the_way_through_json(line):
    written = line.to_json()
    assert "\n" not in written
    assert type(line).from_json(written, 1) == line


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_no_word_for_is_not_written(number):
    asked = (Message("user", "Why?"),)
    ranked = RankingJudgement(annotator="ada", placements=(), seconds=number)
    weighed = VerdictsJudgement(annotator="ada", verdicts=(), weight=number)
    head = {"id": "1", "split": "train", "group": "g", "prompt": asked}
    sample = Sample(k=0, text="So.", token_count=1, logprob=number, finished=True, seed=1)
    for line in (
        RankingLine(**head, responses=(), judgements=(ranked,)),
        RankingLine(**head, responses=(), judgements=(weighed,)),
        TextLine(text="So.", split="train", weight=number),
        SampleLine(prompt_id="1", prompt=asked, responses=(sample,)),
        RewardLine(prompt=asked, response="So.", reward=number),
        RewardLine(prompt=asked, response="So.", reward=1.0, spread=number),
    ):
        with pytest.raises(ValueError, match="is not a number in JSON"):
            line.to_json()


@given(lines, st.data())
def test_a_line_without_one_of_its_fields_is_whole_or_refused_by_that_field(line, data):
    plain = json.loads(line.to_json())
    name = data.draw(st.sampled_from(sorted(plain)))
    del plain[name]
    try:
        type(line).from_json(json.dumps(plain), 7)
    except RecordError as error:
        assert (error.field, error.line_number) == (name, 7)  # noqa: PT017 - either outcome is allowed


@given(lines)
def test_an_unknown_field_is_refused(line):
    plain = json.loads(line.to_json()) | {"extra": 1}
    with pytest.raises(RecordError, match="line 3: extra"):
        type(line).from_json(json.dumps(plain), 3)


@given(st.sampled_from([PromptLine, DemonstrationLine, RankingLine, TextLine, SampleLine]), st.text())
def test_any_text_is_a_line_or_a_record_error(cls, text):
    try:
        cls.from_json(text, 1)
    except RecordError as error:
        assert error.line_number == 1  # noqa: PT017


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from([10**30, -(10**400)])
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(lines, json_values, st.data())
def test_any_value_in_any_field_is_taken_or_refused_by_name(line, value, data):
    plain = json.loads(line.to_json())
    name = data.draw(st.sampled_from(sorted(plain)))
    try:
        type(line).from_json(json.dumps(plain | {name: value}), 1)
    except RecordError as error:
        assert error.line_number == 1  # noqa: PT017


def ranking(*placements, shown=()):
    judgement = {"kind": "ranking", "annotator": "ada", "placements": list(placements), "simulated": False}
    return json.dumps(
        {
            "id": "1",
            "split": "train",
            "group": "g",
            "prompt": [{"role": "user", "content": "A kite?"}],
            "responses": [{"id": "x", "text": "one"}, {"id": "y", "text": "two"}],
            "judgements": [judgement | ({"shown": list(shown)} if shown else {})],
        }
    )


def placed(response, rank, rating=None):
    return {"response": response, "rank": rank, "rating": rating}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (ranking(placed("x", 1, 3), placed("y", 2, 5)), "rate it lower"),
        (ranking(placed("x", 1, 3), placed("y", 1, 5)), "rate them differently"),
        (ranking(placed("x", 1), placed("y", 3)), "dense ranks"),
        (ranking(placed("x", 2), placed("y", 2)), "dense ranks"),
        (ranking(placed("x", 1), placed("y", 10**30)), "dense ranks"),
        (ranking(placed("x", 1)), "every response exactly once"),
        (ranking(placed("x", 1), placed("x", 2)), "every response exactly once"),
        (ranking(placed("x", 1, 8), placed("y", 1, 8)), "between 1 and 7"),
        (ranking(placed("x", 1), placed("y", 2), shown=["x"]), "shown"),
    ],
)
def test_a_ranking_that_contradicts_itself_is_refused(line, reason):
    with pytest.raises(RecordError, match=reason):
        RankingLine.from_json(line, 1)


@pytest.mark.parametrize("ratings", [(5, 3), (5, 5), (None, None), (None, 4)])
def test_equal_ratings_may_be_ordered_and_imported_ratings_may_be_missing(ratings):
    RankingLine.from_json(ranking(placed("x", 1, ratings[0]), placed("y", 2, ratings[1])), 1)


def test_a_number_that_no_float_can_hold_is_refused_by_its_field():
    line = json.loads(ranking(placed("x", 1), placed("y", 2)))
    line["judgements"][0]["weight"] = 10**400
    with pytest.raises(RecordError, match=r"line 2: judgements\[0\].weight must be a finite number"):
        RankingLine.from_json(json.dumps(line), 2)


def test_an_empty_response_is_refused_by_line_and_field():
    line = ranking(placed("x", 1), placed("y", 2)).replace('"two"', '" "')
    with pytest.raises(RecordError, match=r"line 9: responses\[1\].text is empty"):
        RankingLine.from_json(line, 9)


def test_a_prompt_that_does_not_end_with_the_user_is_refused():
    line = {"id": "1", "split": "train", "group": "", "source": "", "prompt": [{"role": "assistant", "content": "Hi"}]}
    with pytest.raises(RecordError, match="must end with the user"):
        PromptLine.from_json(json.dumps(line), 1)


def test_a_dataset_is_read_as_it_was_written_and_its_card_counts_it(tmp_path):
    written = [TextLine(text=f"text {i}\u2028{i}", split="valid" if i == 2 else "train") for i in range(5)]
    card = write_lines(written, tmp_path, kind="text")
    assert list(read_lines(TextLine, tmp_path)) == written
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["splits"] == {"train": 4, "valid": 1, "test": 0}


@pytest.mark.parametrize("opened", [open, gzip.open], ids=["plain", "gzip"])
def test_bytes_that_are_no_text_are_refused_by_line(tmp_path, opened):
    path = tmp_path / ("data.jsonl.gz" if opened is gzip.open else "data.jsonl")
    with opened(path, "wb") as file:
        file.write(b'{"text": "a", "split": "train"}\n{"text": "\xff", "split": "train"}\n')
    with pytest.raises(RecordError, match="line 2: is not UTF-8 at byte 11"):
        list(read_lines(TextLine, path))


def test_a_bad_line_of_a_dataset_is_named_by_its_number(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "a", "split": "train"}\n\n{"text": "b", "split": "all"}\n')
    with pytest.raises(RecordError, match="line 3: split must be one of"):
        list(read_lines(TextLine, tmp_path))
