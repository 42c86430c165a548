import contextlib
import dataclasses
import datetime
import random
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builder.errors import (
    ChannelNotAllowed,
    ImageNameError,
    MalformedName,
    MalformedTag,
    UnknownPackage,
    UnsupportedItem,
)
from builder.image_name import EnvironmentPolicy, canonical_name, parse, parse_tag, scan, suggest
from builder.image_name.tokens import OPERATORS, is_version
from builder.pypi.requirement import canonical_requirement, canonical_requirements
from builder.spec import Channel, Constraint, EnvironmentSpec, Requirement, VirtualPackage

FORGE = Channel("conda-forge", "https://conda.test/conda-forge")
BIO = Channel("bioconda", "https://conda.test/bioconda")
BASE = "docker.io/library/debian:bookworm-slim"
DEFAULTS = EnvironmentPolicy((FORGE, BIO), default_channels=("conda-forge",), base=BASE, pypi=True)
KNOWN = {
    "conda-forge": frozenset(
        {
            "7zip",
            "_libgcc_mutex",
            "backports",
            "backports.zoneinfo",
            "beautifulsoup4",
            "dev0",
            "ne",
            "numpy",
            "opencv",
            "pandas",
            "pip",
            "python",
            "python-dateutil",
            "pytorch",
            "r-data.table",
            "r-data.table.extra",
            "ruamel",
            "ruamel.yaml",
            "scikit-learn",
            "scipy",
            "zlib",
        }
    ),
    "bioconda": frozenset({"samtools", "bwa", "bio.tools"}),
}


def read(name: str, tag: str = "latest") -> EnvironmentSpec:
    return parse(f"env/{name}", tag, KNOWN, DEFAULTS)


def wanted(name: str, tag: str = "latest") -> list[str]:
    return [str(requirement) for requirement in read(name, tag).requirements]


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("numpy", ["numpy"]),
        ("numpy.pandas", ["numpy", "pandas"]),
        ("pandas/numpy.pandas/numpy", ["numpy", "pandas"]),
        ("python.3.12", ["python =3.12"]),
        ("python.3.12.numpy", ["numpy", "python =3.12"]),
        ("numpy.ge.1.26", ["numpy >=1.26"]),
        ("numpy.ge.1.26.lt.2.pandas", ["numpy <2,>=1.26", "pandas"]),
        ("numpy.gt.1.le.2.eq.1.5.ne.1.4", ["numpy !=1.4,<=2,==1.5,>1"]),
        ("numpy.2.ge.2.1", ["numpy =2,>=2.1"]),
        ("numpy.ge.1/numpy.lt.2", ["numpy <2,>=1"]),
        ("ruamel.yaml.numpy", ["numpy", "ruamel.yaml"]),
        ("ruamel.numpy", ["numpy", "ruamel"]),
        ("r-data.table.1.16", ["r-data.table =1.16"]),
        ("r-data.table.extra", ["r-data.table.extra"]),
        ("backports.zoneinfo.backports", ["backports", "backports.zoneinfo"]),
        ("numpy.2.0.0rc1", ["numpy =2.0.0rc1"]),
        ("numpy.1.0.post1.pandas", ["numpy =1.0.post1", "pandas"]),
        ("numpy.1.0.rc1.dev2", ["numpy =1.0.rc1.dev2"]),
        ("numpy.1.0.dev0", ["dev0", "numpy =1.0"]),
        ("pytorch.2.1__p__cu121", ["pytorch =2.1+cu121"]),
        ("zlib.1__e__2.0", ["zlib =1!2.0"]),
        ("zlib.2024a_1", ["zlib =2024a_1"]),
        ("zzz_libgcc_mutex", ["_libgcc_mutex"]),
        ("7zip", ["7zip"]),
        ("numpy/7zip.23", ["7zip =23", "numpy"]),
        ("numpy.ne", ["ne", "numpy"]),
        ("numpy.ne.1", ["numpy !=1"]),
        ("ne.ne.1", ["ne !=1"]),
        ("bioconda--samtools.1.19.numpy", ["bioconda::samtools =1.19", "numpy"]),
        ("numpy.bioconda--bwa.pandas", ["bioconda::bwa", "numpy", "pandas"]),
        ("bioconda--bio.tools", ["bioconda::bio.tools"]),
        ("conda-forge--numpy.numpy.ge.1", ["conda-forge::numpy >=1"]),
    ],
)
def test_a_name_says_which_packages_are_wanted(name: str, requirements: list[str]) -> None:
    assert sorted(wanted(name)) == sorted(requirements)


