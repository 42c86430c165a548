"""What images offer to packages: by platform, by setting, by tag; kept in the lock."""

from pathlib import Path

import pytest

from builder.errors import Unsatisfiable
from builder.image_name import EnvironmentPolicy, scan
from builder.inputs import read_request
from builder.lock import Lock, from_yaml, to_yaml
from builder.solve import Solution, Solver
from builder.spec import Channel, EnvironmentSpec, VirtualPackage
from registry.settings import Settings
from registry.wiring.building import virtual_packages
from tests.builder.solve.test_solve import TTL_SECONDS, run
from tests.made_by_others import made_by_others


def _solve(tmp_path: Path, spec: EnvironmentSpec) -> Solution:
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)
    return run(solver, lambda: solver.solve(spec))


def _defaults(tmp_path: Path) -> EnvironmentPolicy:
    del tmp_path
    channel = Channel("cases", made_by_others("cases/report-05/channel").as_uri())
    return EnvironmentPolicy(channels=(channel,))


def test_a_package_for_every_processor_of_a_platform_is_found(tmp_path: Path) -> None:
    wanted = made_by_others("cases/report-05/environment.yml").read_bytes()

    spec = read_request(wanted, _defaults(tmp_path), max_bytes=10_000)

    assert isinstance(spec, EnvironmentSpec)
    assert [r.version for r in _solve(tmp_path, spec)["linux-64"]] == ["1"]


def test_nothing_is_taken_that_needs_more_than_the_least_processor(tmp_path: Path) -> None:
    wanted = made_by_others("cases/report-05/fastmath.yml").read_bytes()

    spec = read_request(wanted, _defaults(tmp_path), max_bytes=10_000)

    assert isinstance(spec, EnvironmentSpec)
    found = {r.name: r.version for r in _solve(tmp_path, spec)["linux-64"]}
    assert found == {"x86_64-level": "1", "fastmath": "1.0"}


def test_a_tag_raises_what_processors_must_have(tmp_path: Path) -> None:
    defaults = _defaults(tmp_path)
    scanned = scan("env/fastmath", "x86_64_v3", defaults)

    spec = scanned.resolve({"cases": {"fastmath", "x86_64-level"}})

    found = {r.name: r.version for r in _solve(tmp_path, spec)["linux-64"]}
    assert found == {"x86_64-level": "3", "fastmath": "1.0"}


def test_who_asks_for_more_than_the_processor_has_is_told_the_tag(tmp_path: Path) -> None:
    spec = read_request(b'{"specs": ["x86_64-level=3"]}', _defaults(tmp_path), max_bytes=10_000)

    assert isinstance(spec, EnvironmentSpec)
    with pytest.raises(Unsatisfiable, match="for x86_64; add the tag ':x86_64_v3'"):
        _solve(tmp_path, spec)


def test_every_platform_has_its_own_processor() -> None:
    assert [p.written for p in virtual_packages(Settings())] == [
        ["__archspec", "1", "x86_64", "linux-64"],
        ["__archspec", "1", "aarch64", "linux-aarch64"],
        ["__glibc", "2.36", "0"],
        ["__linux", "5.10", "0"],
        ["__unix", "0", "0"],
    ]


def test_settings_say_the_processor_and_any_other_virtual_package() -> None:
    settings = Settings(
        archspec={"linux-64": "x86_64_v3"}, virtual_packages={"__cuda": "12.4", "__musl": "1.2 x"}
    )

    found = [p.written for p in virtual_packages(settings)]

    assert ["__archspec", "1", "x86_64_v3", "linux-64"] in found
    assert ["__cuda", "12.4", "0"] in found
    assert ["__musl", "1.2", "x"] in found


def test_a_lock_keeps_what_was_offered() -> None:
    offered = (
        VirtualPackage("__archspec", "1", "x86_64_v3", "linux-64"),
        VirtualPackage("__glibc", "2.36"),
    )
    lock = Lock({"linux-64": ()}, (), offered)

    assert from_yaml(to_yaml(lock)).virtual_packages == offered
