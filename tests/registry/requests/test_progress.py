import asyncio
from typing import get_args

from builder.ports import Progress, Stage
from registry.images.failure import Failure
from registry.requests.progress import RequestProgress, percent_of
from registry.requests.status import RequestStatus, dump_status, parse_status


def request_progress() -> RequestProgress:
    return RequestProgress(RequestStatus("1" * 32), lambda: 86_400.0)


def lines(request_progress: RequestProgress) -> list[str]:
    return [line.removeprefix("1970-01-02T00:00:00Z ") for line in request_progress.status.log]


def test_a_log_has_each_stage_the_end_of_what_is_counted_and_notes() -> None:
    told = request_progress()
    for progress in [
        Progress("solve"),
        Progress("base"),
        *(Progress("download", done, 3) for done in range(4)),
        Progress("plan"),
        Progress("plan", note="linux-64: two packages have bin/x"),
        Progress("plan", note=""),
        Progress("finish"),
    ]:
        told.on_progress(progress)
    assert lines(told) == [
        "solving the environment",
        "fetching the base image",
        "downloading packages (3 of 3)",
        "planning layers",
        "linux-64: two packages have bin/x",
        "writing the image",
    ]


def test_every_stage_has_words_and_a_share() -> None:
    stages: list[Stage] = list(get_args(Stage))
    begins = [percent_of(Progress(stage)) for stage in stages]
    assert begins == sorted(begins)
    assert all(str(Progress(stage)) for stage in stages)


def test_how_far_it_is_never_gets_less() -> None:
    told = request_progress()
    seen = []
    for progress in [Progress("assemble", 4, 4), Progress("base"), Progress("download", 1, 2)]:
        told.on_progress(progress)
        seen.append(told.status.percent)
    assert seen == [95, 95, 95]
    assert told.status.progress == "downloading packages (1 of 2)"


def test_who_waits_wakes_with_the_next_change_or_when_the_time_is_over() -> None:
    async def scenario() -> None:
        told = request_progress()
        seen = told.status
        assert await told.next(seen, 0.001) == seen
        waiting = asyncio.create_task(told.next(seen, 60))
        await asyncio.sleep(0)
        told.note("something")
        assert (await waiting).log == told.status.log
        assert await told.next(seen, 60) == told.status, "what was missed comes at once"

    asyncio.run(scenario())


def test_a_status_survives_the_store() -> None:
    failure = Failure("InputError", "line 3: no", "dependencies[1]", 3)
    status = RequestStatus("2" * 32, "failed", "x", 7, "3" * 32, failure, ("a", "b"), 5.5)
    assert parse_status(dump_status(status)) == status
    assert parse_status(dump_status(status)).at == status.at
    assert parse_status(dump_status(RequestStatus("4" * 32))) == RequestStatus("4" * 32)
