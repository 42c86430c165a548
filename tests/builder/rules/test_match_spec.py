import json

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from builder.records import link_order, split_match_spec
from builder.rules.match_spec import parse_match_spec
from builder.solve.match_spec import to_match_spec
from builder.spec import Channel
from tests.builder.records_for_tests import record
from tests.made_by_others import made_by_others

MAIN = Channel("main", "http://channel.test/main")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("NumPy", "numpy"),
        ("numpy *", "numpy"),
        ("numpy=1.26", "numpy =1.26"),
        ("numpy 1.26.*", "numpy =1.26"),
        ("numpy = 1.26", "numpy =1.26"),
        ("numpy==1.26", "numpy ==1.26"),
        ("numpy 1.26", "numpy ==1.26"),
        ("numpy<2,>=1.26", "numpy <2,>=1.26"),
        ("numpy >= 1.26 , < 2,<2", "numpy <2,>=1.26"),
        ("numpy[version='>=1.26,<2']", "numpy <2,>=1.26"),
        ("numpy !=1.5.*,>1", "numpy >1,!=1.5.*"),
        ("numpy ~=1.4", "numpy ~=1.4"),
        ("numpy 2.*|<1,>=0.5", "numpy 2.*|<1,>=0.5"),
        ("numpy >=0.5,<1|2.*", "numpy 2.*|<1,>=0.5"),
        ("numpy (1.*|2.*),!=2.1", "numpy (1.*|2.*),!=2.1"),
        # Not "python =3.11 *_cpython", which is 3.11 alone.
        ("python=3.11.*=*_cpython", "python 3.11.* *_cpython"),
        ("python[version='>=3.9,=3.11',build='a*']", "python 3.11.*,>=3.9 a*"),
        ("numpy[version='~=1.4|==2.0',build=x]", "numpy ==2.0|~=1.4 x"),
        ("_libgcc_mutex=0.1=conda_forge", "_libgcc_mutex ==0.1 conda_forge"),
        ("blas=*=*mkl", "blas * *mkl"),
        ("blas * *", "blas"),
        ("a=1!2.0", "a =1!2.0"),
        ("main::a>1", "main::a >1"),
        ("http://channel.test/main::a", "http://channel.test/main::a"),
        ("a[channel=main, build=py*]", "main::a * py*"),
        ("a[channel='http://channel.test/main']", "http://channel.test/main::a"),
    ],
)
def test_match_specs_of_the_same_meaning_are_one_requirement(text: str, canonical: str) -> None:
    found = parse_match_spec(text)
    assert str(found) == canonical
    assert parse_match_spec(canonical) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a match spec"),
        ("numpy>=", "is not a match spec"),
        ("num*", "is not a match spec"),
        ("^n.*$", "is not a match spec"),
        ("numpy; if x", "is not a match spec"),
        ("numpy[features=x]", "is not a match spec"),
        ("a\ud800", "is not a match spec"),
        ("a " + "(" * 400, "is not a match spec"),
        ("a" * 501, "500 are allowed"),
        ("a" * 200, "is not a package name"),
        ("numpy[md5=d41d8cd98f00b204e9800998ecf8427e]", "sets md5"),
        ("numpy[url='http://evil.example/a-1-0.conda']", "sets url"),
        ("http://evil.example/linux-64/a-1-0.conda", "sets url"),
        ("numpy[fn=numpy-1-0.conda]", "sets fn"),
        ("numpy[subdir=linux-64, license=MIT]", "sets license, subdir"),
        ("numpy[build_number='>=3']", "sets build_number"),
        ("numpy[extras=[a]]", "sets extras"),
        ("numpy[when='python']", "sets when"),
        ("numpy[track_features=x]", "sets track_features"),
        ("numpy * ^py.*$", "regular expression"),
        ("rpy2>=3<4", "is not a match spec"),
        ("bioconda:samtools=1.2", "one colon where two are needed: write 'bioconda::samtools=1.2'"),
        ("https://host/a:b", "is not a match spec|write 'https://host/a::b'"),
        ("numpy ^1.*$", "is not a match spec"),
        ("__cuda", "is a virtual package"),
    ],
)
def test_what_a_requirement_cannot_say_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_match_spec(text)


@given(st.from_regex(r"[a-z]{1,3}[ =<>!~*|,()\[\]0-9a-z.\"':^$]{0,30}"))
def test_what_is_read_can_be_asked_of_rattler(text: str) -> None:
    try:
        found = parse_match_spec(text)
    except ValueError:
        return
    spec = to_match_spec(found, MAIN)
    assert spec.build == (found.build or None)
    assert bool(spec.version) == bool(found.conditions)


_SPECS = [
    *["name", "name>=1", "name >=1,<2", "name==1=b", "name!=1", "name~=1", "name=1", " name 1.*"],
    *["name\t>=1", "name<1|>2", "foo (>=1)", "NAME", "__glibc>=2.17", "python_abi 3.12.* *_cp312"],
    *["conda-forge::name>=1", "https://x.y/~me/ch::name>=1", "ch/linux-64::name[version='>=1']"],
    *[
        "ch:ns:name>=1",
        "name[version='>=1',build='a*']",
        "Name_x[build_number='>3']",
        "r-data.table",
    ],
]


def _specs_of_others() -> set[str]:
    specs: set[str] = set()
    for subdir in ("linux-64", "noarch"):
        path = made_by_others(f"real/repodata/conda-forge-subset/{subdir}/repodata.json")
        listed = json.loads(path.read_bytes())
        for records in (listed.get("packages", {}), listed.get("packages.conda", {})):
            for said in records.values():
                specs.update(said["depends"], said.get("constrains", ()))
    return specs


def test_names_are_found_as_rattler_finds_them_in_odd_specs() -> None:
    found = {spec: split_match_spec(spec) for spec in _SPECS}
    assert {spec: split and split[0] for spec, split in found.items()} == {
        spec: rattler.MatchSpec(spec).name.normalized for spec in _SPECS
    }


def test_names_are_found_as_rattler_finds_them_in_specs_of_others() -> None:
    for spec in _specs_of_others():
        split = split_match_spec(spec)
        assert split is not None
        assert split[0] == rattler.MatchSpec(spec).name.normalized


def test_what_is_needed_comes_first_however_its_spec_is_written() -> None:
    records = [record("a", "main::b>=1"), record("b", "c[version='>=1']"), record("c")]
    assert [one.name for one in link_order(records)] == ["c", "b", "a"]
