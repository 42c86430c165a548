"""The fast writer of YAML writes the very bytes that PyYAML does."""

from random import Random
from typing import Any

import pytest
import yaml

from builder.lock import to_yaml
from builder.lock.block_yaml import dump
from tests.builder.exports.locks import lock

TEXTS = (
    *(
        "",
        " ",
        "a",
        "numpy",
        "1.2",
        "1",
        "1e5",
        "0x1f",
        "0b11",
        "0b12",
        "012",
        "1_000",
        "+1",
        "yes",
    ),
    *(
        "No",
        "on",
        "null",
        "~",
        "true",
        "Null",
        "=",
        "<<",
        ".inf",
        "-",
        "--",
        "a-",
        "-a",
        "2025-01-01",
    ),
    *("12:30:45", "1:2", "a:", "a: b", "a #b", "#a", "a#b", "https://x.org/a%20b/c-1.0-h_0.conda"),
    *(
        "https://x.org/?a=b",
        "file:///a",
        ">=1.0,<2.0a0",
        "<2",
        "==1",
        "*",
        "1.*",
        "!=3",
        "a|b",
        "|",
    ),
    *(
        "'",
        "it's",
        '"',
        '{"a":"it\'s"}',
        "[1,2]",
        "{",
        "[",
        "{ ",
        "[a\tb]",
        "a\nb",
        "a\n",
        "é",
        "\u2028",
    ),
    *(
        "\U0001f600",
        "\x07",
        " a",
        "a ",
        "@a",
        "`a",
        "%a",
        "?a",
        "? a",
        "0" * 64,
        "9" * 64,
        "e" * 64,
    ),
    *(
        "a" * 99,
        "a" * 130,
        "a b " * 60,
        "---",
        "...",
        "a/b+c_d.e",
        "/",
        "y",
        "n",
        "1.5e+3",
        "685230.15",
    ),
)


def something(chance: Random, depth: int = 0) -> Any:
    kind = chance.randrange(8 if depth < 4 else 4)
    if kind < 3:
        return chance.choice(TEXTS)
    if kind == 3:
        return chance.choice((0, 1, -5, 10**20, True, False, None))
    count = chance.randrange(4)
    if kind < 6:
        return {chance.choice(TEXTS): something(chance, depth + 1) for _ in range(count)}
    return [something(chance, depth + 1) for _ in range(count)]


def slowly(content: Any) -> bytes:
    text: str = yaml.dump(content, Dumper=yaml.SafeDumper, sort_keys=False, width=2**31)
    return text.encode()


@pytest.mark.parametrize("text", TEXTS)
def test_each_text_is_written_alike_as_value_key_and_item(text: str) -> None:
    for content in ({"a": text}, {text: "a"}, [text, text], {"a": [{text: text}]}, text):
        assert dump(content) == slowly(content)


def test_whatever_is_nested_is_written_alike() -> None:
    chance = Random(7)
    for _ in range(1500):
        content = something(chance)
        assert dump(content) == slowly(content), content


def test_what_is_there_twice_or_is_no_plain_value_is_written_alike() -> None:
    both = {"a": "b"}
    odd: list[Any] = [[both, both], {"x": both, "y": [both]}, 1.5, {"a": 2.5}, {1: "a"}, [[], []]]
    for content in odd:
        assert dump(content) == slowly(content)


def test_a_lock_is_written_alike() -> None:
    text = to_yaml(lock(variables={"MODE": "it's: 1", "NOTE": "é\n\u2028"}))
    content = slowly(yaml.safe_load(text))
    assert text.endswith(content)
    assert content.startswith(b"version: 1\n")
