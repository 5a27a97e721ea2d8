"""The architecture page tells the truth: every module is named, and imports point downwards."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MODULES = sorted((ROOT / "glview").rglob("*.py"))

BELOW = {
    "dbus": {"dbus"},
    "stats": {"stats"},
    "scanout": {"scanout", "stats"},
    "gl": {"gl", "scanout"},
    "qemu": {"qemu", "dbus", "scanout", "stats"},
    "wayland": {"wayland", "ui.hostkeyboard", "ui.keymap"},
    "ui": {"ui", "gl", "scanout", "stats", "qemu.input", "wayland"},
    "present": {"present", "gl", "scanout", "stats", "ui.window", "ui.glwindow", "ui.keymap"},
    "x11": {"x11", "ui.hostkeyboard", "ui.keymap"},
    "doctor": {"doctor", "ui", "present", "gl", "scanout", "qemu", "__version__"},
    "testing": {"testing", "dbus"},
}
ANYWHERE = {"errors", "text", "threads", "output", "ending"}


def imported(path: Path) -> set[str]:
    """The modules of glview that a file imports, anywhere in it, without `glview.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("glview"):
            if node.module.count(".") == 1 or node.module == "glview":
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
            else:
                found.add(node.module)
    return {name.removeprefix("glview.") for name in found}


@pytest.mark.parametrize("room", BELOW)
def test_imports_point_downwards(room: str) -> None:
    for path in (ROOT / "glview" / room).rglob("*.py"):
        for name in imported(path):
            top = name.split(".", maxsplit=1)[0]
            allowed = top in ANYWHERE or top in BELOW[room] or name in BELOW[room]
            assert allowed, f"{path.relative_to(ROOT)} imports glview.{name}"


def test_every_module_is_on_the_page() -> None:
    rooms = PAGE.split("## Rooms")[1].split("## Libraries")[0]
    named = set(re.findall(r"[\w/]+\.py", rooms))
    there = {p.name for p in MODULES if p.parent.name != "testing" and p.name[0] != "_"}
    assert named - {"tests/unit/test_architecture.py"} == there


def test_every_room_is_on_the_page() -> None:
    for folder in (ROOT / "glview").iterdir():
        if (folder / "__init__.py").is_file():
            assert f"{folder.name}/" in PAGE
            assert folder.name in BELOW


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in readme


def test_the_exit_codes_on_the_page_are_those_of_the_code() -> None:
    from glview import errors

    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    codes = [c.exit_code for c in errors.GlviewError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert documented == {0, 2, *codes}
