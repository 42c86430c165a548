"""What people do with files, and what becomes of the environments that these define."""

import shutil
import time
from typing import Final

import pytest

from conformance.sources.place import FILES, SPACE, Place, text, until
from conformance.sources.saving import WAYS, ConfigMap, in_halves

#: So many files a directory has, as a department has them.
_MANY: Final = 200
#: What they take at most, on a busy machine.
_MANY_SECONDS: Final = 180
#: Noarch, and needs nothing.
_LEAF: Final = "multi"
_BROKEN: Final = "channels: [conda-forge]\ndependencies:\n  - multi\n - tzdata\n"
#: So often an impatient person saves one file, some two hundred times a second.
_SAVES: Final = 1000


def test_one_file_of_two_hundred_is_broken(place: Place) -> None:
    """Its sentence says where; every other one is built."""
    for number in range(_MANY):
        place.path(f"many-{number:03}").write_text(text(_LEAF))
    place.path("many-100").write_text(_BROKEN)
    until(lambda: _built(place, "many-") == _MANY - 1, _MANY_SECONDS, pause_seconds=1)
    assert "line 4" in place.problem("many-100")
    assert place.source()["problems"] == 1
    until(lambda: place.server.metric("pullforge_source_problems") == 1)
    place.path("many-100").write_text(text(_LEAF))
    place.until_active("many-100", 1)
    assert _built(place, "many-") == _MANY
    assert place.source()["problems"] == 0


def _built(place: Place, prefix: str) -> int:
    """Return how many environments have an active version."""
    count, after = 0, ""
    while True:
        page = place.get(
            f"/namespaces/{SPACE}/environments?search={prefix}&limit=100"
            + (f"&after={after}" if after else "")
        )
        count += sum(one["active"] is not None for one in page["items"]) if page else 0
        if not page or page["next"] is None:
            return count
        after = page["next"]


def test_a_file_that_is_broken_later_takes_nothing_away(place: Place) -> None:
    """The environment stays as it is, and shows the sentence."""
    path = place.path("later")
    path.write_text(text(_LEAF))
    place.until_active("later", 1)
    path.write_text(_BROKEN)
    until(lambda: place.problem("later"))
    found = place.environment("later")
    assert found["active"] == 1
    assert "line 4" in found["managed"]["problem"]
    assert place.admin.manifest(place.server, f"{SPACE}/later:latest").status_code == 200
    path.write_text(text(_LEAF))
    until(lambda: not place.environment("later")["managed"]["problem"])
    assert len(place.versions("later")) == 1, "it is the text of the first version"


@pytest.mark.parametrize("way", WAYS)
def test_saving_makes_one_version(place: Place, way: str) -> None:
    """However the editor does it."""
    name = f"saved-{way.replace(' ', '-')}"
    path = place.path(name)
    for number, package in enumerate(("multi", "tzdata"), 1):
        wanted = text(package, WAY=way)
        WAYS[way](path, wanted)
        place.until_text(name, wanted)
        assert len(place.versions(name)) == number
        assert package in {one.partition("=")[0] for one in place.packages(name)}
    assert not place.problem(name)
    assert {one["reason"] for one in place.versions(name)} == {"file"}


def test_a_file_that_is_half_written_is_waited_for(place: Place) -> None:
    """Nobody is told of a problem, and nothing is made of the half."""
    path, wanted = place.path("half"), text(_LEAF, "tzdata", SOME="variable")
    path.write_text(text(_LEAF))
    place.until_active("half", 1)
    in_halves(path, wanted, pause_seconds=1)
    assert not place.problem("half")
    place.until_text("half", wanted)
    assert len(place.versions("half")) == 2
    events = place.get(f"/namespaces/{SPACE}/environments/half/events?limit=100")
    assert "source.failed" not in {one["action"] for one in events["items"]}


def test_a_folder_that_is_renamed_is_another_environment(place: Place) -> None:
    """The one of before is nobody's file's any more, and stays."""
    place.path("before").write_text(text(_LEAF, NAMED="before"))
    place.until_active("before", 1)
    assert place.environment("before")["managed"]["path"] == "before/environment.yml"
    place.path("before").parent.rename(place.home / FILES / "behind")
    place.until_active("behind", 1)
    place.until_unmanaged("before")
    assert place.active("before") == 1
    assert place.environment("behind")["managed"]["source"] == FILES