def test_channels_are_the_default_ones_and_those_that_are_named() -> None:
    assert read("numpy").channels == (FORGE,)
    assert read("bioconda--bwa").channels == (FORGE, BIO)
    assert EnvironmentPolicy((FORGE, BIO)).needed(frozenset()) == (FORGE, BIO)
    other = EnvironmentPolicy((FORGE, BIO), default_channels=("bioconda", "conda-forge"))
    assert other.needed(frozenset({"conda-forge"})) == (BIO, FORGE)


def test_what_the_name_does_not_say_is_taken_from_the_defaults() -> None:
    defaults = EnvironmentPolicy(
        (FORGE,),
        platforms=("linux-aarch64", "linux-64"),
        virtual_packages=(VirtualPackage("__unix", "0"), VirtualPackage("__glibc", "2.36")),
        base=BASE,
        builtin=(Requirement("zlib"),),
    )
    spec = parse("env/numpy", "latest", KNOWN, defaults)
    assert spec.platforms == ("linux-64", "linux-aarch64")
    assert [package.name for package in spec.virtual_packages] == ["__glibc", "__unix"]
    assert spec.base == BASE
    assert [requirement.name for requirement in spec.requirements] == ["numpy", "zlib"]


def test_parts_of_a_tag_may_come_in_any_order() -> None:
    spec = read("numpy", "2026-11-01-py3.12-cuda12.4-bare")
    assert spec == read("numpy", "bare-cuda12.4-2026-11-01-py3.12")
    assert spec.until == datetime.date(2026, 11, 1)
    assert Requirement("python", (Constraint("=", "3.12"),)) in spec.requirements
    assert VirtualPackage("__cuda", "12.4") in spec.virtual_packages
    assert spec.base is None


def test_a_user_in_the_tag_is_before_the_administrators() -> None:
    defaults = dataclasses.replace(DEFAULTS, user="65532:65532")
    assert parse("env/numpy", "latest", KNOWN, defaults).user == "65532:65532"
    spec = parse("env/numpy", "bare-user1000", KNOWN, defaults)
    assert spec.user == "1000:1000"
    assert canonical_name(spec) == "env/numpy:bare-user1000"
    assert read("numpy").user == ""


def test_a_python_tag_is_the_same_as_a_python_item() -> None:
    assert read("numpy", "py3.12") == read("numpy.python.3.12")
    assert read("python.3.12", "py3.12") == read("python.3.12")


def test_a_python_tag_needs_a_channel_with_python() -> None:
    with pytest.raises(UnknownPackage, match="no package 'python' in conda-forge"):
        parse("env/zlib", "py3.12", {"conda-forge": {"zlib"}}, DEFAULTS)


@pytest.mark.parametrize(
    ("tag", "fault"),
    [
        ("", "the tag '' is not understood"),
        ("3.12", "'3.12' in the tag '3.12' is not understood"),
        ("latest-py3.12", "'latest' in the tag"),
        ("py3.12-", "'' in the tag"),
        ("-py3.12", "the tag '-py3.12' is not understood"),
        ("py3", "'py3' in the tag"),
        ("py3.012", "'py3.012' in the tag"),
        ("py3.12-py3.13", "'py3.13' is the second Python version"),
        ("user1000-user1000", "'user1000' is the second user"),
        ("userroot", "'userroot' in the tag"),
        ("user01000", "'01000' is not the number of a user"),
        ("bare-bare", "'bare' is the second 'bare'"),
        ("cuda12.4-cuda12.4", "'cuda12.4' is the second CUDA version"),
        ("2026-11-01-2026-11-01", "'2026-11-01' is the second date"),
        ("2026-02-29", "'2026-02-29' in the tag '2026-02-29' is no day of the calendar"),
        ("0000-01-01", "is no day of the calendar"),
        ("2026-11", "'2026' in the tag"),
        ("2026-11-011", "'2026' in the tag"),
        ("20261-11-01", "'20261' in the tag"),
        ("py3.12\n", "the tag 'py3.12?' is not understood"),
        ("py٣.12", "the tag 'py٣.12' is not understood"),
        ("Latest", "'Latest' in the tag"),
        ("a" * 129, "is not understood"),
    ],
)
def test_a_malformed_tag_is_refused_with_the_part_that_is_wrong(tag: str, fault: str) -> None:
    with pytest.raises(MalformedTag) as caught:
        parse_tag(tag)
    assert fault in caught.value.message


