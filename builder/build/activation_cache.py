"""What activation sets, remembered: scripts are run once for all images of the same environment."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from builder.build.activation import Activation, ActivationPlan, activate
from builder.concurrency.priority import PrioritySemaphore
from builder.concurrency.single_flight import SingleFlight
from builder.keys import activation_key
from builder.ports import Store, Workers
from builder.sandbox.sandbox import Sandbox


class ActivationCache:
    """Gives what an environment's scripts set, from the store or by running them.

    At most ``at_once`` workers run scripts at a time; others go on with other things.
    """

    def __init__(
        self,
        store: Store,
        workers: Workers,
        sandbox: Callable[[], Awaitable[Sandbox]],
        scratch: Path,
        at_once: int = 1,
    ) -> None:
        self._store = store
        self._workers = workers
        self._sandbox = sandbox
        self._scratch = scratch
        self._slots = PrioritySemaphore(at_once)
        self._flights: SingleFlight[Activation] = SingleFlight()

    async def get(self, plan: ActivationPlan) -> Activation:
        """Return what the scripts of ``plan`` set; costs nothing where no shell is needed.

        Raises:
            SandboxUnavailable: A script has to be run, and there is nothing to run it in.
            WorkerLost: The process that ran them died.
        """
        if not plan.needs_shell:
            return activate(plan, None, self._scratch)
        key = plan.key
        return await self._flights.run(key, lambda: self._get(plan, activation_key(key)))

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._flights.close()

    async def _get(self, plan: ActivationPlan, key: str) -> Activation:
        data = await self._store.read(key)
        with suppress(ValueError, KeyError, TypeError):  # written by nobody here: run them again
            if data is not None:
                return Activation.parse(data)
        sandbox = await self._sandbox()
        async with self._slots.slot():
            found = await self._workers.run(activate, plan, sandbox, self._scratch)
        await self._store.write(key, found.dump())
        return found
