import random
from collections.abc import Iterator
from itertools import product

import pytest

from registry.auth.roles import Globs, glob_matches
from registry.catalog.records import Visibility
from registry.catalog.visibility import fold, seen_by
from tests.registry.catalog.house import House

pytestmark = pytest.mark.anyio

NAMESPACES = ["ada", "bob", "team-a", "team-b"]
ENVIRONMENTS = ["a", "ab", "abc", "b_c", "bxc", "cab"]
GLOBS = ["*", "a", "ab", "abc", "a*", "ab*", "*c", "a*c", "b_c", "b*", "*b*"]


def _some_globs() -> Iterator[tuple[Globs, ...]]:
    chosen = random.Random(4)
    every = list(product(["ada", "bob", "team-a", "team-*", "*a", "*"], GLOBS))
    for size in (0, 1, 1, 1, 2, 2, 3, 3, 4, 6, 9):
        yield tuple(sorted(chosen.sample(every, size)))


def _is_seen(globs: tuple[Globs, ...], namespace: str, environment: str) -> bool:
    return any(
        glob_matches(one, namespace) and glob_matches(two, environment) for one, two in globs
    )


async def test_lists_have_what_globs_match_and_nothing_else(house: House) -> None:
    for namespace, environment in product(NAMESPACES, ENVIRONMENTS):
        await house.environment(f"{namespace}/{environment}")
    for globs in _some_globs():
        visible = Visibility(globs)
        seen = [
            (one, two)
            for one, two in product(NAMESPACES, ENVIRONMENTS)
            if _is_seen(globs, one, two)
        ]
        page = await house.environments.search(visible, limit=100)
        assert [one.path for one in page.items] == ["/".join(one) for one in seen], globs
        sees = seen_by(visible)
        every = product(NAMESPACES, ENVIRONMENTS)
        assert [one for one in every if sees(*one)] == seen, globs
        listed = [one.slug for one in (await house.namespaces.list(visible, limit=100)).items]
        assert listed == list(dict.fromkeys(one for one, _ in seen)), globs
        events = await house.events.list(visible=visible, limit=1000)
        told = {(e.namespace, e.environment) for e in events if e.environment is not None}
        assert told == set(seen), globs
        wholes = [one for one, two in globs if two == "*"]
        told_of = {event.namespace for event in events if event.environment is None}
        assert told_of == {
            one for one in NAMESPACES if any(glob_matches(glob, one) for glob in wholes)
        }, globs


async def test_thousands_of_globs_keep_nobody_from_listing(house: House) -> None:
    await house.environment("ada/notebook")
    await house.environment("bob/e7777x")
    many = [("bob", f"e{number:04}*x") for number in range(8000)]
    many += [("bob", f"f{number}") for number in range(40_000)]
    many += [(f"n{number}", "*") for number in range(4000)]
    visible = Visibility((*many, ("ada", "*")))
    page = await house.environments.search(visible)
    assert [one.path for one in page.items] == ["ada/notebook", "bob/e7777x"]
    assert [one.slug for one in (await house.namespaces.list(visible)).items] == ["ada", "bob"]
    assert [one.path for one in (await house.environments.search(visible, namespace="bob")).items]
    events = await house.events.latest(visible=visible)
    assert {event.namespace for event in events} == {"ada", "bob"}
    listed = await house.environments.search(Visibility(tuple(many[:8000]), ("ada",)))
    assert [one.path for one in listed.items] == ["bob/e7777x"]


def test_globs_that_say_nothing_new_are_left_out() -> None:
    folded = fold(
        (
            *(("bob", f"e{number}*") for number in range(1000)),
            *(("bob", f"e{number}") for number in range(1000)),
            *(("bob", f"e1{number}*x") for number in range(1000)),
            *(("ada", f"x{number}") for number in range(10)),
            *(("ada", "*"), ("team-a", "*"), ("team-a-*", "*"), ("team-*", "*"), ("team-b", "x*")),
        )
    )
    assert folded.wholes == {"ada"}
    assert folded.wide_wholes == {"team-*"}
    assert folded.parts == {f"bob/e{number}*" for number in range(10)}
    assert folded.namespaces_in_part == {"bob"}
    assert not folded.paths
    assert not folded.wide_parts
