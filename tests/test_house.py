"""The drawing in ``docs/architecture.md`` has the packages that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def rooms(folder: Path) -> set[str]:
    """Return the names of packages and modules right below a package."""
    found = {path.stem for path in folder.glob("*.py")} | {
        path.name for path in folder.iterdir() if (path / "__init__.py").is_file()
    }
    return found - {"__init__"}


def drawn() -> dict[str, set[str]]:
    """Return the rooms that the drawing has, by the package that they are below."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    drawing = text.split("## 7. The packages", 1)[1].split("```")[1]
    found: dict[str, set[str]] = {}
    top = below = ""
    for line in drawing.strip().splitlines():
        indent, names = re.match(r"( *)((?:[\w/]+ ?)+)", line).groups()  # type: ignore[union-attr] # every line has names
        if not indent:
            top = below = names.strip("/ ")
            found[top] = set()
        elif len(indent) == 2:
            found[top] |= set(names.split())
            below = f"{top}/{names.split()[-1]}"
        else:
            found.setdefault(below, set()).update(names.split())
    return found


def test_the_drawing_has_every_room_and_no_other() -> None:
    drawing = drawn()
    assert set(drawing) == {"registry", "builder", "registry/web"}
    assert drawing["registry"] == rooms(ROOT / "registry")
    assert drawing["builder"] == rooms(ROOT / "builder")
    web = ROOT / "registry" / "web"
    assert drawing["registry/web"] == {room for room in rooms(web) if (web / room).is_dir()}


def test_the_top_of_each_package_fits_on_one_screen() -> None:
    for package in ("registry", "builder", "registry/web"):
        assert len(rooms(ROOT / package)) <= 25, package
