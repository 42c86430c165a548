"""A root has what its token may see, and no longer than it may see it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.prefixes.site import BOB, SPACE, Built, Node, Site

BLUE: Final = "blue"
AT_ONCE: Final = ("--grace", "0s")


@pytest.fixture
def site(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Site]:
    """Start a server with two namespaces."""
    with Site(paths, channel.url) as site:
        site.add_namespace(BLUE)
        yield site


def grant(site: Site, namespace: str, environment: str = "*") -> int:
    """Let Bob see environments; return the number of what lets him."""
    body = {"subject": BOB, "role": "viewer", "environment": environment}
    made: dict[str, Any] = site.admin.must(
        site.server, "POST", f"/namespaces/{namespace}/grants", body
    )
    return int(made["id"])


def revoke(site: Site, namespace: str, number: int) -> None:
    """Take it back."""
    site.admin.must(site.server, "DELETE", f"/namespaces/{namespace}/grants/{number}")


def require(node: Node, *built: Built) -> None:
    """Assert that a root has some environments, and nothing of any other."""
    assert node.links() == {one.path: one.key for one in built}
    assert node.builds() == {one.key for one in built}


def test_who_may_see_one_namespace_gets_one(site: Site) -> None:
    """What is no longer to be seen goes, unless somebody else needs it."""
    blue = site.build(f"{BLUE}/sky", "tzdata")
    also_blue = site.build(f"{BLUE}/sea", "bzip2-tools")
    red = site.build(f"{SPACE}/rose", "openssl")
    shared = site.build(f"{SPACE}/copy", "tzdata")
    assert shared.key == blue.key
    everything, bobs = site.node(), site.node(BOB)

    everything.sync()
    require(everything, blue, also_blue, red, shared)
    bobs.sync()
    require(bobs)

    of_blue = grant(site, BLUE)
    bobs.sync()
    require(bobs, blue, also_blue)

    of_copy = grant(site, SPACE, "co*")
    bobs.sync()
    require(bobs, blue, also_blue, shared)

    revoke(site, BLUE, of_blue)
    bobs.sync()
    assert bobs.links() == {shared.path: shared.key}, "links go at once"
    assert bobs.builds() == {shared.key, also_blue.key}, "prefixes when they are not used any more"
    bobs.sync(*AT_ONCE)
    require(bobs, shared)
    assert (bobs.link(shared.path) / "share" / "zoneinfo").is_dir()

    revoke(site, SPACE, of_copy)
    bobs.sync(*AT_ONCE)
    require(bobs)
    everything.sync()
    require(everything, blue, also_blue, red, shared)


def test_what_is_deleted_or_blocked_goes(site: Site) -> None:
    """What is blocked does not stay for a while; a file that is nobody's stays."""
    kept = site.build(f"{SPACE}/kept", "bzip2-tools")
    deleted = site.build(f"{SPACE}/deleted", "tzdata")
    blocked = site.build(f"{SPACE}/blocked", "openssl")
    node = site.node()
    node.sync()
    require(node, kept, deleted, blocked)
    mine = node.root / SPACE / "envs" / "mine"
    mine.mkdir()
    (mine / "notes").write_text("of somebody")

    site.delete(deleted.path)
    body = {"key": blocked.key, "reason": "openssl has a hole"}
    site.admin.must(site.server, "POST", "/blocks", body)
    node.sync()
    assert node.builds() == {kept.key, deleted.key}
    assert not node.link(deleted.path).is_symlink()
    assert not node.link(blocked.path).is_symlink()
    node.sync(*AT_ONCE)
    assert node.builds() == {kept.key}
    assert (mine / "notes").read_text() == "of somebody"


def test_what_is_somebody_elses_is_told_and_left_alone(site: Site) -> None:
    """The other environments are made."""
    kept = site.build(f"{SPACE}/kept", "bzip2-tools")
    taken = site.build(f"{SPACE}/taken", "tzdata")
    node = site.node()
    place = node.link(taken.path)
    place.mkdir(parents=True)
    (place / "notes").write_text("of somebody")
    said = node.sync(code=1)
    assert str(place.relative_to(node.root)) in said.stderr + said.stdout
    assert (place / "notes").read_text() == "of somebody"
    assert node.link(kept.path).readlink().name == kept.key
    [problem] = node.status(code=1)["problems"]
    assert problem["about"] == f"{taken.path} v{taken.number}"


@pytest.mark.parametrize(
    ("layout", "prefix", "link"),
    [
        ("own", "builds/{key}", "team/envs/web"),
        ("conda-store", "team/{key}-{number}-web", "team/envs/web"),
        ("nebari", "team/builds/{key}", "team/envs/team-web"),
    ],
)
def test_a_layout_puts_things_where_its_users_look(
    site: Site, layout: str, prefix: str, link: str
) -> None:
    """Of conda-store and Nebari, too; a namespace that is mounted alone has all that it needs."""
    built = site.build(f"{SPACE}/web", "tzdata", "activatedemo")
    node = site.node()
    node.sync("--layout", layout)
    place = node.root / prefix.format(key=built.key, number=built.number)
    assert (node.root / link).resolve() == place.resolve()
    assert (place / "conda-meta" / "history").exists()
    if layout != "own":
        namespace = node.root / SPACE
        elsewhere = node.home / "elsewhere"
        namespace.rename(elsewhere)
        found = elsewhere / Path(link).relative_to(SPACE)
        assert (found / "share" / "zoneinfo").is_dir()