def test_a_day_that_has_not_come_is_refused() -> None:
    today = datetime.date(2026, 11, 1)
    assert parse_tag("2026-11-01", today=today).until == today
    with pytest.raises(MalformedTag, match=r"2026-11-02 in the tag .* has not come yet"):
        scan("env/numpy", "2026-11-02", DEFAULTS, today=today)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("", "an item of 'env/' is empty"),
        ("numpy/", "an item of 'env/numpy/' is empty"),
        ("numpy//pandas", "is empty"),
        ("numpy..pandas", "'numpy..pandas' is not an item"),
        (".numpy", "'.numpy' is not an item"),
        ("_libgcc_mutex", "a leading '_' is written 'zzz_'"),
        ("NumPy", "'NumPy' contains upper-case letters: write 'numpy'"),
        ("numpy=1", "'numpy=1' contains '='"),
        ("numpy\n", "contains '?'"),
        ("nümpy", "contains 'ü'"),
        ("python/3.12", "'3.12' is no package: a version follows its package after a '.'"),
        ("3.12.numpy", "'3.12.numpy' is no package"),
        ("numpy.ge", "'ge' stands between a package and a version"),
        ("numpy.ge.pandas", "'ge' stands between a package and a version"),
        ("ge.1.26", "'ge' stands between a package and a version"),
        ("numpy.1-2", "'1-2' is not a version"),
        ("numpy.1__2", "'1__2' is not a version"),
        ("numpy." + "1" * 19, "is not a version"),
        ("bioconda--a--b", "'bioconda--a--b' in 'bioconda--a--b' is not '<channel>--<package>'"),
        ("a" * 252, "the name has 256 characters, and 255 are allowed"),
        (".".join("p" for _ in range(101)), "the name has 101 items, and 100 are allowed"),
        ("/".join("p" for _ in range(101)), "the name has 101 items, and 100 are allowed"),
    ],
)
def test_a_malformed_name_is_refused_with_the_part_that_is_wrong(name: str, fault: str) -> None:
    known = {"conda-forge": KNOWN["conda-forge"] | {"p"}}
    with pytest.raises(MalformedName) as caught:
        parse(f"env/{name}", "latest", known, DEFAULTS)
    assert fault in caught.value.message


def test_a_name_without_the_prefix_is_refused() -> None:
    with pytest.raises(MalformedName, match="'numpy' does not start with 'env/'"):
        scan("numpy", "latest", DEFAULTS)


def test_a_channel_that_is_not_offered_is_refused_before_any_channel_is_asked() -> None:
    with pytest.raises(ChannelNotAllowed, match=r"'evil' is not allowed .* bioconda"):
        scan("env/numpy.evil--numpy", "latest", DEFAULTS)