def test_what_is_removed_is_kept(place: Place) -> None:
    """And a file that comes back defines it again, without a build."""
    path = place.path("kept")
    path.write_text(text(_LEAF))
    place.until_active("kept", 1)
    path.unlink()
    place.until_unmanaged("kept")
    path.write_text(text(_LEAF))
    until(lambda: place.environment("kept")["managed"] is not None)
    assert len(place.versions("kept")) == 1


def test_what_is_removed_is_archived(place: Place) -> None:
    """A file that comes back brings it back."""
    path = place.path("old", "archived")
    path.write_text(text(_LEAF))
    place.until_active("old", 1)
    shutil.rmtree(path.parent)
    until(lambda: place.environment("old").get("archived_at"))
    place.path("old", "archived").write_text(text(_LEAF, "tzdata"))
    place.until_active("old", 2)
    assert place.environment("old")["archived_at"] is None


def test_what_is_removed_is_deleted(place: Place) -> None:
    """A file that comes back restores it, with its history."""
    path = place.path("rubbish", "deleted")
    path.write_text(text(_LEAF))
    place.until_active("rubbish", 1)
    path.unlink()
    until(lambda: not place.environment("rubbish"))
    path.write_text(text(_LEAF, "tzdata"))
    place.until_active("rubbish", 2)


def test_going_back_to_an_earlier_text_activates_its_version(place: Place) -> None:
    """Nothing is built for it."""
    path, texts = place.path("back"), [text(one) for one in ("multi", "tzdata", "click =8.1.7")]
    for number, wanted in enumerate(texts, 1):
        path.write_text(wanted)
        place.until_active("back", number)
    for number in (1, 3, 2):
        path.write_text(texts[number - 1])
        place.until_active("back", number)
    assert len(place.versions("back")) == len(texts)


def test_a_config_map_is_followed(place: Place) -> None:
    """All its files change at once, behind links; none is ever gone in between."""
    seen = ConfigMap(place.home / "archived" / "mounted")
    names = [f"mounted-{number}" for number in range(3)]
    for number in (1, 2):
        seen.write({f"{name}.yml": text(_LEAF, ROUND=str(number)) for name in names})
        for name in names:
            place.until_active(name, number)
    seen.write({f"{name}.yml": text(_LEAF, ROUND="2") for name in names[1:]})
    until(lambda: place.environment(names[0])["archived_at"])
    for name in names:
        assert len(place.versions(name)) == 2, "a version for each text"
    assert not place.source("archived")["problems"]


def test_a_thousand_saves_make_a_handful_of_versions(place: Place) -> None:
    """The last text is the one that stays."""
    path = place.path("impatient")
    for number in range(_SAVES):
        path.write_text(text(_LEAF, SAVE=str(number)))
        time.sleep(0.004)
    last = text(_LEAF, SAVE=str(_SAVES - 1))
    place.until_text("impatient", last)
    versions = place.versions("impatient")
    assert len(versions) <= 8
    assert {one["state"] for one in versions} <= {"built", "cancelled", "superseded"}


def test_a_server_that_is_killed_misses_nothing(place: Place) -> None:
    """What changes while it is away is seen when it is back."""
    names = [f"killed-{number:02}" for number in range(12)]
    for name in names:
        place.path(name).write_text(text(_LEAF, BEFORE=name))
    until(lambda: _built(place, "killed-") >= 3)
    place.server.kill()
    for name in names[:4]:
        place.path(name).write_text(text(_LEAF, AFTER=name))
    for name in names[4:8]:
        place.path(name).unlink()
    place.path("killed-new").write_text(text(_LEAF))
    place.server.start()
    for name in names[:4]:
        place.until_text(name, text(_LEAF, AFTER=name))
    for name in names[8:]:
        place.until_text(name, text(_LEAF, BEFORE=name))
    place.until_active("killed-new", 1)
    for name in names[4:8]:
        place.until_unmanaged(name)
