"""The wheel holds all that glview needs to run, and runs away from the checkout."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

import pytest

import glview

CHECKOUT = Path(__file__).parents[2]
SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"
REQUIREMENTS = "from importlib import metadata; print(*metadata.requires('glview'), sep='\\n')"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new virtual environment that holds the wheel and what it asks for.

    The dependencies are links to those of the environment that runs the tests,
    so that nothing is downloaded, and only those that the wheel's metadata names.
    """
    folder = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, cwd=CHECKOUT)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    interpreter = folder / "venv/bin/python"
    _run(interpreter, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    site = Path(_run(interpreter, "-c", SITE_PACKAGES).strip())
    requirements = _run(interpreter, "-c", REQUIREMENTS).splitlines()
    for requirement in (line for line in requirements if "extra ==" not in line):
        _link_distribution(re.split(r"[^\w.-]", requirement)[0], site)
    return interpreter


def test_it_runs_from_the_wheel(python: Path, tmp_path: Path) -> None:
    where = "import glview; print(glview.__file__)"
    assert not _run(python, "-c", where, cwd=tmp_path).startswith(str(CHECKOUT))
    assert glview.__version__ in _run(python, "-m", "glview", "--version", cwd=tmp_path)
    script = python.with_name("glview")
    assert glview.__version__ in _run(script, "--version", cwd=tmp_path)


def test_it_finds_its_shaders(python: Path, tmp_path: Path) -> None:
    for shader in (CHECKOUT / "shaders").iterdir():
        look = (
            f"from glview.gl.program import shader_source as s; print(s({shader.name!r}), end='')"
        )
        assert _run(python, "-c", look, cwd=tmp_path) == shader.read_text()


def test_the_licence_notices_are_in_it(python: Path, tmp_path: Path) -> None:
    look = "from importlib import metadata; print(*metadata.files('glview'))"
    files = _run(python, "-c", look, cwd=tmp_path)
    assert "licenses/LICENSE" in files
    assert "licenses/NOTICE" in files


def _link_distribution(name: str, site: Path) -> None:
    """Link what the installed distribution put directly into its site-packages."""
    distribution = metadata.distribution(name)
    tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
    for top in tops:
        (site / top).symlink_to(str(distribution.locate_file(top)))


def _run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, check=False, capture_output=True, text=True)
    assert not done.returncode, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout
