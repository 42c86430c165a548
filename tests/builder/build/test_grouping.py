from hypothesis import given
from hypothesis import strategies as st

from builder.build.grouping import (
    ALONE_BYTES,
    LIBRARY_BINS,
    MAX_ALONE,
    PYTHON_BINS,
    WHEEL_BINS,
    group,
)
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.records import ArchiveRecord, PackageRecord, WheelRecord, link_order, needs_bytecode
from tests.builder.records_for_tests import record, wheel

PYTHON = PythonTarget("3.11.7", "lib/python3.11/site-packages")


def plan(*records: PackageRecord) -> tuple[LayerPlan, ...]:
    return group([LayerPackage(one) for one in link_order(records)], PYTHON)


def names(layers: tuple[LayerPlan, ...]) -> list[list[str]]:
    return [[package.record.name for package in layer.packages] for layer in layers]


def environment(small: int = 100) -> list[PackageRecord]:
    """Return an environment with a few large packages and many small ones."""
    packages = [
        record("openssl"),
        record("python", "openssl", version="3.11.7", size_bytes=2 * ALONE_BYTES),
        record("numpy", "python", size_bytes=3 * ALONE_BYTES),
    ]
    return packages + [record(f"small{i}", "python", noarch="python") for i in range(small)]


@given(st.permutations(environment(12)))
def test_the_layers_do_not_depend_on_the_order_of_the_packages(
    shuffled: list[PackageRecord],
) -> None:
    assert plan(*shuffled) == plan(*environment(12))


def test_an_environment_of_a_hundred_packages_has_about_ten_layers() -> None:
    layers = plan(*environment(100))
    assert sum(len(layer.packages) for layer in layers) == 103
    assert 4 <= len(layers) <= LIBRARY_BINS + PYTHON_BINS + MAX_ALONE


def test_adding_a_small_package_changes_one_layer() -> None:
    before = {layer.key for layer in plan(*environment(100))}
    after = {layer.key for layer in plan(*environment(101))}
    assert len(after - before) == 1
    assert len(before - after) == 1


def test_a_large_package_keeps_its_layer_in_every_environment() -> None:
    small = {layer.key for layer in plan(*environment(5))}
    large = {layer.key for layer in plan(*environment(90))}
    assert len(small & large) >= 3  # numpy's, python's and openssl's


def test_libraries_lie_below_python_and_python_below_its_packages() -> None:
    order = [name for layer in names(plan(*environment(20))) for name in layer]
    assert order.index("openssl") < order.index("python") < order.index("numpy")
    assert order.index("numpy") < order.index("small0")


def test_only_layers_with_noarch_python_packages_depend_on_the_python_version() -> None:
    packages = [LayerPackage(one) for one in link_order(environment(3))]
    one = group(packages, PYTHON)
    other = group(packages, PythonTarget("3.11.8", PYTHON.site_packages))
    changed = [a for a, b in zip(one, other, strict=True) if a.key != b.key]
    assert all(any(needs_bytecode(p.record) for p in layer.packages) for layer in changed)
    assert changed


def plan_wheels(*wheels: WheelRecord) -> tuple[LayerPlan, ...]:
    """Return the layers of an environment with wheels."""
    records: list[ArchiveRecord] = [*link_order(environment(20)), *wheels]
    return group([LayerPackage(one) for one in records], PYTHON)


def test_wheels_lie_above_all_conda_packages_and_share_no_layer_with_them() -> None:
    small = [wheel(f"wheel{i}") for i in range(30)]
    layers = plan_wheels(*small, wheel("torch", size_bytes=ALONE_BYTES))
    kinds = [
        {isinstance(package.record, WheelRecord) for package in layer.packages} for layer in layers
    ]
    assert kinds == [{False}] * (len(layers) - WHEEL_BINS - 1) + [{True}] * (WHEEL_BINS + 1)
    assert names(layers)[-WHEEL_BINS - 1] == ["torch"]
    assert layers[: -WHEEL_BINS - 1] == plan_wheels()
    assert all(layer.python == PYTHON for layer in layers[-WHEEL_BINS - 1 :])


def test_large_wheels_do_not_crowd_out_large_conda_packages() -> None:
    wheels = [wheel(f"nvidia{i}", size_bytes=100 * ALONE_BYTES) for i in range(2 * MAX_ALONE)]
    layers = plan_wheels(*wheels)
    assert ["numpy"] in names(layers)
    assert len(layers) <= LIBRARY_BINS + PYTHON_BINS + WHEEL_BINS + 2 * MAX_ALONE


def test_adding_a_small_wheel_changes_one_layer() -> None:
    wheels = [wheel(f"wheel{i}") for i in range(31)]
    before = {layer.key for layer in plan_wheels(*wheels[:30])}
    after = {layer.key for layer in plan_wheels(*wheels)}
    assert (len(after - before), len(before - after)) == (1, 1)


def test_where_a_wheel_was_found_is_not_part_of_its_layer() -> None:
    here = wheel("demo")
    there = WheelRecord("demo", "1.0", "https://mirror.test/d.whl", here.sha256, 7, ("six",))
    keys = {LayerPlan((LayerPackage(one),), PYTHON).key for one in (here, there)}
    assert len(keys) == 1
