"""The zips of a built template: known by their content, whole or absent."""

import fcntl
import json
import os
import subprocess
import sys
import zipfile

import pytest

from workshop import ROOT

TEMPLATE = """Resources:
  One:
    Properties:
      CodeUri: One
  Again:
    Properties:
      CodeUri: One
  Elsewhere:
    Properties:
      CodeUri: s3://bucket/key
"""


@pytest.fixture
def built(tmp_path):
    folder = tmp_path / "built" / "One"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text("a = 1\n")
    (folder / "lib").mkdir()
    (folder / "lib" / "b.so").write_bytes(bytes(range(256)) * 999)
    (folder / "lib" / "b.so").chmod(0o775)
    (tmp_path / "built" / "template.yaml").write_text(TEMPLATE)
    return tmp_path


def pack(place) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "artifact.pack", "built/template.yaml", "packed.json"]
    environment = {"PYTHONPATH": str(ROOT / "lambda_src"), "PATH": os.defpath}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)


def uris(place) -> list[str]:
    resources = json.loads((place / "packed.json").read_text())["Resources"]
    return [each["Properties"]["CodeUri"] for each in resources.values()]


def test_each_folder_becomes_one_zip_and_the_rest_stays(built):
    assert pack(built).stdout == "packed: 2 functions\n"
    one, again, elsewhere = uris(built)
    assert one == again and elsewhere == "s3://bucket/key"
    with zipfile.ZipFile(built / one) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a.py", "lib/b.so"]
        assert [entry.external_attr >> 16 & 0o777 for entry in archive.infolist()] == [0o644, 0o755]
        assert archive.read("lib/b.so") == (built / "built/One/lib/b.so").read_bytes()


def test_the_same_content_is_the_same_zip_at_any_time(built):
    pack(built)
    before, content = uris(built), (built / uris(built)[0]).read_bytes()
    os.utime(built / "built/One/a.py", (1, 1))
    (built / uris(built)[0]).unlink()
    pack(built)
    assert uris(built) == before and (built / before[0]).read_bytes() == content


@pytest.mark.parametrize("change", ["content", "name", "mode"])
def test_a_change_is_another_zip(built, change):
    pack(built)
    before = uris(built)
    file = built / "built/One/a.py"
    if change == "content":
        file.write_text("a = 2\n")
    elif change == "name":
        file.rename(file.with_name("c.py"))
    else:
        file.chmod(0o755)
    pack(built)
    assert uris(built)[0] != before[0]


@pytest.mark.slow
def test_old_zips_go(built):
    for number in range(9):
        (built / "built/One/a.py").write_text(f"a = {number}\n")
        pack(built)
    zips = list((built / ".build" / "packages").iterdir())
    assert len(zips) == 6 and built / uris(built)[0] in zips


def test_a_folder_without_files_is_told(built):
    for file in (built / "built" / "One").rglob("*.*"):
        file.unlink()
    done = pack(built)
    assert done.returncode == 1 and "run `sam build` first" in done.stderr and not done.stdout
    assert not (built / "packed.json").exists()


def test_two_that_pack_at_once_make_one_zip(built):
    command = [sys.executable, "-m", "artifact.pack", "built/template.yaml", "packed.json"]
    environment = {"PYTHONPATH": str(ROOT / "lambda_src"), "PATH": os.defpath}
    cache = built / ".build" / "packages"
    cache.mkdir(parents=True)
    with cache.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        both = [subprocess.Popen(command, cwd=built, env=environment) for _ in range(2)]
        with pytest.raises(subprocess.TimeoutExpired):
            both[0].wait(1)
    assert [each.wait(60) for each in both] == [0, 0]
    assert len(list(cache.glob("*.zip"))) == 1
