import asyncio
import datetime
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rattler import exceptions as rattler_errors

from builder.errors import (
    ChannelUnavailable,
    LockError,
    SolveError,
    SolveTimeout,
    UnknownPackage,
    Unsatisfiable,
)
from builder.image_name.tokens import _VERSION, is_version
from builder.platforms import Subdir
from builder.records import PackageRecord
from builder.solve import Solution, Solver
from builder.solve.explain import MAX_LENGTH, explain
from builder.solve.failures import FAILURES, channel_unavailable, mapped_failures
from builder.solve.match_spec import to_match_spec
from builder.spec import (
    Channel,
    Constraint,
    EnvironmentSpec,
    Operator,
    Requirement,
    VirtualPackage,
)
from tests.builder.fake_channel import FakeChannels, fake_channels, package

Result = TypeVar("Result")

GLIBC = VirtualPackage("__glibc", "2.36")
CUDA = VirtualPackage("__cuda", "12.4")
TTL_SECONDS = 300

NEEDS_CUDA = (
    "gpulib 2.0 needs __cuda >=12.0: the image has no __cuda; add a tag such as ':cuda12.0'"
)
NOWHERE = (
    "broken 1.0 needs nowhere >=1, which no channel has "
    "(no package of that name is in main for linux-64)"
)