@pytest.mark.parametrize(
    ("name", "pip", "requirements"),
    [
        ("pypi--requests", ["requests"], []),
        ("pypi--requests.ge.2.lt.3.numpy.ge.1", ["requests<3,>=2"], ["numpy >=1"]),
        ("numpy.pypi--ruamel_yaml.0.17", ["ruamel-yaml==0.17.*"], ["numpy"]),
        ("pypi--ruamel.yaml.numpy", None, None),
        ("pypi--ruamel.zlib", ["ruamel"], ["zlib"]),
        ("pypi--numpy/numpy", ["numpy"], ["numpy"]),
        ("pypi--7zip.23.pypi--a", ["7zip==23.*", "a"], []),
        ("pypi--a.2.0.rc1", ["a==2.0.rc1"], []),
        ("pypi--a.1__e__2.0", ["a==1!2.0.*"], []),
        ("pypi--a.eq.2.0/pypi--a.ne.3.gt.1.le.4", ["a!=3,<=4,==2.0,>1"], []),
        ("pypi--a.2__p__cu121", ["a==2+cu121"], []),
        ("pypi--a/pypi--a", ["a"], []),
    ],
)
def test_a_name_says_what_is_wanted_from_pypi(
    name: str, pip: list[str] | None, requirements: list[str] | None
) -> None:
    if pip is None:
        with pytest.raises(UnknownPackage, match="no package 'yaml'"):
            read(name)
        return
    assert list(read(name).pip) == pip
    assert wanted(name) == requirements
    assert read(name).channels == (FORGE,)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("pypi--a.ge.2__p__cu1", "'>=2+cu1' is no condition on the versions of 'a'"),
        ("pypi--a.1.2_3_4", "is no condition on the versions of 'a'"),
        ("pypi--zzz_a", "'_a' cannot be the name of a project of PyPI"),
        ("pypi--a__p__b", "'a+b' cannot be the name of a project of PyPI"),
        ("pypi--a--b", "is not '<channel>--<package>'"),
    ],
)
def test_what_pypi_cannot_have_is_refused(name: str, fault: str) -> None:
    with pytest.raises(MalformedName) as caught:
        read(name)
    assert fault in caught.value.message


def test_pypi_is_refused_where_it_is_not_offered() -> None:
    with pytest.raises(UnsupportedItem, match="'requests' is asked from PyPI, which this server"):
        scan("env/numpy.pypi--requests", "latest", EnvironmentPolicy((FORGE,)))


def test_a_virtual_package_cannot_be_installed() -> None:
    with pytest.raises(UnsupportedItem, match="'__cuda' is a virtual package"):
        scan("env/zzz__cuda", "latest", DEFAULTS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nunpy", "no package 'nunpy' in conda-forge for linux-64; did you mean 'numpy'?"),
        (
            "scikit.learn",
            "no package 'scikit.learn' in conda-forge for linux-64; did you mean 'scikit-learn'?",
        ),
        (
            "numpy.scikit.learn.pandas",
            "no package 'scikit.learn' in conda-forge for linux-64; did you mean 'scikit-learn'?",
        ),
        (
            "sklearn",
            "no package 'sklearn' in conda-forge for linux-64; did you mean 'scikit-learn'?",
        ),
        (
            "ruamel.yml.numpy",
            "no package 'yml' in conda-forge for linux-64",
        ),
        (
            "backport.zoneinf",
            "no package 'backport' in conda-forge for linux-64; did you mean 'backports'?",
        ),
        (
            "bioconda--bio.tool.x",
            "no package 'bio.tool' in bioconda for linux-64; did you mean 'bio.tools'?",
        ),
        ("cv2", "no package 'cv2' in conda-forge for linux-64; did you mean 'opencv'?"),
        ("yaml", "no package 'yaml' in conda-forge for linux-64"),
        ("xqzw", "no package 'xqzw' in conda-forge for linux-64"),
        ("bioconda--samtols", "no package 'samtols' in bioconda for linux-64; did you mean"),
        ("bioconda--numpy", "no package 'numpy' in bioconda for linux-64"),
        ("samtools", "no package 'samtools' in conda-forge for linux-64"),
    ],
)
def test_an_unknown_package_is_named_with_what_may_have_been_meant(name: str, message: str) -> None:
    with pytest.raises(UnknownPackage) as caught:
        read(name)
    assert caught.value.message.startswith(message)


def test_suggestions_are_few_sorted_and_the_same_every_time() -> None:
    known = {"aaaa1", "aaaa2", "aaaa3", "baaa"}
    assert suggest("aaaa", known) == ("aaaa1", "aaaa2")
    assert suggest("aa", known) == ()


