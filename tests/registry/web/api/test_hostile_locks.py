"""Locks that attackers send: each is refused, soon, and leaves nothing."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import yaml

from builder.lock import BaseReference, Lock, from_yaml, to_yaml
from builder.oci.digest import Digest
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel, VirtualPackage
from tests.registry.web.api.site import BUILDS, Site, build, wish

pytestmark = pytest.mark.anyio

TOOL = "pullforge.package.linux-64.tool"
#: Text that is none of what a field may hold.
ODD_TEXTS = (
    "",
    " ",
    "../../etc/passwd",
    "/etc/passwd",
    "a\nb",
    "a\r\nx-header: 1",
    "a\x00b",
    "\x1b[2Jtool",
    "t\u043eol",  # a Cyrillic letter
    "tool\u200b",
    "\u202eloot",
    "\ud800",
    "tool" * 5000,
    "$(reboot)",
    "<script>alert(1)</script>",
    "%00",
    "{0.__class__}",
)
#: Values that are no text at all.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**53 + 1,
    10**4000,
    float("nan"),
    float("inf"),
    1e400,
    [],
    {},
    ["tool"],
    {"a": {"b": {"c": []}}},
)
ODD_URLS = (
    "file:///etc/passwd",
    "file:///etc/linux-64/tool-1.0-0.conda",
    "http://user:secret@169.254.169.254/main/linux-64/tool-1.0-0.conda",
    "http://[::1]/main/linux-64/tool-1.0-0.conda",
    "http://[::1/main/linux-64/tool-1.0-0.conda",
    "http://127.0.0.1:99999/main/linux-64/tool-1.0-0.conda",
    "https://evil.example/t/token/main/linux-64/tool-1.0-0.conda",
    "s3://bucket/main/linux-64/tool-1.0-0.conda",
    "gopher://h/main/linux-64/tool-1.0-0.conda",
    "javascript:alert(1)//linux-64/tool-1.0-0.conda",
    "http://h/main/linux-64/..%2f..%2f/tool-1.0-0.conda",
    "http://h/main/linux-64/tool-1.0-0.conda?x=y#z",
    "//h/main/linux-64/tool-1.0-0.conda",
)


def edits() -> Iterator[tuple[str, Callable[[Any], object]]]:
    """Yield what to do to a lock as plain values."""

    def put(path: tuple[str | int, ...], value: object) -> Callable[[Any], object]:
        def edit(lock: Any) -> None:
            for step in path[:-1]:
                lock = lock[step]
            lock[path[-1]] = value

        return edit

    for field in ("name", "version", "build", "url", "platform", "manager", "category"):
        for value in (*ODD_TEXTS, *ODD_VALUES):
            # What is of another category is not looked at, and its key no longer fits.
            yield f"{field}={str(value)[:20]!r}", put(("package", 1, field), value)
    for url in ODD_URLS:
        yield f"url={url}", put(("package", 1, "url"), url)
    for kind in ("sha256", "md5"):
        for value in (*ODD_TEXTS[:6], *ODD_VALUES, "0" * 64, "A" * 64, "\uff10" * 64):
            yield f"{kind}={str(value)[:20]!r}", put(("package", 1, "hash", kind), value)
    for value in (*ODD_TEXTS, *ODD_VALUES):
        yield f"dependencies={value!r:.20}", put(("package", 1, "dependencies"), value)
        yield f"key={value!r:.20}", put(("metadata", "custom_metadata", "pullforge.key"), value)
        yield f"extra={value!r:.20}", put(("metadata", "custom_metadata", TOOL), value)
    for name in ("base", "channels", "virtual_packages", "bytecode", "variables", "user", "format"):
        custom = ("metadata", "custom_metadata", f"pullforge.{name}")
        for value in (
            "",
            "NaN",
            "[" * 50_000,
            '{"a":' * 50_000,
            "9" * 5000,
            "null",
            '"x"',
            "[[1]]",
        ):
            yield f"{name}={value[:10]}", put(custom, value)
    for field in ("build_number", "size_bytes", "timestamp_ms"):
        for number in ("-1", "1e400", "NaN", "true", "9" * 5000, '"1"', "1.5", "9007199254740993"):
            yield (
                f"{field}={number[:20]}",
                put(("metadata", "custom_metadata", TOOL), f'{{"{field}": {number}}}'),
            )
    for platforms in ([], ["win-64"], ["linux-64"] * 1000, ["linux-64", "../x"], "linux-64", 7):
        yield f"platforms={str(platforms)[:20]}", put(("metadata", "platforms"), platforms)
    yield "twice", lambda lock: lock["package"].append(copy.deepcopy(lock["package"][1]))
    yield "no packages", lambda lock: lock["package"].clear()


def as_yaml(lock: object) -> bytes:
    # Lone surrogates are written as escapes.
    text: str = yaml.safe_dump(lock, sort_keys=False, allow_unicode=False)
    return text.encode()


def texts(lock: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield hostile locks, as they are sent."""
    content = yaml.safe_load(lock)
    for what, edit in edits():
        changed = copy.deepcopy(content)
        edit(changed)
        yield f"yaml {what}", as_yaml(changed)
        if len(what) % 4 == 0:
            # The same as JSON, which has NaN and huge numbers of its own.
            yield f"json {what}", json.dumps(changed).encode()
    address = "https://conda.anaconda.org/conda-forge/linux-64/p{}-1-0.conda\n"
    for count in (2001, 9000, 100_000):
        lines = "".join(map(address.format, range(count)))
        yield f"a list of {count}", f"# platform: linux-64\n@EXPLICIT\n{lines}".encode()
    line = b"  platform: linux-64\n"
    yield "key twice", lock.replace(line, line * 2, 1)
    yield "alias", lock.replace(b"package:", b"x: &a [x]\ny: *a\npackage:", 1)
    yield "tag", lock.replace(b"package:", b"x: !!python/name:os.system\npackage:", 1)
    yield "two documents", lock + b"---\n" + lock
    yield "deep", b"x: " + b"[" * 30_000 + b"]" * 30_000 + b"\n" + lock
    yield (
        "surrogate",
        lock.replace(b"version: 1\n", b'version: 1\nx: "\\ud800"\n', 1) + b"\xed\xa0\x80",
    )


