import random

from builder.keys import segment
from registry.sources.directory import Directory, Pointer, dump_pointer, parse_pointer
from registry.storage.layout import environment_key


def pointer(name: str, active: str | None = None) -> Pointer:
    namespace, _, environment = name.partition("/")
    return Pointer(namespace, environment, active, {}, (), False)


def test_names_are_listed_in_the_order_of_the_catalog_whatever_came_first() -> None:
    names = [f"{one}/{two}" for one in ("a", "a-b", "a.b", "b") for two in ("x", "x-y", "y", "z")]
    directory = Directory()
    for name in random.Random(1).sample(names, len(names)):
        directory.put(pointer(name))
        directory.put(pointer(name, "0" * 32))  # known already: it is not listed twice
    ordered = sorted(names, key=segment)
    assert directory.names_after("", 100) == ordered
    assert directory.names_after("a/y", 3) == ordered[ordered.index("a/y") + 1 :][:3]
    assert directory.names_after("a/w", 1) == ["a/x"]
    directory.remove("a", "x")
    directory.remove("a", "x")
    assert directory.names_after("", 1) == [ordered[1]]
    assert "a/x" not in directory
    assert "a/y" in directory


def test_all_are_given_in_order_and_anew_after_each_change() -> None:
    directory = Directory()
    assert not directory.pointers()
    for name in ("b/a", "a-b/x", "a/z", "a/b"):
        directory.put(pointer(name))
    whole = directory.pointers()
    assert [f"{one.namespace}/{one.environment}" for one in whole] == ["a/b", "a/z", "a-b/x", "b/a"]
    assert directory.pointers() is whole
    before = directory.generation
    directory.put(pointer("a/z", "k"))
    assert directory.generation != before
    assert directory.pointers()[1].active == "k"
    directory.remove("a", "z")
    assert len(directory.pointers()) == 3
    before = directory.generation
    directory.remove("a", "z")
    assert directory.generation == before


def test_a_pointer_is_the_same_after_it_was_in_the_store() -> None:
    written = Pointer("a", "b", "k", {10: "k", 2: "j"}, ((1.5, "j"), (2.0, "k")), True)
    assert parse_pointer(dump_pointer(written)) == written
    assert environment_key("a/b") == "environments/a/b"
