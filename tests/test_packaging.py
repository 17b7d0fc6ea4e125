"""The package as it is built, installed and imported: one namespace, nothing missing, nothing in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from source_tree import FLOORS, REPO

BUILD_INPUTS = ("pyproject.toml", "README.md", "LICENSE")


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=kept | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def _build(kind: str, source: Path, target: Path) -> Path:
    done = _run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", target, cwd=source)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def _source_files() -> set[str]:
    """Return what the wheel must hold: every file but caches, of Python or (hidden folders) of tools."""
    files = (
        (path, path.relative_to(REPO / floor))
        for floor in FLOORS
        for path in (REPO / floor / "wellbridge").rglob("*")
    )
    return {
        name.as_posix()
        for path, name in files
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once."""
    return _build("wheel", REPO, tmp_path_factory.mktemp("wheel"))


def _environment(folder: Path) -> Path:
    """Make an environment that sees this one's libraries but not this checkout; return its Python."""
    done = _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=REPO)
    assert done.returncode == 0, done.stderr
    python = folder / "bin" / "python"
    found = _run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    # A plain path line: .pth files of the other environment (an editable install) are not followed.
    (Path(found.stdout.strip()) / "libraries.pth").write_text(
        sysconfig.get_path("purelib") + "\n", encoding="utf-8"
    )
    return python


def _install(python: Path, *what: str | Path) -> None:
    done = _run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--ignore-installed",
        *what,
        cwd=python.parent,
        PIP_DISABLE_PIP_VERSION_CHECK="1",
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel; return its environment's ``bin`` folder."""
    python = _environment(tmp_path_factory.mktemp("env") / "v")
    _install(python, wheel)
    return python.parent


def test_the_namespace_level_is_bare() -> None:
    assert [floor for floor in FLOORS if (REPO / floor / "wellbridge" / "__init__.py").exists()] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_each_part_is_a_typed_package(floor: str) -> None:
    part = REPO / floor / "wellbridge" / floor
    assert (part / "__init__.py").is_file()
    assert (part / "py.typed").is_file()


def test_no_link_stands_in_for_a_source_file() -> None:
    """Hatchling's walk skips a folder that it has met already, so a link can empty the wheel."""
    assert [path for floor in FLOORS for path in (REPO / floor).rglob("*") if path.is_symlink()] == []


def test_the_wheel_holds_every_source_file_and_no_other(wheel: Path) -> None:
    assert _names(wheel) == _source_files()


def test_the_wheel_installs_one_top_level_name(wheel: Path) -> None:
    assert {name.split("/")[0] for name in _names(wheel)} == {"wellbridge"}


def test_the_source_archive_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    archive = _build("sdist", REPO, tmp_path / "sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (source,) = (tmp_path / "unpacked").iterdir()
    assert _names(_build("wheel", source, tmp_path / "again")) == _names(wheel)


@pytest.mark.parametrize("path", [{}, {"PYTHONPATH": "."}])
@pytest.mark.parametrize("program", [("wellbridge",), ("python", "-m", "wellbridge")])
def test_a_folder_with_names_like_ours_is_not_in_the_way(
    installed: Path, tmp_path: Path, program: tuple[str, ...], path: dict[str, str]
) -> None:
    for name in FLOORS:
        (tmp_path / name).mkdir()
    (tmp_path / "pipelines" / "__init__.py").write_text(
        "raise RuntimeError('the wrong package')\n", encoding="utf-8"
    )
    done = _run(installed / program[0], *program[1:], "--version", cwd=tmp_path, **path)
    assert done.returncode == 0, done.stderr
    assert "0.1.0" in done.stdout


def test_a_machine_whose_python_cannot_make_environments_is_told_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "python3"
    bare.write_text(
        f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec "{sys.executable}" "$@"\n',
        encoding="utf-8",
    )
    bare.chmod(0o755)
    done = _run("sh", REPO / "scripts" / "venv.sh", tmp_path / "v", cwd=tmp_path, PYTHON=str(bare))
    assert done.returncode == 1
    assert f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in done.stderr
    assert not (tmp_path / "v").exists()


def test_a_machine_whose_python_is_too_old_is_told_so(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    old.chmod(0o755)
    done = _run("sh", REPO / "scripts" / "venv.sh", "--check", cwd=tmp_path, PYTHON=str(old))
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


def _copy_of_the_source(target: Path) -> Path:
    target.mkdir()
    for name in BUILD_INPUTS:
        (target / name).write_bytes((REPO / name).read_bytes())
    for floor in FLOORS:
        for name in _source_files_of(floor):
            (target / floor / name).parent.mkdir(parents=True, exist_ok=True)
            (target / floor / name).write_bytes((REPO / floor / name).read_bytes())
    return target


def _source_files_of(floor: str) -> list[str]:
    return [name for name in _source_files() if (REPO / floor / name).is_file()]


@pytest.mark.slow
def test_an_editable_install_sees_a_new_file(tmp_path: Path) -> None:
    source = _copy_of_the_source(tmp_path / "source")
    python = _environment(tmp_path / "v")
    _install(python, "-e", source)
    (source / "privacy" / "wellbridge" / "privacy" / "brand_new.py").write_text(
        "ANSWER = 42\n", encoding="utf-8"
    )
    done = _run(python, "-c", "from wellbridge.privacy.brand_new import ANSWER; print(ANSWER)", cwd=tmp_path)
    assert done.stdout.strip() == "42", done.stderr


@pytest.mark.slow
def test_a_consumer_sees_our_types(installed: Path, tmp_path: Path) -> None:
    program = (
        "from wellbridge.schemas.errors import SafeError\ncode: int = SafeError('WB-E-001', '').render()\n"
    )
    (tmp_path / "consumer.py").write_text(program, encoding="utf-8")
    done = _run(
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--python-executable",
        installed / "python",
        "consumer.py",
        cwd=tmp_path,
    )
    assert "Incompatible types" in done.stdout, done.stdout + done.stderr
