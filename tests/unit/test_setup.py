"""The set-up: one source for the pins, a clear line for what is missing, environments that are whole or made again."""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.scripts import load
from workshop import ROOT

pytestmark = pytest.mark.slow

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


setup, lock = load("setup"), load("lock")


def canonical(name: str) -> str:
    """The name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: Path) -> dict[str, str]:
    """Version by name of every pin in a requirements file that holds for this Python."""
    lines = [line.split(" #")[0] for line in file.read_text().splitlines() if PIN.match(line)]
    found = [each for each in map(Requirement, lines) if each.marker is None or each.marker.evaluate()]
    return {canonical(each.name): str(each.specifier).removeprefix("==") for each in found}


def lock_of(python: str) -> Path:
    return ROOT / f"requirements-{python}.txt"


def direct_pins(python: str) -> dict[str, str]:
    """Version by name of environment.yml's pip section for one Python, read as YAML."""
    tree = yaml.safe_load((ROOT / "environment.yml").read_text())
    section = next(item["pip"] for item in tree["dependencies"] if isinstance(item, dict))
    (condas,) = [item for item in tree["dependencies"] if str(item).startswith("python=")]
    assert section[0] == f"-c requirements-{condas.partition('=')[2]}.txt"
    assert section[-1] == "-e ."
    every = [Requirement(line) for line in section[1:-1]]
    here = [each for each in every if each.marker is None or each.marker.evaluate({"python_version": python})]
    return {canonical(each.name): str(each.specifier).removeprefix("==") for each in here}


# --- the pins


@pytest.mark.parametrize("python", lock.PYTHONS)
def test_the_lock_holds_every_direct_pin(python):
    locked, wanted = pins(lock_of(python)), direct_pins(python)
    assert "numpy" in wanted
    assert {name: locked.get(name) for name in wanted} == wanted


def test_the_scripts_and_the_metadata_name_the_same_pythons():
    assert lock.PYTHONS == setup.PYTHONS
    found = re.search(r'requires-python = ">=(\S+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert (found[1], f"3.{int(found[2]) - 1}") == (lock.PYTHONS[0], lock.PYTHONS[-1])
    assert sorted(ROOT.glob("requirements-3*.txt")) == [lock_of(python) for python in lock.PYTHONS]
    finder = (ROOT / "scripts" / "find_python.sh").read_text()
    assert f'versions="{" ".join(reversed(lock.PYTHONS))}"' in finder


def test_the_lock_script_reads_what_conda_reads():
    assert [line.split("==")[0] for line in lock.direct_pins()] == [
        line.split("==")[0]
        for line in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"][1:-1]
    ]


def test_every_direct_pin_says_what_it_is_for():
    lines = [line for line in (ROOT / "environment.yml").read_text().splitlines() if "==" in line]
    others = [line for line in lines if "; python_version" in line]
    assert len(lines) == len(direct_pins("3.13")) + len(others) / 2  # a pin for newer Pythons, and one for older
    assert not [line for line in lines if not re.search(r"  # \w+", line)]


@pytest.mark.parametrize("which", ["emulator", "linter"])
def test_the_other_locks_hold_their_direct_pins(which):
    wanted = pins(ROOT / f"requirements-{which}.in")
    locked = pins(ROOT / f"requirements-{which}.txt")
    assert wanted and {name: locked.get(name) for name in wanted} == wanted


def test_the_notebooks_import_the_functions_modules_with_the_functions_versions():
    function, workbook = pins(ROOT / "lambda_src" / "predict" / "requirements.txt"), pins(lock_of(setup.VERSION))
    # MXNet's Python package needs an old numpy; the function does not carry that package.
    shared = (set(function) & set(workbook)) - {"numpy"}
    assert {"pillow", "obstore", "aws-lambda-powertools"} <= shared
    assert {name: function[name] for name in shared} == {name: workbook[name] for name in shared}


def test_what_is_installed_is_what_is_locked():
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "freeze", "--python", sys.executable],
        capture_output=True,
        text=True,
        check=True,
    )
    installed = {canonical(match[1]): match[2] for match in map(PIN.match, listed.stdout.splitlines()) if match}
    locked = pins(lock_of(setup.VERSION))
    assert {name: installed.get(name) for name in locked} == locked


@pytest.mark.parametrize(
    "name",
    [path.name for path in ROOT.glob("requirements*")] + ["environment.yml", "pyproject.toml"],
)
def test_no_file_names_a_host_to_install_from(name):
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(--?(i|f|index-url|extra-index-url|find-links|trusted-host))\b", text)


