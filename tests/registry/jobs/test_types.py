"""What travels to workers and back is what it was, in JSON that holds no code."""

import dataclasses
import json
from typing import Any

import pytest
from pydantic import ValidationError

from builder.errors import BuilderError, ImageNameError, InputError
from builder.inputs.allowed import PackageLocation
from builder.inputs.packages import ListedPackage, PackageList
from builder.layer import LayerBlob, LayerPackage, LayerPlan, PythonTarget
from builder.lock import Lock
from builder.oci.digest import EMPTY
from registry.images.executor import StoredImage
from registry.images.failure import Failure
from registry.jobs.types import BUILD, COMPLETE, LAYER, SOLVE, BuildTask, LayerTask
from tests.builder.lock.test_lock import (
    CERTIFI,
    DEBIAN,
    GLIBC,
    MAIN,
    PANDAS,
    PYTHON,
    REQUESTS,
    UNIX,
    ZLIB,
)
from tests.builder.records_for_tests import record, wheel
from tests.builder.test_spec import SPEC
from tests.registry.web.distribution.test_errors import family

LOCK = Lock(
    {"linux-64": (PYTHON, PANDAS, ZLIB), "linux-aarch64": ()},
    (MAIN,),
    (GLIBC, UNIX),
    DEBIAN,
    bytecode={"linux-64": "3.13.0"},
    wheels={"linux-64": (REQUESTS, CERTIFI)},
    variables={"MODE": "fast"},
    left_out={"linux-aarch64": "no package 'pandas'"},
)
PLAN = LayerPlan(
    (
        LayerPackage(PANDAS, ("lib/a", "lib/ü"), (("lib64", "lib"),)),
        LayerPackage(record("zlib", "libc >=2")),
    ),
    PythonTarget("3.13.0", "lib/python3.13t/site-packages"),
)
WHEELS = LayerPlan((LayerPackage(wheel("idna")), LayerPackage(REQUESTS)), PLAN.python)
LIST = PackageList(
    {
        "linux-64": (
            ListedPackage(
                PackageLocation(MAIN, "linux-64/zlib-1.0-0.conda"),
            ),
        )
    },
    (MAIN,),
    (GLIBC,),
    None,
)


def again(adapter: Any, value: object) -> Any:
    """Return what the other side has of a value."""
    return adapter.validate_json(adapter.dump_json(value))


def test_a_spec_keeps_its_digest() -> None:
    there = again(SOLVE.asked, SPEC)
    assert there == SPEC
    assert there.digest == SPEC.digest


def test_a_lock_keeps_its_key_and_what_is_not_part_of_it() -> None:
    there = again(SOLVE.made, LOCK)
    assert there == LOCK
    assert there.key == LOCK.key
    assert there.left_out == LOCK.left_out
    order = again(BUILD.asked, BuildTask(LOCK, "docker-gzip"))
    assert order == BuildTask(LOCK, "docker-gzip")
    assert order.lock.key == LOCK.key


@pytest.mark.parametrize("plan", [PLAN, WHEELS, dataclasses.replace(PLAN, python=None)])
def test_a_plan_keeps_the_key_of_its_layer(plan: LayerPlan) -> None:
    order = LayerTask(plan, "zstd", (PYTHON, ZLIB))
    there = again(LAYER.asked, order)
    assert there == order
    assert there.plan.key == plan.key
    assert [type(p.record) for p in there.plan.packages] == [type(p.record) for p in plan.packages]


def test_a_list_of_packages_and_what_is_made_arrive_as_they_were() -> None:
    assert again(COMPLETE.asked, LIST) == LIST
    exact = dataclasses.replace(LIST, exact=LOCK)
    assert again(COMPLETE.asked, exact) == exact
    blob = LayerBlob("zstd", EMPTY, 5, EMPTY, 7)
    assert again(LAYER.made, blob) == blob
    assert again(BUILD.made, StoredImage(EMPTY, EMPTY)) == StoredImage(EMPTY, EMPTY)


def test_what_has_other_types_is_refused() -> None:
    content = json.loads(SOLVE.asked.dump_json(SPEC))
    with pytest.raises(ValidationError):
        SOLVE.asked.validate_json(json.dumps({**content, "platforms": "linux-64"}))
    with pytest.raises(ValidationError):
        LAYER.asked.validate_json("{}")


@pytest.mark.parametrize(
    "kind",
    [kind for kind in family(BuilderError) if kind.__module__ == "builder.errors"],
    ids=lambda kind: kind.__name__,
)
def test_every_error_arrives_as_itself(kind: type[BuilderError]) -> None:
    error = kind.__new__(kind)
    error.args = ("it is  so;\n pull again",)
    if issubclass(kind, InputError):
        error = kind("it is so; pull again", "dependencies[3]", 4)
    there = Failure(**json.loads(json.dumps(dataclasses.asdict(Failure.of(error))))).error()
    assert type(there) is kind
    assert there.message == error.message
    assert there.transient == error.transient
    if isinstance(error, InputError):
        assert isinstance(there, InputError)
        assert (there.field, there.line) == ("dependencies[3]", 4)


def test_an_error_that_a_module_keeps_to_itself_arrives_as_its_base() -> None:
    class Private(ImageNameError):
        pass

    there = Failure.of(Private("no")).error()
    assert type(there) is ImageNameError
    assert there.message == "no"