class Clock:
    """A clock that goes only when it is told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def channels() -> Iterator[FakeChannels]:
    with fake_channels() as served:
        yield served


@pytest.fixture
def main(channels: FakeChannels) -> Channel:
    return channels["main"].add(
        package("python", "3.12.1"),
        package("python", "3.11.7"),
        package("numpy", "1.26.4", "python"),
        package("numpy", "2.2.6", "python"),
        package("pandas", "2.0", "numpy >=1.20,<2", "python"),
        package("gpulib", "2.0", "__cuda >=12.0"),
        package("needs-gpulib", "1.0", "gpulib"),
        package("newlibc", "1.0", "__glibc >=2.99"),
        package("old", "1.0", "python 3.11.*"),
        package("new", "1.0", "python 3.12.*"),
        package("samtools", "0.1"),
        package("zlib", "1.3"),
        package("broken", "1.0", "nowhere >=1"),
        package("click", "8.1", subdir="noarch", noarch="python"),
    )


def solver(
    directory: Path,
    clock: Callable[[], float] | None = None,
    *,
    timeout_seconds: float = 20,
    network_timeout_seconds: float = 20,
) -> Solver:
    return Solver(
        directory,
        timeout_seconds=timeout_seconds,
        network_timeout_seconds=network_timeout_seconds,
        repodata_ttl_seconds=TTL_SECONDS,
        max_retries=0,
        clock=clock or Clock(),
    )


def run(solver: Solver, work: Callable[[], Awaitable[Result]]) -> Result:
    async def scenario() -> Result:
        try:
            return await work()
        finally:
            await solver.close()

    return asyncio.run(scenario())


def spec(
    wanted: str,
    *channels: Channel,
    platforms: tuple[Subdir, ...] = ("linux-64",),
    virtual: tuple[VirtualPackage, ...] = (GLIBC,),
    until: datetime.date | None = None,
) -> EnvironmentSpec:
    """Return a spec of match specs joined by ``;``, such as ``main::numpy >=1,<2; zlib``."""
    requirements = []
    for item in wanted.split(";"):
        channel, _, rest = item.strip().rpartition("::")
        name, _, conditions = rest.partition(" ")
        constraints = []
        for condition in filter(None, conditions.split(",")):
            version = condition.lstrip("=<>!")
            operator = condition.removesuffix(version)
            constraints.append(Constraint(operator, version))  # type: ignore[arg-type]  # test text
        requirements.append(Requirement(name, tuple(sorted(constraints)), channel))
    return EnvironmentSpec(tuple(sorted(requirements)), channels, platforms, virtual, until)


def solve(
    directory: Path,
    wanted: EnvironmentSpec,
    *,
    timeout_seconds: float = 20,
    network_timeout_seconds: float = 20,
) -> Solution:
    made = solver(
        directory,
        timeout_seconds=timeout_seconds,
        network_timeout_seconds=network_timeout_seconds,
    )
    return run(made, lambda: made.solve(wanted))


def names(solution: Solution, platform: Subdir = "linux-64") -> list[str]:
    return [f"{record.name}-{record.version}" for record in solution[platform]]


def test_packages_come_after_what_they_need(tmp_path: Path, main: Channel) -> None:
    solution = solve(tmp_path, spec("pandas", main))
    assert names(solution) == ["python-3.12.1", "numpy-1.26.4", "pandas-2.0"]


def test_the_order_of_requirements_does_not_change_the_order_of_packages(
    tmp_path: Path, main: Channel
) -> None:
    there = solve(tmp_path, spec("zlib; click; pandas", main))
    back = solve(tmp_path, spec("pandas; click; zlib", main))
    assert list(there.items()) == list(back.items())


def test_packages_that_need_each_other_have_one_order(
    tmp_path: Path, channels: FakeChannels
) -> None:
    channel = channels["main"].add(
        package("python", "3.12.1", "pip", "zlib"),
        package("pip", "25.0", "python", subdir="noarch", noarch="python"),
        package("zlib"),
        package("b", "1.0", "a"),
        package("a", "1.0", "b", "pip"),
    )
    assert names(solve(tmp_path, spec("a", channel))) == [
        "zlib-1.0",
        "python-3.12.1",
        "pip-25.0",
        "a-1.0",
        "b-1.0",
    ]


def test_a_record_has_everything_that_the_channel_says(
    tmp_path: Path, channels: FakeChannels
) -> None:
    channel = channels["main"].add(
        package(
            "python",
            "3.13.0",
            "zlib >=1",
            build="h1_0_cp313t",
            build_number=7,
            python_site_packages_path="lib/python3.13t/site-packages",
            timestamp_ms=1_700_000_000_123,
        ),
        package("zlib", "1.3", subdir="noarch", noarch="generic"),
    )
    zlib, python = solve(tmp_path, spec("python", channel))["linux-64"]
    assert (python.build, python.build_number) == ("h1_0_cp313t", 7)
    assert python.python_site_packages_path == "lib/python3.13t/site-packages"
    assert python.timestamp_ms == 1_700_000_000_123
    assert python.depends == ("zlib >=1",)
    assert python.size_bytes == 1000
    assert python.url == f"{channel.url}/linux-64/python-3.13.0-h1_0_cp313t.conda"
    assert len(python.sha256) == 64
    assert len(python.md5) == 32
    assert python.noarch is None
    assert (zlib.noarch, zlib.subdir) == ("generic", "noarch")


def test_credentials_of_a_channel_do_not_get_into_records(tmp_path: Path, main: Channel) -> None:
    secret = Channel("main", main.url.replace("http://", "http://user:secret@"))
    solution = solve(tmp_path, spec("zlib", secret))
    assert solution["linux-64"][0].url.startswith(main.url)


def test_an_empty_spec_gives_an_empty_environment(tmp_path: Path, main: Channel) -> None:
    empty = EnvironmentSpec((), (main,), ("linux-64",), (GLIBC,))
    assert solve(tmp_path, empty)["linux-64"] == ()


@pytest.mark.parametrize("field", ["md5", "sha256"])
def test_a_package_without_checksums_cannot_be_locked(
    tmp_path: Path, channels: FakeChannels, field: str
) -> None:
    bare = package("bare", "1.0")
    del bare[field]
    channel = channels["main"].add(bare)
    with pytest.raises(LockError, match=f"the channel gives no {field} for bare 1.0"):
        solve(tmp_path, spec("bare", channel))


def test_the_first_channel_that_has_a_name_is_the_only_one_for_it(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    bio = channels["bio"].add(package("samtools", "1.20", "zlib"), package("bwa", "0.7"))
    assert names(solve(tmp_path, spec("samtools; bwa", main, bio))) == ["bwa-0.7", "samtools-0.1"]
    with pytest.raises(Unsatisfiable) as caught:
        solve(tmp_path, spec("samtools >=1", main, bio))
    assert caught.value.message == (
        "no set of versions fits: there is no samtools >=1 (main has 0.1)"
    )


def test_a_requirement_may_name_its_channel(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    bio = channels["bio"].add(package("samtools", "1.20", "zlib"))
    solution = solve(tmp_path, spec("bio::samtools >=1", main, bio))
    assert names(solution) == ["zlib-1.3", "samtools-1.20"]
    assert solution["linux-64"][1].channel_url == bio.url


def test_only_packages_up_to_the_end_of_the_day_are_taken(
    tmp_path: Path, channels: FakeChannels
) -> None:
    day = datetime.date(2025, 3, 9)
    midnight = datetime.datetime(2025, 3, 10, tzinfo=datetime.UTC)
    midnight_ms = int(midnight.timestamp() * 1000)
    channel = channels["main"].add(
        package("lib", "1.0"),
        package("lib", "1.1", timestamp_ms=midnight_ms - 1),
        package("lib", "1.2", timestamp_ms=midnight_ms),
        package("undated", "1.0", timestamp_ms=None),
    )
    assert names(solve(tmp_path, spec("lib", channel))) == ["lib-1.2"]
    assert names(solve(tmp_path, spec("lib", channel, until=day))) == ["lib-1.1"]
    with pytest.raises(Unsatisfiable):
        solve(tmp_path, spec("undated", channel, until=day))


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("numpy >=3", "there is no numpy >=3 (main has 2.2.6, 1.26.4)"),
        ("numpy =2; pandas", "pandas 2.0 needs numpy >=1.20,<2, but numpy =2 is wanted"),
        ("old; new", "new 1.0 needs python 3.12.*, but old 1.0 needs python 3.11.*"),
        (
            "gpulib",
            NEEDS_CUDA,
        ),
        (
            "needs-gpulib",
            NEEDS_CUDA,
        ),
        ("newlibc", "newlibc 1.0 needs __glibc >=2.99: the image has __glibc 2.36"),
        (
            "broken",
            NOWHERE,
        ),
        (
            "python =3.11,=3.12",
            "there is no python 3.11.*,3.12.* (main has 3.12.1, 3.11.7)",
        ),
    ],
)
def test_what_cannot_be_solved_is_explained_in_one_sentence(
    tmp_path: Path, main: Channel, wanted: str, sentence: str
) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        solve(tmp_path, spec(wanted, main))
    assert caught.value.message == f"no set of versions fits: {sentence}"


def test_cuda_is_there_when_the_spec_says_so(tmp_path: Path, main: Channel) -> None:
    assert names(solve(tmp_path, spec("gpulib", main, virtual=(CUDA, GLIBC)))) == ["gpulib-2.0"]


def test_a_date_that_rules_everything_out_is_named(tmp_path: Path, main: Channel) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        solve(tmp_path, spec("zlib", main, until=datetime.date(2020, 1, 1)))
    assert caught.value.message == (
        "no set of versions fits: nothing that fits zlib was published up to 2020-01-01 "
        "(zlib 1.3 is newer)"
    )


def test_an_unknown_package_comes_with_suggestions(tmp_path: Path, main: Channel) -> None:
    with pytest.raises(UnknownPackage) as caught:
        solve(tmp_path, spec("nunpy", main))
    assert caught.value.message == (
        "no package 'nunpy' in main for linux-64; did you mean 'numpy'?"
    )


def test_a_further_platform_that_does_not_fit_is_left_out_and_said(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    channels["main"].add(package("zlib", "1.2", subdir="linux-aarch64"))
    both: tuple[Subdir, ...] = ("linux-64", "linux-aarch64")
    assert names(solve(tmp_path, spec("zlib", main, platforms=both)), "linux-aarch64") == [
        "zlib-1.2"
    ]
    solution = solve(tmp_path, spec("zlib; samtools", main, platforms=both))
    assert list(solution) == ["linux-64"]
    assert solution.left_out == {"linux-aarch64": "no package 'samtools' in main for linux-aarch64"}


def test_the_first_platform_must_fit(tmp_path: Path, channels: FakeChannels) -> None:
    channel = channels["main"].add(package("arm-only", subdir="linux-aarch64"))
    with pytest.raises(UnknownPackage, match="for linux-64"):
        solve(tmp_path, spec("arm-only", channel, platforms=("linux-64", "linux-aarch64")))


def test_known_names_are_those_of_all_platforms_by_channel(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    channels["main"].add(package("arm-only", subdir="linux-aarch64"))
    bio = channels["bio"].add(package("bwa"))
    made = solver(tmp_path)
    known = run(made, lambda: made.known_names([main, bio], ["linux-64", "linux-aarch64"]))
    assert {"arm-only", "click", "numpy"} < known["main"]
    assert known["bio"] == {"bwa"}


def test_a_package_published_later_is_seen_after_the_time_to_live(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    clock = Clock()
    made = solver(tmp_path, clock)

    async def scenario() -> list[list[str]]:
        seen = [names(await made.solve(spec("zlib", main)))]
        channels["main"].add(package("zlib", "1.4"), package("fresh"))
        seen.append(names(await made.solve(spec("zlib", main))))
        clock.seconds += TTL_SECONDS
        seen.append(names(await made.solve(spec("zlib; fresh", main))))
        return seen

    assert run(made, scenario) == [["zlib-1.3"], ["zlib-1.3"], ["fresh-1.0", "zlib-1.4"]]


def test_while_a_channel_is_down_what_is_known_of_it_is_used(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    clock = Clock()
    made = solver(tmp_path, clock)

    async def scenario() -> tuple[list[str], bool]:
        await made.solve(spec("zlib", main))
        channels["main"].status = 503
        clock.seconds += TTL_SECONDS
        solution = await made.solve(spec("zlib", main))
        return names(solution), "zlib" in (await made.known_names([main], ["linux-64"]))["main"]

    assert run(made, scenario) == (["zlib-1.3"], True)


def test_a_new_process_uses_what_is_on_disk_while_a_channel_is_down(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    solve(tmp_path, spec("zlib", main))
    channels["main"].status = 500
    assert names(solve(tmp_path, spec("zlib", main))) == ["zlib-1.3"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "it answers 503 Service Unavailable"),
        (403, "it answers 403 Forbidden for "),
        (404, "there is no noarch/ at its address, which every channel has: correct the address"),
    ],
)
def test_a_channel_that_is_down_is_named_without_its_address(
    tmp_path: Path, main: Channel, channels: FakeChannels, status: int, words: str
) -> None:
    bio = channels["bio"].channel
    channels["bio"].status = status
    with pytest.raises(ChannelUnavailable) as caught:
        solve(tmp_path, spec("zlib", main, bio))
    assert caught.value.message.startswith(f"channel 'bio' cannot be used: {words}")
    assert "127.0.0.1" not in caught.value.message
    assert caught.value.transient == (status == 503)


def test_a_channel_that_hangs_is_given_up(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    channels["main"].gate.clear()
    with pytest.raises(ChannelUnavailable, match="'main' cannot be used: it does not answer in"):
        solve(tmp_path, spec("zlib", main), network_timeout_seconds=0.2)


def test_a_channel_that_hangs_is_not_waited_for_twice(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    clock = Clock()
    made = solver(tmp_path, clock, network_timeout_seconds=2)

    async def scenario() -> int:
        await made.solve(spec("zlib", main))
        channels["main"].gate.clear()
        clock.seconds += TTL_SECONDS
        await made.solve(spec("zlib", main))
        before = len(channels.asked)
        await made.solve(spec("samtools", main))
        return len(channels.asked) - before

    assert run(made, scenario) == 0


def test_damaged_repodata_is_not_a_crash(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    channels["main"].body = b'{"packages": [1, 2'
    with pytest.raises(ChannelUnavailable, match="'main' cannot be used"):
        solve(tmp_path, spec("zlib", main))


def test_a_solver_without_time_says_so(tmp_path: Path, channels: FakeChannels) -> None:
    # Each of many packages fits none of the others but one: there is a lot to try.
    size = 40
    channel = channels["hard"].add(
        *(
            package(f"p{i}", f"{v}.0", *(f"p{j} !={v}.0" for j in range(size) if j != i))
            for i in range(size)
            for v in range(size - 1)
        )
    )
    everything = ";".join(f"p{i}" for i in range(size))
    with pytest.raises(SolveTimeout, match="did not finish in time") as caught:
        solve(tmp_path, spec(everything, channel), timeout_seconds=0.05)
    assert caught.value.transient


def test_many_at_once_share_one_fetch(
    tmp_path: Path, main: Channel, channels: FakeChannels
) -> None:
    made = solver(tmp_path)

    async def scenario() -> list[Solution]:
        wanted = [spec(name, main) for name in ("zlib", "pandas", "numpy", "click")]
        return await asyncio.gather(*(made.solve(one) for one in wanted * 10))

    assert len(run(made, scenario)) == 40
    assert sorted(channels.served) == [
        "/main/linux-64/repodata.json",
        "/main/noarch/repodata.json",
    ]


def test_a_solve_may_be_cancelled(tmp_path: Path, main: Channel, channels: FakeChannels) -> None:
    made = solver(tmp_path)

    async def scenario() -> list[str]:
        channels["main"].gate.clear()
        leaving = asyncio.create_task(made.solve(spec("zlib", main)))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        channels["main"].gate.set()
        return names(await made.solve(spec("zlib", main)))

    assert run(made, scenario) == ["zlib-1.3"]


def test_every_exception_of_rattler_is_mapped() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        exported = {getattr(rattler_errors, name) for name in rattler_errors.__all__}
    assert set(FAILURES) == exported


@pytest.mark.parametrize("kind", list(FAILURES), ids=lambda kind: kind.__name__)
def test_every_exception_of_rattler_becomes_one_of_ours(kind: type[Exception]) -> None:
    with pytest.raises(SolveError) as caught, mapped_failures([]):
        raise kind("text\nof two lines")
    assert "\n" not in caught.value.message


def test_a_panic_in_rust_counts_as_a_damaged_channel() -> None:
    panic = type("PanicException", (BaseException,), {})
    with pytest.raises(ChannelUnavailable), mapped_failures([Channel("main", "http://h/main")]):
        raise panic


def test_credentials_are_not_in_the_message_of_a_channel_that_is_down() -> None:
    channel = Channel("main", "http://user:secret@host/main")
    message = "error sending request for url (http://user:secret@host/main/noarch/x) dns error"
    error = channel_unavailable(message, [Channel("other", "http://host/other"), channel])
    assert error.message == "channel 'main' cannot be used: its host is not found"


def test_a_channel_is_known_by_its_address_where_rattler_has_put_a_token() -> None:
    channels = [Channel("other", "http://host/other"), Channel("main", "http://host/main")]
    message = "HTTP status client error (500 X) for url (http://host/t/********/main/noarch/x)"
    assert channel_unavailable(message, channels).message.startswith("channel 'main' cannot")


def test_a_channel_above_the_one_that_is_down_is_not_named() -> None:
    channels = [
        Channel("main", "https://conda.anaconda.org/main"),
        Channel("dev", "https://conda.anaconda.org/main/label/dev"),
    ]

    error = channel_unavailable(
        "HTTP status server error (503 Service Unavailable) for url"
        " (https://conda.anaconda.org/main/label/dev/noarch/repodata.json.zst)",
        channels,
    )

    assert str(error).startswith("channel 'dev' cannot be used")


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("timed out", "it does not answer in time"),
        (
            "HTTP status server error (503 Service Unavailable) for url (https://mirror/x)",
            "it answers 503 Service Unavailable",
        ),
    ],
)
def test_no_channel_is_blamed_alone_where_none_is_known_to_have_failed(
    message: str, cause: str
) -> None:
    channels = [Channel("main", "https://host/main"), Channel("bio", "https://host/bio")]

    assert channel_unavailable(message, channels).message == (
        f"one of the channels 'main' and 'bio' cannot be used: {cause}"
    )
    assert channel_unavailable(message, channels[1:]).message == (
        f"channel 'bio' cannot be used: {cause}"
    )


def test_a_missing_noarch_is_told_as_such_and_not_to_be_asked_for_again() -> None:
    error = channel_unavailable(
        "could not find subdir 'noarch' in channel 'https://host/main/' Caused by: 404",
        [Channel("main", "https://host/main"), Channel("bio", "https://host/bio")],
    )

    assert not error.transient
    assert str(error) == (
        "channel 'main' cannot be used: there is no noarch/ at its address, which every channel"
        " has: correct the address, or make noarch/repodata.json, even if empty"
    )


def test_a_tree_of_unknown_form_is_joined_and_cut() -> None:
    nothing = EnvironmentSpec((), (), (), ())
    tree = "Cannot solve the request because of: Something new\n├─ a\n│  └─ b\n" + "└─ c\n" * 500
    sentence = explain(tree, nothing, "")
    assert sentence.startswith("no set of versions fits: Something new a b c c")
    assert len(sentence) <= MAX_LENGTH
    assert explain("", nothing, "") == "no set of versions fits: "


@given(st.from_regex(_VERSION, fullmatch=True).filter(is_version))
@example("1" * 18)
@example("1!2.0.post1.dev2+cu12.4_1")
@settings(deadline=None)
def test_every_version_of_the_grammar_is_one_for_the_solver(version: str) -> None:
    operators: tuple[Operator, ...] = ("=", "==", "!=", "<", "<=", ">", ">=")
    conditions = tuple(Constraint(operator, version) for operator in operators)
    to_match_spec(Requirement("a", conditions), Channel("main", "http://channel.test/main"))


@pytest.mark.parametrize("down", [False, True])
def test_an_archive_in_the_old_format_is_found_beside_the_new_one(
    tmp_path: Path, channels: FakeChannels, *, down: bool
) -> None:
    old, new, only = package("both", "1.0"), package("both", "1.0"), package("old", "1.0")
    served = channels["main"]
    served.add(new)
    served.old_format += [old | {"sha256": "a" * 64}, only]
    places = {f"linux-64/{name}" for name in ("both-1.0-0.tar.bz2", "old-1.0-0.tar.bz2")}
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)

    async def scenario() -> Mapping[str, PackageRecord]:
        if down:
            await solver.find(served.channel, "linux-64", places)
            served.status = 503
        return await solver.find(
            served.channel,
            "linux-64",
            {*places, "linux-64/both-1.0-0.conda", "linux-64/no-1-0.tar.bz2"},
        )

    found = run(solver, scenario)

    assert {place: record.sha256[:1] for place, record in found.items()} == {
        "linux-64/both-1.0-0.conda": new["sha256"][:1],
        "linux-64/both-1.0-0.tar.bz2": "a",
        "linux-64/old-1.0-0.tar.bz2": only["sha256"][:1],
    }
    assert all(record.url == f"{served.channel.url}/{place}" for place, record in found.items())
    served.status = None
    (solved,) = solve(tmp_path, spec("both", served.channel))["linux-64"]
    assert solved.file_name == "both-1.0-0.conda"
