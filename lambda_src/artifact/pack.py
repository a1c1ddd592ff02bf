"""Zip the functions of a built template, and write the template that names the zips.

    PYTHONPATH=lambda_src python -m artifact.pack .build/sam/template.yaml .build/packed.json

`sam package` uploads a zip as it is, under its digest, and leaves out what the bucket already holds. A zip depends on
the content of its files alone: what did not change is not zipped, not uploaded and not deployed again.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path

import yaml

CACHE = Path(".build", "packages")
KEPT = 6  # zips, the newest ones
LEVEL = 3  # of Predict's 242 MB 71.7 are left in half the time of level 6, which leaves 66.1
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


def digest_of(folder: Path) -> str:
    """A digest of the names, modes and contents of all files below `folder`."""
    digest = hashlib.sha256()
    for file in _files(folder):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").digest()
        digest.update(f"{file.relative_to(folder).as_posix()}\0{_mode(file):o}\0".encode() + content)
    return digest.hexdigest()


def zipped(folder: Path, cache: Path = CACHE) -> Path:
    """The zip of all files below `folder`, made now or by an earlier build. Raises FileNotFoundError without files."""
    if not any(_files(folder)):
        raise FileNotFoundError(f"{folder} holds no files: run `sam build` first")
    cache.mkdir(parents=True, exist_ok=True)
    with cache.with_suffix(".lock").open("w") as lock:  # one process at a time: another may be making this very zip
        fcntl.flock(lock, fcntl.LOCK_EX)
        whole = cache / f"{digest_of(folder)}.zip"
        if whole.exists():
            os.utime(whole)
        else:
            _write(folder, whole)
        for old in sorted(cache.glob("*.zip"), key=lambda each: each.stat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
        return whole


def _write(folder: Path, whole: Path) -> None:
    handle, partial = tempfile.mkstemp(dir=whole.parent)
    try:
        with os.fdopen(handle, "wb") as stream, zipfile.ZipFile(stream, "w") as archive:
            for file in _files(folder):
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), EPOCH)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, (0o100000 | _mode(file)) << 16
                entry._compresslevel = LEVEL  # has a public name from Python 3.13 on
                entry.file_size = file.stat().st_size
                with file.open("rb") as source, archive.open(entry, "w") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
        Path(partial).replace(whole)
    finally:
        Path(partial).unlink(missing_ok=True)


def pack(template: Path, packed: Path) -> int:
    """Write `packed`: the built template with a zip for each function's folder. Returns how many functions have one.

    `packed` is JSON, since the SAM CLI reads its template seven times, and YAML slowly.
    """
    zips: dict[Path, Path] = {}  # functions may share a folder
    functions = 0
    content = yaml.load(template.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for resource in content["Resources"].values():
        properties = resource.get("Properties", {})
        place = properties.get("CodeUri")
        if isinstance(place, str) and (folder := template.parent / place).is_dir():
            functions += 1
            if folder not in zips:
                zips[folder] = zipped(folder)
            properties["CodeUri"] = os.path.relpath(zips[folder].resolve(), packed.resolve().parent)
    packed.write_text(json.dumps(content), encoding="utf-8")
    return functions


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _mode(file: Path) -> int:
    return 0o755 if file.stat().st_mode & 0o100 else 0o644


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template", type=Path, help="as `sam build` wrote it")
    parser.add_argument("packed", type=Path, help="the template to write")
    chosen = parser.parse_args()
    try:
        functions = pack(chosen.template, chosen.packed)
    except OSError as error:
        print(f"pack: {error}", file=sys.stderr)
        return 1
    print(f"packed: {functions} functions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
