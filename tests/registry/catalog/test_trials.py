import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from registry.catalog.assessing import Assessor
from registry.catalog.judging import Judging
from registry.catalog.ports import LockedPackage
from registry.catalog.trials import Trials
from registry.errors import TrialTooLong
from registry.policy.policy import read_policy
from tests.registry.catalog.house import House, key_of

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
Result = TypeVar("Result")
COMPANY = read_policy("company", '[packages]\ndenied = ["left-pad"]', source="database")


class BusyWorkers:
    """Has other things to do until it is let go; implements :class:`builder.ports.Workers`."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        await self.free.wait()
        return function(*args, **kwargs)


async def test_a_trial_that_waits_for_processes_or_others_ends_with_a_sentence(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.packages[key_of(b"a")] = [
        LockedPackage("linux-64", "conda", "left-pad", "1", "0", "https://c.test/main")
    ]
    await house.environment("ada/one")
    await house.built("ada/one", b"a")
    workers = BusyWorkers()
    judging = Judging(house.database, house.book, Assessor(house.database, workers), "one")
    trials = Trials(house.database, house.book, judging)
    with monkeypatch.context() as patched:
        patched.setattr("registry.catalog.trials._WAIT_SECONDS", 0.2)
        both = await asyncio.gather(
            *(trials.everything(COMPANY) for _ in range(2)), return_exceptions=True
        )
    assert [type(one) for one in both] == [TrialTooLong, TrialTooLong]
    assert "try again in a moment" in str(both[0])
    workers.free.set()
    found = await trials.everything(COMPANY)
    assert (found.count, found.judged) == (1, 1)
