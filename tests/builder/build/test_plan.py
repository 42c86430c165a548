from dataclasses import replace

import pytest

from builder.build.plan import Installation
from builder.errors import CorruptPackage, UnsupportedPackage
from builder.install.contents import PackageContents
from builder.install.wheel.contents import WheelContents
from builder.lock import Lock
from builder.records import NoarchKind, PackageRecord, WheelRecord
from builder.spec import VirtualPackage
from tests.builder.records_for_tests import record, wheel

PYTHON = record("python", version="3.11.7")
REQUESTS = record("requests", "python", noarch="python")
DEMO = wheel("demo")
SITE = "lib/python3.11/site-packages"


def installation(records: tuple[PackageRecord, ...], *wheels: WheelRecord) -> Installation:
    lock = Lock(
        platforms={"linux-64": records},
        channels=(),
        virtual_packages=(VirtualPackage("__glibc", "2.36"),),
        wheels={"linux-64": wheels},
    )
    return Installation.of(lock, "linux-64")


def contents(
    *paths: str, distributions: tuple[tuple[str, str], ...] = (), modules: bool = False
) -> PackageContents:
    return PackageContents(
        "some-1.0-0", paths, distributions=distributions, is_noarch_python=modules
    )


def test_wheels_are_linked_after_all_packages() -> None:
    planned = installation((PYTHON,), DEMO).plan(
        [contents("bin/demo", "bin/python")],
        [WheelContents("demo-1.0", "demo-1.0", ("demo.py",), ("bin/demo",))],
    )
    packages = [package for layer in planned for package in layer.packages]
    assert [(package.record.name, package.omit) for package in packages] == [
        ("python", ("bin/demo",)),
        ("demo", ()),
    ]


def test_layers_are_as_expected_unless_a_package_changes_another() -> None:
    wanted = installation((PYTHON, REQUESTS), DEMO)
    apart = [contents("bin/python"), contents("site-packages/requests.py", modules=True)]
    demo = WheelContents("demo-1.0", "demo-1.0", ("demo.py",), ())
    assert wanted.plan(apart, [demo]) == wanted.expected()
    together = [contents("bin/python", "bin/same"), contents("bin/same", modules=True)]
    planned = wanted.plan(together, [demo])
    assert len(planned) == len(wanted.expected())
    changed = [plan for plan in planned if plan not in wanted.expected()]
    assert [package.record.name for plan in changed for package in plan.packages] == ["python"]


@pytest.mark.parametrize("noarch", [None, "generic", "python"])
@pytest.mark.parametrize("modules", [True, False])
def test_a_package_has_modules_if_its_archive_says_so(
    noarch: NoarchKind | None, modules: bool
) -> None:
    """Whatever an index or a lock file says, and whether it names python or not."""
    tool = replace(record("tool", "requests", noarch="generic"), noarch=noarch)
    planned = installation((PYTHON, tool)).plan(
        [contents("bin/python"), contents("site-packages/tool.py", modules=modules)], []
    )
    targets = {layer.packages[0].record.name: layer.python is not None for layer in planned}
    assert targets == {"python": False, "tool": modules}


def test_a_project_that_conda_and_pypi_both_bring_is_refused() -> None:
    with pytest.raises(UnsupportedPackage, match=r"'demo' is wanted twice: 0\.9 is in the conda"):
        installation((PYTHON,), DEMO).plan(
            [contents(distributions=(("demo", "0.9"),))],
            [WheelContents("demo-1.0", "demo-1.0", ())],
        )


def test_wheels_without_python_are_refused_with_what_to_do() -> None:
    with pytest.raises(UnsupportedPackage, match="add python to its conda packages"):
        installation((record("zlib"),), DEMO).check_wheels()
    installation((record("zlib"),)).check_wheels()


def test_a_wheel_for_another_python_is_refused_before_it_is_fetched() -> None:
    other = wheel("other", tag="cp312-cp312-manylinux_2_17_x86_64")
    words = r"other-1.0-cp312.* does not fit linux-64 with Python 3\.11 and glibc 2\.36"
    with pytest.raises(UnsupportedPackage, match=words):
        installation((PYTHON,), DEMO, other).check_wheels()
    installation((PYTHON,), DEMO).check_wheels()


def test_a_file_that_is_not_the_locked_wheel_is_refused_before_it_is_fetched() -> None:
    wrong = WheelRecord("demo", "2.0", DEMO.url, DEMO.sha256)
    with pytest.raises(CorruptPackage):
        installation((PYTHON,), wrong).check_wheels()


def test_pythons_that_say_so_keep_modules_elsewhere() -> None:
    python = PackageRecord(
        **{
            **{name: getattr(PYTHON, name) for name in PackageRecord.__slots__},
            "python_site_packages_path": "lib/python3.11t/site-packages",
        }
    )
    planned = installation((python,)).python
    assert planned is not None
    assert planned.site_packages == "lib/python3.11t/site-packages"