# --- what is missing, in one line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"version": (3, 15, 1)}, "Python 3.11 to 3.14.*3.15.1.*make PYTHON="),
        ({"version": (3, 9, 0)}, "Python 3.11 to 3.14"),
        ({"system": "darwin", "machine": "arm64"}, "Linux.*container"),
        ({"system": "win32"}, "WSL 2"),
        ({"machine": "riscv64"}, "x86-64 or arm64.*Codespaces"),
        ({"machine": "aarch64"}, "Python 3.12 to 3.14 on arm64.*3.11.7"),
        ({"machine": "aarch64", "libc": ""}, "glibc"),
        ({"libc": ""}, "glibc.*SageMaker Studio"),
    ],
)
def test_an_unsupported_machine_is_told_what_to_do(arguments, said):
    supported = {"version": (3, 11, 7), "system": "linux", "machine": "x86_64", "libc": "glibc"}
    for minor in (11, 12, 13, 14):
        setup.check_platform(**supported | {"version": (3, minor, 0)})
        if minor > 11:
            setup.check_platform(**supported | {"version": (3, minor, 0), "machine": "aarch64"})
    with pytest.raises(setup.SetupError, match=said) as refused:
        setup.check_platform(**supported | arguments)
    assert "\n" not in str(refused.value)


def test_no_room_on_the_disk_says_how_much_is_needed(tmp_path):
    setup.check_room(tmp_path, 1)
    with pytest.raises(setup.SetupError, match=r"no room.*1000000.0 GB needed"):
        setup.check_room(tmp_path, 10**15)


