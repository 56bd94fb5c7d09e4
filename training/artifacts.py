"""Bytes that others can see: whole, never changed, known by the digest of their manifest.

A folder is *sealed* when its `manifest.json` (names, sizes, sha256 of every file) lies in it, written last.
The digest of an artefact is the sha256 of that manifest, so it names every byte below the folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TypedDict
from uuid import uuid4

MANIFEST = "manifest.json"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


class Entry(TypedDict):
    """One file of an artefact, as its manifest names it."""

    name: str
    sha256: str
    size: int


class ArtifactMissing(LookupError):  # noqa: N818 - errors are named for what happened
    """Nothing whole lies under that digest or path."""

    code = "artifact_missing"


class ArtifactDamaged(ValueError):  # noqa: N818
    """The bytes are not those that were sealed."""

    code = "artifact_damaged"


class Store:
    """A folder of artefacts, each in a folder named by its digest. Safe for many processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._trusted: set[str] = set()

    def put(self, folder: Path) -> str:
        """Copy a finished folder in and return its digest; a folder that is already here is left as it is."""
        folder = Path(folder)
        digest = verify(folder) if is_whole(folder) else seal(folder)
        home = self._home(digest)
        if is_whole(home):
            return digest
        self.root.mkdir(parents=True, exist_ok=True)
        draft = self.root / f".partial-{uuid4().hex}"
        try:
            for name in [*(entry["name"] for entry in _entries(folder)), MANIFEST]:
                target = draft / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, target)
                _sync(target)
                target.chmod(0o444)
            _sync_folders(draft)
            try:
                draft.rename(home)
            except OSError:
                if not is_whole(home):
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _sync(self.root)
        return digest

    def take(self, folder: Path) -> str:
        """Move a finished folder in and return its digest; what cannot be moved as it is, is copied.

        Its bytes are read once: to seal it, or to see that it is what was sealed.
        """
        folder = Path(folder)
        digest = verify(folder) if is_whole(folder) else seal(folder)
        home = self._home(digest)
        if not is_whole(home) and not self._moved(folder, home):
            return self.put(folder)
        self._trusted.add(digest)
        return digest

    def _moved(self, folder: Path, home: Path) -> bool:
        names = {MANIFEST, *(entry["name"] for entry in _entries(folder))}
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        if any(path.is_symlink() or path.relative_to(folder).as_posix() not in names for path in files):
            return False  # something lies there that was not sealed
        for path in files:
            path.chmod(0o444)
        self.root.mkdir(parents=True, exist_ok=True)
        try:
            folder.rename(home)
        except OSError:  # it lies on another disk, or somebody else has just put the same
            return is_whole(home)
        _sync(self.root)
        return True

    def fetch(self, digest: str) -> Path:
        """Give the folder of an artefact. Sizes are checked each time, every byte once in a process."""
        home = self.find(digest)
        if digest not in self._trusted:
            verify(home)
            self._trusted.add(digest)
        return home

    def find(self, digest: str) -> Path:
        """Give the folder of an artefact to who checks its bytes against the manifest's hashes on their own.

        The manifest and the sizes are checked, at a cost that does not grow with the files.
        """
        if not _DIGEST.match(digest):
            raise ArtifactMissing(f"{digest!r} is not a digest: it should read sha256:<64 hexadecimal digits>")
        home = self._home(digest)
        if not is_whole(home):
            raise ArtifactMissing(f"there is no artefact {digest} in {self.root}")
        _check_sizes(home, _entries(home))
        if (found := digest_of(home)) != digest:
            raise ArtifactDamaged(f"the artefact {digest} in {self.root} has another manifest ({found}); copy it anew")
        return home

    def has(self, digest: str) -> bool:
        """Tell whether a whole artefact lies here under that digest, without reading its bytes."""
        return bool(_DIGEST.match(digest)) and is_whole(self._home(digest))

    def _home(self, digest: str) -> Path:
        return self.root / digest.removeprefix("sha256:")


def seal(folder: Path) -> str:
    """Write the manifest of a finished folder, last and synced to disk; return the artefact's digest."""
    folder = Path(folder)
    entries: list[Entry] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if name == MANIFEST:
            continue
        _sync(path)
        entries.append({"name": name, "sha256": _hash(path), "size": path.stat().st_size})
    content = json.dumps({"files": entries}, sort_keys=True, separators=(",", ":")).encode()
    _sync_folders(folder)
    draft = folder / f".{MANIFEST}-{uuid4().hex}"
    draft.write_bytes(content)
    _sync(draft)
    draft.replace(folder / MANIFEST)
    _sync(folder)
    return "sha256:" + hashlib.sha256(content).hexdigest()


def is_whole(folder: Path) -> bool:
    """Tell whether the folder was sealed (its manifest exists). Does not read the other files."""
    return (Path(folder) / MANIFEST).is_file()


def digest_of(folder: Path) -> str:
    """Give the digest of a sealed folder from its manifest, without reading the other files."""
    if not is_whole(folder):
        raise ArtifactMissing(f"{folder} is not whole: it has no {MANIFEST}")
    return "sha256:" + hashlib.sha256((Path(folder) / MANIFEST).read_bytes()).hexdigest()


def verify(folder: Path) -> str:
    """Compare every byte of a sealed folder with its manifest; return the digest or raise ArtifactDamaged."""
    folder = Path(folder)
    entries = _entries(folder)
    _check_sizes(folder, entries)
    for entry in entries:
        if _hash(folder / entry["name"]) != entry["sha256"]:
            raise ArtifactDamaged(f"{folder / entry['name']} is not the file that was sealed; copy the artefact anew")
    return digest_of(folder)


def resolve(ref: str, store_root: Path | None) -> Path:
    """Find what a job's input names: a digest in the store, otherwise a plain path (a researcher's folder)."""
    if _DIGEST.match(ref):
        if store_root is None:
            raise ArtifactMissing(f"the input {ref} is a digest, but the job names no store to find it in")
        return Store(store_root).fetch(ref)
    path = Path(ref)
    if not path.exists():
        raise ArtifactMissing(f"the input {ref} does not exist on this machine")
    return path


def _entries(folder: Path) -> list[Entry]:
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        entries: list[Entry] = manifest["files"]
        for entry in entries:
            name = Path(entry["name"])
            if name.is_absolute() or ".." in name.parts:
                raise ArtifactDamaged(f"{folder / MANIFEST} names a file outside of its folder: {name}")
            if not isinstance(entry["size"], int) or not isinstance(entry["sha256"], str):
                raise ArtifactDamaged(f"{folder / MANIFEST} is not a manifest")
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, ArtifactDamaged):
            raise
        raise ArtifactDamaged(f"{folder / MANIFEST} is not a manifest: {error}") from error
    return entries


def _check_sizes(folder: Path, entries: list[Entry]) -> None:
    for entry in entries:
        path = folder / entry["name"]
        size = path.stat().st_size if path.is_file() else None
        if size != entry["size"]:
            found = "is missing" if size is None else f"has {size} bytes"
            raise ArtifactDamaged(f"{path} {found} and should have {entry['size']}; copy the artefact anew")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folders(root: Path) -> None:
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        _sync(folder)
