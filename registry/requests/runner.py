"""From what was asked for to a build that can be pulled, with its log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.filesize import decimal

from builder.errors import BaseImageError, PackageError
from builder.inputs import PackageList
from builder.lock import Lock, Told
from builder.ports import Store
from builder.rules.model import NO_RULES, Rules
from builder.spec import EnvironmentSpec
from registry.images.images import ImageBuilds
from registry.images.inventory import BuiltFlavour, BuiltFlavours
from registry.images.judging import BuildJudge
from registry.images.pins import Pins
from registry.requests.progress import RequestProgress
from registry.storage.layout import log_key

#: What can be asked for.
Requested = EnvironmentSpec | Lock | PackageList


@dataclass(frozen=True, slots=True)
class BuildRunner:
    """Makes builds."""

    store: Store
    builds: ImageBuilds
    images: BuiltFlavours
    pins: Pins
    judge: BuildJudge
    #: How old a solve may be that is used for a spec, in seconds.
    max_age_seconds: float

    async def make(
        self,
        asked: Requested,
        request_progress: RequestProgress,
        *,
        renew: bool,
        rules: Rules = NO_RULES,
    ) -> str:
        """Return the key of a build whose lock, image, archives and log are in the store.

        Args:
            asked: What is wanted.
            request_progress: Is told what happens, and says whether the build is to be pinned.
            renew: Solve a spec anew however lately it was.
            rules: What policies allow.

        Raises:
            BuilderError: It cannot be solved or built, or a policy refuses it; no lock of it is in
                the store.
            BuildBlocked: What it came to is blocked.
        """
        request_progress.note(f"asked for {_words(asked)}")
        request_progress.set(state="solving")
        solved, told = None, Told()
        if isinstance(asked, EnvironmentSpec):
            asked, told = await self.judge.apply(asked, rules)
            max_age = 0 if renew else self.max_age_seconds
            solved, lock = await self.builds.solve(
                asked, request_progress.on_progress, max_age=max_age
            )
            told += solved.told
        elif isinstance(asked, Lock):
            lock = await self.judge.informed(asked, rules)
        else:
            completed = await self.builds.complete(asked, request_progress.on_progress)
            lock = await self.judge.informed(completed, rules)
        for subdir, why in lock.left_out.items():
            request_progress.note(f"{subdir}: left out: {why}")
        told += await self.judge.judge(lock, rules)
        request_progress.tell(told)
        of_request = len(request_progress.status.log)
        for line in _locked(lock):
            request_progress.note(line)
        request_progress.set(state="building")
        await self.builds.build(lock, "oci-zstd", request_progress.on_progress)
        if isinstance(asked, EnvironmentSpec) and solved is not None:
            await self.builds.remember(asked, solved)
        if request_progress.status.pin:
            await self._pin(lock, request_progress)
        for image in await self.images.of(lock):
            if image.flavour == "oci-zstd":
                for line in _built(image):
                    request_progress.note(line)
        await self._keep_log(lock, request_progress.status.log[of_request:])
        return lock.key

    async def _pin(self, lock: Lock, request_progress: RequestProgress) -> None:
        """Pin the build if its packages can (still) be had: its image is there in any case."""
        try:
            await self.pins.pin(lock, request_progress.on_progress)
            request_progress.note("pinned: its packages and base stay in the store")
        except (PackageError, BaseImageError) as exc:
            request_progress.note(f"not pinned: {exc.message}")

    async def _keep_log(self, lock: Lock, lines: Sequence[str]) -> None:
        """Write the log of a new build, without what was asked for, which others ask otherwise."""
        if await self.store.size(log_key(lock.key)) is None:
            text = "".join(f"{line}\n" for line in lines)
            await self.store.write(log_key(lock.key), text.encode())


def _words(asked: Requested) -> str:
    if isinstance(asked, Lock):
        return f"the packages of lock {asked.key}"
    if isinstance(asked, PackageList):
        return "a list of packages"
    wanted = [str(requirement) for requirement in asked.requirements] + list(asked.pip)
    channels = ", ".join(channel.name for channel in asked.channels)
    return f"{', '.join(wanted)} from {channels} for {', '.join(asked.platforms)}"


def _locked(lock: Lock) -> Iterator[str]:
    for subdir, records in lock.platforms.items():
        wheels = lock.wheels.get(subdir, ())
        more = f" and {len(wheels)} wheels" if wheels else ""
        yield f"{subdir}: {len(records)} packages{more}, {decimal(lock.archive_bytes(subdir))}"
    yield f"lock {lock.key}"


def _built(image: BuiltFlavour) -> Iterator[str]:
    for one in image.platforms:
        yield f"{one.platform}: {one.layers} layers, {decimal(one.size_bytes)}, {one.digest}"
        if one.skipped_scripts:
            yield f"{one.platform}: scripts that were not run: {one.skipped_scripts}"
    yield f"image {image.digest}"
