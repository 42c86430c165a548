import dataclasses
import json
from typing import Any

import pytest
import yaml

from builder.inputs import PackageList
from builder.lock import BaseReference, Lock, to_yaml
from builder.oci.digest import EMPTY
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel, VirtualPackage
from tests.builder.inputs.reading import DEFAULTS, FORGE, packages, read, refused
from tests.builder.records_for_tests import record

WHEEL = "https://files.pythonhosted.org/packages/d9/5a/six-1.16.0-py2.py3-none-any.whl"
DEBIAN = BaseReference("docker.io/library/debian", EMPTY)


def of_forge(name: str, *depends: str, **more: Any) -> PackageRecord:
    return record(name, *depends, channel=FORGE.url, **more)


PYTHON = of_forge("python", "zlib >=1.3", version="3.12.1")
SIX = of_forge("six", "python", noarch="python")
LOCK = Lock(
    {"linux-64": (PYTHON, SIX, of_forge("zlib"))},
    (FORGE,),
    (VirtualPackage("__glibc", "2.36"),),
    DEBIAN,
    {"linux-64": "3.12.1"},
)


def foreign(**changes: Any) -> str:
    """Return the file as conda-lock itself writes it; ``changes`` alter its first package."""
    content = yaml.safe_load(to_yaml(LOCK))
    del content["metadata"]["custom_metadata"]
    content["package"][0] |= changes
    wheel: dict[str, Any] = {
        "name": "six",
        "version": "1.16.0",
        "manager": "pip",
        "platform": "linux-64",
    }
    wheel |= {"dependencies": {}, "url": WHEEL, "hash": {"sha256": "c" * 64}, "category": "main"}
    extra = [wheel, content["package"][0] | {"platform": "osx-64", "url": "https://elsewhere/x"}]
    extra.append(content["package"][0] | {"category": "dev", "url": "https://elsewhere/x"})
    content["package"] += extra
    # Values that are shared would be written as aliases.
    return str(yaml.safe_dump(json.loads(json.dumps(content)), sort_keys=False))


def test_a_lock_of_another_pullforge_is_the_same_lock() -> None:
    assert read(to_yaml(LOCK)) == LOCK
    bare = dataclasses.replace(LOCK, base=None)
    assert read(to_yaml(bare)) == bare


def test_a_lock_over_a_layout_is_read_where_the_base_is_a_layout() -> None:
    over_layout = dataclasses.replace(LOCK, base=BaseReference("oci-layout", EMPTY))
    layout = dataclasses.replace(DEFAULTS, base="oci:/srv/base")
    assert read(to_yaml(over_layout), layout) == over_layout
    assert "is not offered" in refused(to_yaml(over_layout)).message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"base": BaseReference("evil.example/base", EMPTY)}, "is not offered by this server"),
        ({"base": BaseReference("10.0.0.1:5000/base", EMPTY)}, "is not offered by this server"),
        ({"channels": (Channel("conda-forge", "https://evil.example/c"),)}, "is not allowed"),
        ({"channels": (Channel("a b", FORGE.url),)}, "neither a name nor a version"),
        ({"platforms": {"linux-64": (record("zlib"),)}}, "is no package of a channel"),
        ({"bytecode": {"linux-64": '3.12"]'}}, "neither a name nor a version"),
        ({"virtual_packages": (VirtualPackage("__x y", "1"),)}, "neither a name nor a version"),
    ],
)
def test_a_lock_of_another_pullforge_may_name_only_what_this_one_offers(
    changes: dict[str, Any], words: str
) -> None:
    error = refused(to_yaml(dataclasses.replace(LOCK, **changes)))
    assert words in error.message


def test_what_a_lock_says_to_be_of_another_channel_is_asked_of_that_one() -> None:
    other = Channel("other", FORGE.url.replace("conda-forge", "other"))
    allowed = dataclasses.replace(DEFAULTS, channels=(*DEFAULTS.channels, other))
    lying = record("zlib", channel=other.url)
    claims = dataclasses.replace(lying, channel=FORGE.url)
    lock = dataclasses.replace(LOCK, platforms={"linux-64": (claims,)}, bytecode={})
    sent = read(to_yaml(lock), allowed)
    assert isinstance(sent, PackageList)
    assert [one.place.listed for one in sent.platforms["linux-64"]] == [lying.url]
    assert sent.exact == lock


def test_a_lock_for_a_platform_that_is_not_built_here_is_refused() -> None:
    other = dataclasses.replace(DEFAULTS, platforms=("linux-aarch64",))
    assert "linux-aarch64" in refused(to_yaml(LOCK), other).message


def test_a_lock_that_was_changed_is_refused() -> None:
    changed = to_yaml(LOCK).replace(PYTHON.sha256.encode(), b"d" * 64)
    assert "was changed after it was written" in refused(changed).message


def test_a_file_of_conda_lock_is_a_list_of_what_this_server_builds() -> None:
    found = packages(foreign())
    assert list(found.platforms) == ["linux-64"]
    python, six, _ = found.platforms["linux-64"]
    assert python.place.path == "linux-64/python-3.12.1-0.conda"
    assert (python.sha256, python.md5) == (PYTHON.sha256, PYTHON.md5)
    assert python.record is not None
    assert python.record.depends == ("zlib >=1.3",)
    assert six.record is not None
    assert six.record.noarch == "python"
    assert found.wheels == {"linux-64": (WheelRecord("six", "1.16.0", WHEEL, "c" * 64),)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "https://evil.example/linux-64/python-1-0.conda"}, "is no package of a channel"),
        ({"url": "file:///etc/linux-64/python-1-0.conda"}, "is no package of a channel"),
        ({"hash": {"sha256": "0" * 63}}, "its sha256 is not"),
        ({"hash": [1]}, "a list stands where a mapping"),
        ({"dependencies": {"a": "1\n2"}}, "cannot be printed"),
        ({"dependencies": {"": ""}}, "malformed depends"),
        ({"manager": "pip"}, "is not a wheel"),
        ({"manager": "pip", "url": "https://10.0.0.1/a-1-py3-none-any.whl"}, "not lie on a host"),
        ({"manager": "pip", "url": "git+https://github.com/a/b@1"}, "is not a wheel"),
        ({"platform": []}, "a list stands where text"),
    ],
)
def test_a_package_that_cannot_be_used_is_refused_with_its_line(
    changes: dict[str, Any], words: str
) -> None:
    error = refused(foreign(**changes))
    assert error.field is not None
    assert error.field.startswith("package[0]")
    assert error.line
    assert words in error.message


def test_what_a_program_leaves_out_may_be_null() -> None:
    whole = foreign()
    for changes in ({"category": None}, {"dependencies": None}):
        assert len(packages(foreign(**changes)).platforms["linux-64"]) == 3
    bare = packages(foreign(hash=None)).platforms["linux-64"][0]
    assert (bare.sha256, bare.md5) == (None, None)
    whole = whole.replace("channels:", "custom_metadata: null\n  channels:")
    assert len(packages(whole).platforms["linux-64"]) == 3


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda text: text.replace("version: 1\n", "version: 5\n"), "of version 1 can be read"),
        (lambda text: text.replace("version: 1\n", "version: 3\n"), "that of an early pixi"),
        (lambda text: text.replace("- linux-64\n", "- osx-64\n"), "it has packages for osx-64"),
        (lambda text: text.replace("url:", "address:"), "'url' is missing"),
    ],
)
def test_a_file_that_is_no_lock_is_refused(edit: Any, words: str) -> None:
    assert words in refused(edit(foreign())).message
