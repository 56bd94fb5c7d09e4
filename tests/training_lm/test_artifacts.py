"""What others can see is whole and never changes (law J3)."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import artifacts
from training.artifacts import ArtifactDamaged, ArtifactMissing, Store, is_whole, resolve, seal

names = st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)
contents = st.dictionaries(names, st.binary(max_size=40), min_size=1, max_size=4).filter(
    lambda files: not any(name.split("/")[0] in files for name in files if "/" in name)
)


@contextmanager
def somewhere():
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def made(tmp_path):
    return write(tmp_path / "made", {"weights": b"1234", "deep/card": b"{}"})


@given(contents)
def test_what_is_fetched_is_what_was_put(files):
    with somewhere() as root:
        store = Store(root / "store")
        home = store.fetch(store.put(write(root / "made", files)))
        assert {name: (home / name).read_bytes() for name in files} == files


@given(contents, contents)
def test_two_folders_have_one_digest_only_if_they_hold_the_same(one, other):
    with somewhere() as root:
        same = seal(write(root / "one", one)) == seal(write(root / "other", other))
        assert same == (one == other)


def test_putting_twice_is_putting_once(made, tmp_path):
    store = Store(tmp_path / "store")
    digest = store.put(made)
    assert store.put(made) == digest
    assert Store(tmp_path / "store").put(made) == digest
    assert [path.name for path in (tmp_path / "store").iterdir()] == [digest.removeprefix("sha256:")]


def test_changing_the_made_folder_afterwards_changes_nothing_in_the_store(made, tmp_path):
    store = Store(tmp_path / "store")
    digest = store.put(made)
    (made / "weights").write_bytes(b"4321")
    assert (store.fetch(digest) / "weights").read_bytes() == b"1234"


def test_a_sealed_folder_that_changed_cannot_be_put(made, tmp_path):
    seal(made)
    (made / "weights").write_bytes(b"4321")
    with pytest.raises(ArtifactDamaged, match="weights"):
        Store(tmp_path / "store").put(made)


@pytest.mark.parametrize("damage", [b"1235", b"123", b"12345", None])
def test_damage_is_found_on_the_first_fetch(made, tmp_path, damage):
    digest = Store(tmp_path / "store").put(made)
    store = Store(tmp_path / "store")
    file = tmp_path / "store" / digest.removeprefix("sha256:") / "weights"
    file.unlink()
    if damage is not None:
        file.write_bytes(damage)
    with pytest.raises(ArtifactDamaged, match="weights"):
        store.fetch(digest)


@pytest.mark.parametrize("damage", [b"123", b"12345", None])
def test_what_is_not_whole_is_not_found_though_no_byte_is_read(made, tmp_path, damage, monkeypatch):
    store = Store(tmp_path / "store")
    digest = store.put(made)
    monkeypatch.setattr(artifacts, "_hash", None)
    home = store.find(digest)
    assert (home / "weights").read_bytes() == b"1234"
    (home / "weights").unlink()
    if damage is not None:
        (home / "weights").write_bytes(damage)
    with pytest.raises(ArtifactDamaged, match="weights"):
        store.find(digest)
    with pytest.raises(ArtifactMissing):
        store.find("sha256:" + "0" * 64)


def test_a_cut_off_file_is_found_even_after_the_first_fetch(made, tmp_path):
    store = Store(tmp_path / "store")
    home = store.fetch(store.put(made))
    (home / "weights").chmod(0o644)
    (home / "weights").write_bytes(b"1")
    with pytest.raises(ArtifactDamaged, match="weights"):
        store.fetch("sha256:" + home.name)


def test_a_manifest_that_was_written_anew_no_longer_answers_to_the_digest(made, tmp_path):
    store = Store(tmp_path / "store")
    digest = store.put(made)
    home = tmp_path / "store" / digest.removeprefix("sha256:")
    (home / "weights").chmod(0o644)
    (home / "weights").write_bytes(b"9999")
    seal(home)
    with pytest.raises(ArtifactDamaged, match="another manifest"):
        Store(tmp_path / "store").fetch(digest)


def test_a_crash_while_copying_leaves_nothing_visible(made, tmp_path, monkeypatch):
    def crash(_source, _target):
        raise OSError("the disk is full")

    store = Store(tmp_path / "store")
    monkeypatch.setattr(artifacts.shutil, "copyfile", crash)
    with pytest.raises(OSError, match="disk is full"):
        store.put(made)
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize("is_sealed", [True, False])
def test_what_is_taken_is_what_was_made_and_lies_there_once(made, tmp_path, is_sealed):
    copied = Store(tmp_path / "copied").put(write(tmp_path / "again", {"weights": b"1234", "deep/card": b"{}"}))
    if is_sealed:
        seal(made)
    store = Store(tmp_path / "store")
    home = store.fetch(store.take(made))
    assert home.name == copied.removeprefix("sha256:")
    assert (home / "weights").read_bytes() == b"1234"
    assert (home / "deep" / "card").read_bytes() == b"{}"
    assert not (home / "weights").stat().st_mode & 0o222
    assert not made.exists()


def test_a_sealed_folder_that_changed_cannot_be_taken(made, tmp_path):
    seal(made)
    (made / "weights").write_bytes(b"4321")
    with pytest.raises(ArtifactDamaged, match="weights"):
        Store(tmp_path / "store").take(made)


def test_what_was_not_sealed_is_not_taken_along(made, tmp_path):
    digest = seal(made)
    (made / "notes").write_bytes(b"mine")
    store = Store(tmp_path / "store")
    assert store.take(made) == digest
    assert sorted(path.name for path in store.fetch(digest).iterdir()) == ["deep", artifacts.MANIFEST, "weights"]
    assert (made / "notes").exists()


def test_what_cannot_be_moved_is_copied(made, tmp_path, monkeypatch):
    renamed = Path.rename

    def on_another_disk(path, target):
        if path == made:
            raise OSError("cross-device link")
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", on_another_disk)
    store = Store(tmp_path / "store")
    assert (store.fetch(store.take(made)) / "weights").read_bytes() == b"1234"


def test_taking_what_is_there_already_changes_nothing(made, tmp_path):
    store = Store(tmp_path / "store")
    digest = store.put(made)
    assert store.take(made) == digest
    assert Store(tmp_path / "store").fetch(digest)


def test_a_folder_is_whole_only_once_its_manifest_is_there(made):
    assert not is_whole(made)
    seal(made)
    assert is_whole(made)


def test_what_is_not_there_is_refused_by_name(tmp_path):
    store = Store(tmp_path)
    missing = "sha256:" + "0" * 64
    with pytest.raises(ArtifactMissing, match=missing):
        store.fetch(missing)
    with pytest.raises(ArtifactMissing, match="not a digest"):
        store.fetch("../../etc")
    with pytest.raises(ArtifactMissing, match="names no store"):
        resolve(missing, None)
    with pytest.raises(ArtifactMissing, match="nowhere"):
        resolve("nowhere", tmp_path)


def test_a_reference_is_a_digest_or_a_plain_path(made, tmp_path):
    digest = Store(tmp_path / "store").put(made)
    assert resolve(digest, tmp_path / "store").parent == tmp_path / "store"
    assert resolve(str(made), None) == made


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_manifest_cannot_reach_outside_of_its_folder(tmp_path, name):
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [{"name": name, "size": 1, "sha256": "0"}]}))
    with pytest.raises(ArtifactDamaged, match="outside"):
        artifacts.verify(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', '{"files": [{"name": "a"}]}'])
def test_a_manifest_that_is_none_is_damage(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactDamaged):
        artifacts.verify(tmp_path)