def valid(lock: Lock) -> Iterator[tuple[str, Lock]]:
    """Yield locks with the key that they have to have, which say what is not so."""
    library, tool = lock.platforms["linux-64"]

    def of(*records: PackageRecord, **changes: Any) -> Lock:
        return replace(lock, platforms={"linux-64": records or (library, tool)}, **changes)

    other = replace(tool, sha256=library.sha256, md5=library.md5, size_bytes=library.size_bytes)
    yield "the bytes of another package", of(library, other)
    yield "bytes that there are none of", of(library, replace(tool, sha256="0" * 64, md5="0" * 32))
    yield "another name", of(library, replace(tool, name="evil"))
    yield "another version", of(library, replace(tool, version="9"))
    yield "another build", of(library, replace(tool, build="evil"))
    yield "another address", of(library, replace(tool, url=library.url))
    yield (
        "a file of this machine",
        of(library, replace(tool, url="file:///etc/linux-64/a-1-0.conda")),
    )
    for url in ODD_URLS:
        yield f"address {url}", of(library, replace(tool, url=url))
        yield f"channel {url}", of(channels=(Channel("main", url),))
    yield "another channel", of(library, replace(tool, channel="http://evil.example/main"))
    yield "a channel without sense", of(channels=(Channel("a\nb", lock.channels[0].url),))
    yield "a base of others", of(base=BaseReference("evil.example/x", Digest(f"sha256:{'0' * 64}")))
    assert lock.base is not None
    yield (
        "a base that is not there",
        of(base=replace(lock.base, digest=Digest(f"sha256:{'0' * 64}"))),
    )
    package = hashlib.sha256(b"x").hexdigest()
    for host in ("files.pythonhosted.org", "evil.example", "u:p@files.pythonhosted.org", "[::1"):
        url = f"https://{host}/six-1-py3-none-any.whl"
        yield (
            f"a wheel of {host}",
            of(wheels={"linux-64": (WheelRecord("six", "1", url, package),)}),
        )
    for text in ODD_TEXTS[1:]:
        yield f"virtual {text[:9]!r}", of(virtual_packages=(VirtualPackage("__x", text),))
        yield f"bytecode {text[:9]!r}", of(bytecode={"linux-64": text})
    for name in ("PATH", "A B", "A\n", "A=B", ""):
        yield f"variable {name!r}", of(variables={name: "/evil"})
    circle = (
        replace(
            tool,
            name=f"p{number}",
            url=tool.url.replace("tool-", f"p{number}-"),
            depends=(f"p{(number + 1) % 2001}",),
        )
        for number in range(2001)
    )
    yield "many packages in a circle", of(*circle)
    yield "an escape", of(variables={"A": "\x1b[2J"})
    yield "a surrogate", of(variables={"A": "\ud800"})
    yield "a user", of(user="root; reboot")


#: What says the same as the lock that it was made of, in other words.
SAME = (
    "build=''",
    "build='None'",
    "platforms=['linux-64', 'linux-",
    "platforms=['linux-64', '../x']",
)


async def test_hostile_locks_are_refused_and_leave_nothing(site: Site) -> None:
    async with site.open() as client:
        key = (await build(client, wish("tool"))).json()["key"]
        lock = (await client.get(f"{BUILDS}/{key}/lock")).body
        bodies = {**dict(texts(lock)), **{w: to_yaml(one) for w, one in valid(from_yaml(lock))}}
        assert len(bodies) > 500
        # Beside the honest build, whose layers and packages the store has.
        before = everything(site)
        odd: list[tuple[object, ...]] = []
        for what, body in bodies.items():
            reply = await client.post(BUILDS, body, prefer="wait=25")
            is_same = reply.status in {200, 201} and reply.json()["key"] == key and what[5:] in SAME
            if not (is_same or 400 <= reply.status < 500):
                odd.append((what, reply.status, reply.body[:300]))
            left = everything(site) - before
            if left:
                odd.append((what, reply.status, reply.body[:300], sorted(left)))
                before |= left
    assert not odd


def everything(site: Site) -> set[str]:
    """Return what is in the store but the status of a failure, which is forgotten in an hour."""
    status = (*site.files("requests"), *(f for f in site.files("inputs") if not f.stat().st_size))
    return {str(path) for path in {*site.files(".")} - {*status}}