def edits(left: str, right: str) -> int:
    """Return how many edits lead from one to the other, by the definition."""
    table = {(i, j): i + j for i in range(-1, len(left) + 1) for j in range(-1, len(right) + 1)}
    for i, a in enumerate(left, 1):
        for j, b in enumerate(right, 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b)
            )
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(left), len(right)]


def test_suggestions_are_the_nearest_names_and_in_their_order() -> None:
    dice = random.Random(2)
    known = {"".join(dice.choices("abcd", k=dice.randint(4, 9))) for _ in range(2000)}
    for _ in range(20):
        name = "".join(dice.choices("abcd", k=dice.randint(6, 8)))
        near = sorted(
            (edits(name, other), other[0] != name[0], abs(len(other) - len(name)), other)
            for other in known
            if edits(name, other) <= 2
        )
        assert suggest(name, known) == tuple(other for *_, other in near[:2])


def test_a_suggestion_among_thirty_thousand_names_is_quick() -> None:
    dice = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz-"
    known = {"".join(dice.choices(letters, k=dice.randint(3, 20))) for _ in range(30_000)}
    known.add("tensorflow")
    started = time.process_time()
    assert suggest("tensroflow", known) == ("tensorflow",)
    assert time.process_time() - started < 0.5


# Short, so that three requirements fit into 255 characters.
VERSIONS = st.from_regex(
    r"([0-9]!)?[0-9]{1,2}(rc[0-9])?(\.[0-9]{1,2})?(\.post[0-9])?(\+[a-z0-9]{1,2})?", fullmatch=True
)
OPERATOR_WORDS = st.sampled_from(["=", *OPERATORS.values()])
REQUIREMENTS = st.builds(
    lambda name, constraints: Requirement(name, tuple(sorted(constraints))),
    st.sampled_from(sorted(KNOWN["conda-forge"])),
    st.sets(st.builds(Constraint, OPERATOR_WORDS, VERSIONS), max_size=2),
) | st.builds(
    lambda name, constraints: Requirement(name, tuple(sorted(constraints)), "bioconda"),
    st.sampled_from(sorted(KNOWN["bioconda"])),
    st.sets(st.builds(Constraint, OPERATOR_WORDS, VERSIONS), max_size=2),
)
PROJECTS = st.builds(
    lambda name, conditions: canonical_requirement(name + ",".join(sorted(conditions))),
    st.sampled_from(["numpy", "requests", "ruamel-yaml", "7zip"]),
    st.sets(
        st.builds(
            "{}{}".format,
            st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
            st.from_regex(
                r"([0-9]!)?[0-9]{1,2}(\.[0-9]{1,2})?(rc[0-9])?(\.post[0-9])?", fullmatch=True
            ),
        )
        | st.from_regex(r"==[0-9]{1,2}(\.[0-9]{1,2})?\.\*", fullmatch=True),
        max_size=2,
    ),
)
TAGS = st.builds(
    lambda day, python, cuda, bare: [
        *([day.isoformat()] if day else []),
        *([f"py3.{python}"] if python else []),
        *([f"cuda12.{cuda}"] if cuda else []),
        *(["bare"] if bare else []),
    ],
    st.none() | st.dates(),
    st.none() | st.integers(8, 15),
    st.none() | st.integers(0, 9),
    st.booleans(),
)


def rendered(requirements: list[Requirement], tag: str) -> EnvironmentSpec:
    items = [
        canonical_name(EnvironmentSpec((r,), (), (), (), base=BASE)).split("/", 1)[1]
        for r in requirements
    ]
    return read("/".join(item.removesuffix(":latest") for item in items), tag)


@given(st.lists(REQUIREMENTS, min_size=1, max_size=2), TAGS, st.randoms())
def test_order_and_repetition_do_not_matter(
    requirements: list[Requirement], tag: list[str], dice: random.Random
) -> None:
    there = rendered(requirements, "-".join(tag) or "latest")
    again = [*requirements, dice.choice(requirements)]
    dice.shuffle(again)
    dice.shuffle(tag)
    back = rendered(again, "-".join(tag) or "latest")
    assert back == there
    assert back.digest == there.digest