def make(*arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    for name in ("PYTHON", "MAKEFLAGS", "MAKEOVERRIDES"):  # of the make that runs the tests
        environment.pop(name, None)
    program = shutil.which("make")
    assert program, "make is needed"
    return subprocess.run([program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def bare(tmp_path):
    """A home without a Python, a folder of the programs that a shell script needs, and a clone's two files."""
    (tmp_path / "bin").mkdir()
    for name in ("sh", "bash", "env", "dirname", "sed", "tar", "cat", "mkdir", "test", "uname"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    for name in ("Makefile", "scripts/find_python.sh"):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "clone" / name)
    return tmp_path


def python_stand_in(place: Path, version: str, broken: bool = False) -> Path:
    """A program that answers like a Python of another version, or one whose `ensurepip` is missing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(
        f'#!/bin/sh\ncase " $3 " in *" {version} "*) {"exit 1" if broken else f"echo {place}"};; *) exit 1;; esac\n'
    )
    place.chmod(0o755)
    return place


def found(bare: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(bare / "bin"), "HOME": str(bare), **variables}
    command = ["/bin/sh", bare / "clone" / "scripts" / "find_python.sh", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_newest_python_that_works_is_found_wherever_it_is(bare):
    assert found(bare).stdout == ""
    old = python_stand_in(bare / "bin" / "python3", "3.11")
    assert found(bare).stdout == f"{old}\n"
    python_stand_in(bare / "bin" / "python3.14", "3.14", broken=True)
    managed = python_stand_in(bare / ".local/share/uv/python/cpython-3.12.9-linux-x86_64-gnu/bin/python3.12", "3.12")
    assert found(bare).stdout == f"{managed}\n"
    pyenvs = python_stand_in(bare / ".pyenv/versions/3.13.5/bin/python3.13", "3.13")
    assert found(bare).stdout == f"{pyenvs}\n"
    assert found(bare, "--all").stdout.split() == [str(pyenvs), str(managed), str(old)]
    assert found(bare, "3.12").stdout == f"{managed}\n"
    old.unlink()
    all_but_the_oldest = found(bare, "--all")
    assert (all_but_the_oldest.returncode, len(all_but_the_oldest.stdout.split())) == (0, 2)


def test_the_python_that_made_the_environment_stays(bare):
    old = python_stand_in(bare / "bin" / "python3.11", "3.11")
    new = python_stand_in(bare / "bin" / "python3.13", "3.13")
    settings = bare / "clone" / ".venv" / "pyvenv.cfg"
    settings.parent.mkdir()
    settings.write_text(f"home = {old.parent}\nexecutable = {old}\n")
    assert found(bare).stdout == f"{old}\n"
    old.unlink()
    assert found(bare).stdout == f"{new}\n"


def test_without_a_python_uv_fetches_one(bare, tmp_path):
    """From a mirror in a folder; the Python in it stands in, and runs the one that runs the tests."""
    base = sys._base_executable
    place = tmp_path / "mirror" / "python" / "bin" / "python3.13"
    place.parent.mkdir(parents=True)
    place.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo "$0" || exec {base} "$@"\n')
    place.chmod(0o755)
    library = tmp_path / "mirror" / "python" / "lib" / "python3.13"
    library.mkdir(parents=True)
    settings = "# system configuration generated and used by the sysconfig module\nbuild_time_vars = {}\n"
    (library / "_sysconfigdata__linux_x86_64-linux-gnu.py").write_text(settings)
    archive = tmp_path / "mirror" / "cpython.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(place.parent.parent, "python")
    said = {
        "name": "cpython", "arch": {"family": "x86_64", "variant": None}, "os": "linux", "libc": "gnu", "major": 3,
        "minor": 13, "patch": 5, "prerelease": "", "url": archive.as_uri(), "sha256": None, "variant": None,
        "build": "20250610",
    }  # fmt: skip
    (tmp_path / "list.json").write_text(json.dumps({"cpython-3.13.5-linux-x86_64-gnu": said}))
    (bare / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    fetched = found(bare, "--fetch", UV_PYTHON_DOWNLOADS_JSON_URL=str(tmp_path / "list.json"))
    assert fetched.returncode == 0, fetched.stderr
    assert fetched.stdout.strip().startswith(f"{bare}/.local/share/uv/python/cpython-3.13.5-linux-x86_64-gnu/")
    assert fetched.stderr.splitlines()[0] == "No Python 3.11 to 3.14 was found: uv fetches Python 3.13."


@pytest.mark.parametrize("with_uv", [True, False])
def test_without_a_python_or_a_network_one_sentence_says_how_to_get_it(bare, with_uv):
    if with_uv:
        (bare / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    environment = {"PATH": str(bare / "bin"), "HOME": str(bare), "UV_OFFLINE": "1"}
    make_ = shutil.which("make")
    done = subprocess.run([make_, "setup"], cwd=bare / "clone", env=environment, capture_output=True, text=True)
    assert done.returncode
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("set-up: ")]
    for words in ("3.11 to 3.14", "Debian, Ubuntu: apt-get", "Fedora: dnf", "macOS", "container", "make PYTHON="):
        assert words in said
    assert ("uv python install 3.13" in said) == with_uv


@pytest.mark.parametrize("python", ["/nonexistent", "/", "true", "false", "no such/python"])
def test_a_python_that_is_none_is_one_sentence(python):
    for target in ("setup", "deploy", "endpoint"):
        result = make(target, f"PYTHON={python}")
        assert result.returncode
        said = [line for line in result.stderr.splitlines() if not line.startswith("make: ***")]
        assert len(said) == 1 and f"PYTHON={python} is not a Python that runs" in said[0]
        assert result.stdout == ""


def test_the_commands_run_in_a_folder_with_blanks_in_its_name(tmp_path):
    """With a stand-in for each Python: whether it is reached, and whether it is asked for the right thing."""
    clone = tmp_path / "a  clone of mine"
    for name in ("scripts", ".venv/bin", "notebooks"):
        (clone / name).mkdir(parents=True)
    for name in ("Makefile", "scripts/setup.py", "lambda_src/predict/Makefile"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    python = clone / ".venv" / "bin" / "python"
    python.write_text(
        '#!/bin/sh\nif [ "$1" = -c ]; then echo 311; exit; fi\n'
        '[ "$2" != artifact.assemble ] || echo "<$PYTHONPATH>"\nfor each in "$@"; do echo "<$each>"; done\n'
    )
    python.chmod(0o755)
    (python.parent / "jupyter").symlink_to("python")
    said = {}
    for target in ("endpoint", "deploy", "lab", "down", "lock"):
        command = ["make", "-s", target, f"PYTHON={python}"]
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), (target, done.stderr)
        said[target] = done.stdout.splitlines()
    # First the choices are checked, then the environments made, then the notebooks run.
    assert said["deploy"][:2] == ["<-m>", "<workshop.choices>"]
    begin = said["deploy"].index("<scripts/setup.py>")
    assert said["deploy"][begin : begin + 3] == ["<scripts/setup.py>", "<-m>", "<workshop.headless.runner>"]
    assert said["down"][:3] == ["<-m>", "<workshop.emulator>", "<stop>"]
    assert said["lab"][-1] == "<00_start_here.ipynb>"
    build = ["make", "-s", "--makefile", clone / "lambda_src/predict/Makefile", "build-Predict", "ARTIFACTS_DIR=/a b"]
    first_on_the_path = os.environ | {"PATH": os.pathsep.join([str(python.parent), os.environ["PATH"]])}
    built = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=True, env=first_on_the_path)
    path, *options = built.stdout.splitlines()
    assert path.startswith(f"<{clone}/") and Path(path[1:-1]).resolve() == clone / "lambda_src"
    assert options == ["<-m>", "<artifact.assemble>", "<--artifact>", "</a b>"]


def test_make_help_lists_every_command():
    listed = make("help").stdout
    for target in ("deploy", "test", "lab", "endpoint", "bench", "down", "clean", "lock"):
        assert re.search(rf"(?m)^make {target} +\w", listed), target


# --- environments


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set-up whose environment needs no package: quick, and real."""
    (tmp_path / "lock.txt").write_text("# nothing\n")
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "LOCKS", {"emulator": ("lock.txt", ".venv-tiny")})
    monkeypatch.setattr(setup, "ROOM", {"emulator": 1})
    return tmp_path


def test_an_environment_is_made_once(tiny):
    assert setup.make("emulator")
    assert (tiny / ".venv-tiny" / "bin" / "python").exists()
    assert not setup.make("emulator")


def test_an_environment_is_made_again_when_its_lock_changes(tiny):
    setup.make("emulator")
    (tiny / ".venv-tiny" / "left").touch()
    (tiny / "lock.txt").write_text("# something else\n")
    assert setup.make("emulator")
    assert not (tiny / ".venv-tiny" / "left").exists()


def test_an_environment_whose_making_was_killed_is_made_again(tiny, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(setup, "install", killed)
        setup.make("emulator")
    assert (tiny / ".venv-tiny").exists()
    assert not setup.is_complete(tiny / "lock.txt", tiny / ".venv-tiny")
    assert setup.make("emulator")


def test_an_environment_that_was_moved_is_made_again(tiny):
    setup.make("emulator")
    (tiny / ".venv-tiny").rename(tiny / "elsewhere")
    shutil.copytree(tiny / "elsewhere", tiny / "copy", symlinks=True)
    assert not setup.is_complete(tiny / "lock.txt", tiny / "copy")


def test_a_link_is_left_alone_with_all_that_it_leads_to(tiny):
    setup.make("emulator")
    (tiny / ".venv-tiny").rename(tiny / "elsewhere")
    (tiny / ".venv-tiny").symlink_to("elsewhere")
    (tiny / "lock.txt").write_text("# something else\n")
    with pytest.raises(setup.SetupError, match=r"\.venv-tiny is a symbolic link"):
        setup.make("emulator")
    assert (tiny / "elsewhere" / setup.STAMP).is_file()


def test_a_home_that_is_read_only_leaves_uv_its_downloads(tiny, tmp_path):
    written = {"HOME": str(tmp_path)}
    assert setup.writable_cache(written, tiny / "uv") == written
    assert (tmp_path / ".cache" / "uv").is_dir()
    places = ({"HOME": "/proc"}, {"UV_CACHE_DIR": "/proc/uv"}, {"HOME": str(tmp_path), "XDG_CACHE_HOME": "/proc/cache"})
    for readonly in places:
        assert setup.writable_cache(readonly, tiny / "uv") == readonly | {"UV_CACHE_DIR": str(tiny / "uv")}


def test_make_too_gives_uv_a_place_for_its_downloads(tmp_path):
    (tmp_path / "Makefile").write_text(f'include {ROOT}/Makefile\nshow:\n\t@echo "$$UV_CACHE_DIR"\n')
    for home, place in ((tmp_path, ""), (Path("/proc"), f"{tmp_path}/.build/uv")):
        environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
        shown = subprocess.run(
            ["make", "-s", "show"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        assert shown.stdout.strip() == place


def test_pip_says_that_it_installs_and_why(tiny, monkeypatch, capsys):
    (tiny / "lock.txt").write_text("no-such-package @ file:///nowhere/at-all.whl\n")
    for patched, why in (
        ({"pip_has_its_own_index": lambda _: True}, "an index of its own"),
        ({"find_uv": lambda *_: None}, "could not be installed"),
        ({}, "uv could not (error"),
    ):
        with monkeypatch.context() as patch, pytest.raises(setup.SetupError):
            for name, stand_in in patched.items():
                patch.setattr(setup, name, stand_in)
            setup.make("emulator")
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "minutes" in line]
        assert line.startswith("pip installs lock.txt, which takes minutes: ") and why in line


def test_what_cannot_be_installed_is_one_line(tiny):
    (tiny / "lock.txt").write_text("no-such-package @ file:///nowhere/at-all.whl\n")
    with pytest.raises(setup.SetupError, match=r"lock.txt could not be installed: ") as refused:
        setup.make("emulator")
    assert "\n" not in str(refused.value)
    assert not setup.is_complete(tiny / "lock.txt", tiny / ".venv-tiny")


def test_an_installers_error_names_the_package():
    """As pip and uv said it of packages without a wheel, on a machine without a compiler."""
    pips = """  error: subprocess-exited-with-error
  ╰─> [20 lines of output]
error: metadata-generation-failed

× Encountered error while generating package metadata.
╰─> contourpy

hint: See above for details."""
    uvs = "error: Failed to build `pi-heif==1.0.0`\n  cause: The build backend returned an error\n\nhint: Build"
    for text, said in ((pips, "error: metadata-generation-failed contourpy"), (uvs, uvs.partition("\n")[0])):
        assert setup.last_line(subprocess.CompletedProcess([], 1, "", text)) == said


def test_a_lock_takes_no_version_that_needs_a_compiler(tmp_path, monkeypatch):
    for version in ("1.0", "2.0"):
        (tmp_path / "PKG-INFO").write_text(f"Metadata-Version: 2.2\nName: only-source\nVersion: {version}\n")
        with tarfile.open(tmp_path / f"only_source-{version}.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "PKG-INFO", f"only_source-{version}/PKG-INFO")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    with pytest.raises(SystemExit, match="only-source.*no usable wheels"):
        lock.compiled(["only-source"], "3.14", lock.PLATFORMS[0], tmp_path / "lock.txt")


def test_libraries_that_the_system_lacks_are_put_beside_libmxnet(tmp_path, monkeypatch):
    mxnet = tmp_path / "lib" / f"python{setup.VERSION}" / "site-packages" / "mxnet"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    mxnet.mkdir(parents=True)
    monkeypatch.setattr(setup, "is_missing", lambda library: False)
    setup.supply_libraries(tmp_path)
    assert not list(mxnet.iterdir())
    monkeypatch.setattr(setup, "is_missing", lambda library: library == "libquadmath.so.0")
    setup.supply_libraries(tmp_path)
    assert [path.name for path in mxnet.iterdir()] == ["libquadmath.so.0"]
    assert ctypes.CDLL(str(mxnet / "libquadmath.so.0"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "lib"]


def test_libraries_that_cannot_be_fetched_are_named_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\necho error: no network >&2\nexit 1\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    monkeypatch.setattr(setup, "is_missing", lambda library: True)
    said = (
        r"^libgomp.so.1 and libquadmath.so.0 could not be fetched: error: no network \(.*apt-get install libgomp1 .*\)$"
    )
    with pytest.raises(setup.SetupError, match=said):
        setup.supply_libraries(tmp_path)


def test_a_library_of_this_system_is_not_missing():
    assert setup.is_missing("libnothing.so.9") and not setup.is_missing("libc.so.6")


# --- the code


def test_the_linter_finds_nothing():
    found = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("has_browser", [True, False])
def test_ci_runs_all_tests_with_a_browser(tmp_path, has_browser):
    """With stand-ins for the programs that it calls: what it would do as root of an empty machine."""
    for name in ("env", "bash", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    stand_ins = {"id": "echo 0", "apt-get": 'echo "apt-get $*"', "make": 'echo "make $* CI=$CI"'}
    if has_browser:
        stand_ins["chromium"] = "exit 9"
    for name, line in stand_ins.items():
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run([ROOT / ".ci" / "run"], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["make test CI=true"]
    installed = ["apt-get update", "apt-get install -y --no-install-recommends chromium"]
    assert done.stderr.splitlines() == ([] if has_browser else installed)


def test_without_a_browser_its_tests_are_skipped_and_fail_in_ci(tmp_path):
    for name in ("bash", "sh", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/browser/test_page.py",
        "-k",
        "empty_address",
    ]
    for ci, outcome in (({}, "1 skipped"), ({"CI": "true"}, "1 error")):
        environment = {name: value for name, value in os.environ.items() if name != "CI"} | ci
        done = subprocess.run(
            command, cwd=ROOT, env=environment | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
        )
        assert outcome in done.stdout and "apt-get install chromium" in done.stdout, done.stdout
