"""Whatever is sent, the answer is an InputError, soon."""

import json
import pickle
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import InputError
from builder.inputs import PackageList, read_request
from builder.lock import Lock
from builder.spec import EnvironmentSpec
from tests.builder.inputs.reading import DEFAULTS, MAX_BYTES, read, refused
from tests.builder.inputs.test_environment import EXPORTED
from tests.builder.inputs.test_explicit import LIST
from tests.builder.inputs.test_exported import EXPORTED as EXPORTED_LIST
from tests.builder.inputs.test_pixi_lock import V5, V6, V7

HALF = MAX_BYTES // 2
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)


def full(text: str) -> str:
    """Return ``text`` as often as a request may have it."""
    return text * (MAX_BYTES // len(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        full("- "),
        full("? "),
        full("["),
        full("[]," + "\n"),
        "{" + full('"a":{'),
        "{" + full('"a":[')[: MAX_BYTES - 10],
        "{" + full('"":0,')[: MAX_BYTES - 10] + '"":0}',
        '{"specs": [' + "0," * (HALF - 20) + "0]}",
        '{"specs": ' + "9" * (MAX_BYTES - 20) + "}",
        "dependencies: " + "9" * (MAX_BYTES - 20),
        "dependencies: " + "x" * (MAX_BYTES - 20),
        "dependencies:\n" + "- ab cdef ghij\n" * (MAX_BYTES // 20),
        "dependencies: [" + "zlib, " * (MAX_BYTES // 8) + "]",
        "dependencies: [" + ",".join(["'numpy " + "(" * 480 + "'"] * 1000) + "]",
        "dependencies: [" + ",".join(["'a " + ">1|" * 160 + ">1'"] * 900) + ", '']",
        "dependencies: [{pip: [" + ",".join(["'a" + "[" * 480 + "'"] * 900) + "]}]",
        "dependencies: [{pip: ['a; " + "(" * 480 + "']}]",
        full("%TAG !e! tag:example.org:\n"),
        full("%YAML 1.1\n"),
        full("---\n"),
        full("- !!python/object/apply:os.system ['true']\n"),
        full("- &a x\n"),
        full("#\n"),
        full("\n"),
        full("\t"),
        full("a: |\n x\n"),
        full("a:\n"),
        full("!!set {a}\n"),
        "@EXPLICIT\n" + full("https://conda.anaconda.org/conda-forge/linux-64/a-1-0.conda\n")[:-20],
        "@EXPLICIT\n" + "-" * (MAX_BYTES - 20),
        "@EXPLICIT\n" + full("# pip a @ b\n")[:-20],
        "@EXPLICIT\n# pip " + "a" * (MAX_BYTES - 20),
        full("https://a/b-1-0.conda\n"),
        full("a=1=0\n"),
        "a=" * HALF,
        full("a==1\n"),
        full("a[b] \n"),
        "a" + "[" * (MAX_BYTES - 20),
        full("{{ a }}\n"),
        full("[tool.x]\n"),
        "dependencies:\n- sel(" + "(" * (MAX_BYTES - 40) + "): a",
        "dependencies: [{pip: ['a" + " --hash=sha256:a" * 120 + "']}]",
        "@EXPLICIT\nhttps://conda.anaconda.org/conda-forge/linux-64/" + "a-" * 450,
        "a: !!map [b]",
        "a: !!seq {b: c}",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "dependencies: !!str [a]",
        "<<: {dependencies: [a]}",
        "dependencies: [zlib]\n<<: {channels: [evil]}",
        "null",
        "[]",
        "7",
        "@",
        "",
        " ",
        "\ufeff",
        "a: \x00",
        "a: \u2028b\x85c",
    ],
)
def test_text_made_to_hurt_is_refused_soon(text: str) -> None:
    started = time.process_time()
    refused(text[:MAX_BYTES])
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"dependencies:\n- \xff\xfe\n", 2),
        ("dependencies: [zlib]".encode("utf-16")[2:] + b"\xff", 1),
        ("dependencies: [zlib]".encode("utf-16") + b"\xff", 1),
        (b"dependencies: [zlib\n", 2),
        (b"dependencies:\n\t- zlib\n", 2),
        (b"dependencies: [zlib]\n---\na: 1\n", 2),
    ],
)
def test_what_is_no_text_or_yaml_is_refused_with_its_line(data: bytes, line: int) -> None:
    assert refused(data).line == line


def test_too_many_bytes_are_refused_unread() -> None:
    started = time.process_time()
    with pytest.raises(InputError, match="has 20000000 bytes, and 4194304 are allowed"):
        read_request(b"[" * 20_000_000, DEFAULTS, max_bytes=MAX_BYTES)
    assert time.process_time() - started < 0.1


def test_an_error_survives_the_way_out_of_a_worker_process() -> None:
    error = refused("dependencies:\n- 7")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.message, copy.field, copy.line) == (error.message, error.field, error.line)


KINDS = [EXPORTED, EXPORTED_LIST, LIST, V5, V6, V7]


@pytest.mark.parametrize("text", KINDS)
def test_what_is_read_survives_it_too(text: str) -> None:
    assert pickle.loads(pickle.dumps(read(text))) == read(text)


def is_refused_or_read(data: bytes) -> None:
    """Fail if anything but an answer or an InputError in one line comes out."""
    try:
        found = read(data)
    except InputError as error:
        message = error.message
    else:
        message = ""
        assert isinstance(found, EnvironmentSpec | Lock | PackageList)
    assert "\n" not in message
    assert len(message) < 600


@given(st.binary(max_size=300) | st.text(max_size=200))
@settings(deadline=None)
def test_arbitrary_bytes_are_refused_or_read(data: bytes | str) -> None:
    is_refused_or_read(data if isinstance(data, bytes) else data.encode(errors="surrogatepass"))


@given(st.sampled_from(KINDS), st.data())
@settings(deadline=None, max_examples=300)
def test_a_damaged_file_is_refused_or_read(original: str, data: st.DataObject) -> None:
    whole = original.encode()
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.integers(0, 30))
    is_refused_or_read(whole[:at] + data.draw(st.binary(max_size=4)) + whole[at + cut :])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["pip", "conda", "url", "packages", "a"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["specs", "pip", "base", "until", "channels", "platforms", "dependencies", "variables"]
) | st.sampled_from(["package", "metadata", "environments", "packages", "version"])


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans())
@settings(deadline=None, max_examples=500)
def test_documents_of_the_wrong_shape_are_refused_or_read(content: object, as_json: bool) -> None:
    text = json.dumps(content) if as_json else yaml.safe_dump(content)
    is_refused_or_read(text.encode())


@given(st.text(max_size=60) | st.from_regex(r"[a-z]+[ =<>!~*|,()\[\]0-9a-z.\"':]{0,40}"))
@settings(deadline=None, max_examples=500)
def test_any_text_as_a_package_is_refused_or_read(text: str) -> None:
    sent = {"specs": [text], "pip": [text], "base": text, "channels": [text]}
    for key, value in sent.items():
        is_refused_or_read(json.dumps({"pip": ["six"], key: value}).encode())