PLAIN = sorted(KNOWN["conda-forge"] - {"7zip", "ne", "dev0", "_libgcc_mutex"})


@given(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=6), st.data())
def test_the_separator_does_not_matter(names: list[str], data: st.DataObject) -> None:
    joined = names[0]
    for name in names[1:]:
        glued = joined.rpartition("/")[2] + "." + name
        # ``backports.zoneinfo`` is one package, and ``backports/zoneinfo`` is two.
        ambiguous = any(glued.endswith(known) and "." in known for known in PLAIN)
        joined += ("/" if ambiguous else data.draw(st.sampled_from("./"))) + name
    assert read(joined) == read("/".join(names))


@given(st.lists(REQUIREMENTS, min_size=1, max_size=2), TAGS)
def test_a_canonical_name_reads_back_as_its_spec(
    requirements: list[Requirement], tag: list[str]
) -> None:
    spec = rendered(requirements, "-".join(tag) or "latest")
    repository, _, written = canonical_name(spec).partition(":")
    assert parse(repository, written, KNOWN, DEFAULTS) == spec
    assert canonical_name(parse(repository, written, KNOWN, DEFAULTS)) == canonical_name(spec)


@given(st.lists(PROJECTS, max_size=2), st.lists(REQUIREMENTS, max_size=1))
def test_a_canonical_name_reads_back_what_is_wanted_from_pypi(
    projects: list[str], requirements: list[Requirement]
) -> None:
    if not projects and not requirements:
        return
    spec = dataclasses.replace(
        read("numpy"), requirements=tuple(requirements), pip=canonical_requirements(projects)
    )
    repository, _, tag = canonical_name(spec).partition(":")
    back = parse(repository, tag, KNOWN, DEFAULTS)
    assert (back.pip, back.requirements) == (spec.pip, spec.requirements)


def test_what_only_files_can_ask_of_pypi_is_left_out_of_a_name() -> None:
    pip = canonical_requirements(["a[x]~=1.4", "b!=1.*,>2; os_name == 'posix'"])
    spec = dataclasses.replace(read("numpy"), pip=pip)
    assert canonical_name(spec) == "env/numpy/pypi--a/pypi--b.gt.2:latest"


WORDS = st.sampled_from(
    [
        *sorted(KNOWN["conda-forge"] | set(OPERATORS)),
        *("1", "3.12", "rc1", "env", "bioconda--", "pypi--", "zzz_", "__p__", "__e__"),
        *(".", "/", "-", "_", "--"),
    ]
)


@given(
    st.text(max_size=300) | st.lists(WORDS, max_size=30).map("".join),
    st.just("latest") | st.text(max_size=140),
)
@example("/" * 250, "latest")
@example("." * 250, "latest")
@example("a" * 120 + "." * 120, "-" * 128)
@example("\ud800", "\ud800")
@example("pypi--0", "latest")
@settings(max_examples=300)
def test_any_text_gives_a_spec_or_one_sentence(name: str, tag: str) -> None:
    try:
        spec = read(name, tag)
    except (ImageNameError, UnknownPackage) as exc:
        assert exc.message  # noqa: PT017 - which of the two it is depends on the text
        assert len(exc.message) < 600  # noqa: PT017 - as above
        exc.message.encode()
    else:
        assert spec.requirements or spec.pip


@pytest.mark.parametrize(
    "name",
    [
        ".".join(["a"] * 125),
        "-".join(["a"] * 125),
        "_".join(["1"] * 125),
        "numpy." + ".".join(["1"] * 120),
        "numpy." + ".".join(["ge.1"] * 60),
        "numpy." + ".".join(["ge"] * 80),
        "a" + "-" * 240,
        "a" + "_" * 240,
        "numpy.1" + "__p__1" * 40,
        "numpy.1" + ".rc1" * 60,
    ],
)
def test_hostile_names_are_read_quickly(name: str) -> None:
    started = time.process_time()
    with contextlib.suppress(ImageNameError, UnknownPackage):
        read(name[:251])
    assert time.process_time() - started < 0.1


@given(VERSIONS)
def test_versions_of_the_grammar_are_versions(version: str) -> None:
    assert is_version(version)
