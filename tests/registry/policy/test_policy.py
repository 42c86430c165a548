import datetime
import pickle
import re
import time
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from builder.rules.matching import PackagePattern
from registry.errors import PolicyTextInvalid
from registry.policy.advisories import parse_advisories
from registry.policy.documents import PolicyDocument, canonical_spec
from registry.policy.durations import parse_duration, parse_size
from registry.policy.policy import OWN, is_policy_name, read_policy
from tests.registry.policy.texts import EVERYTHING, policy

DOCS = Path(__file__).parents[3] / "docs" / "policy.md"


def test_a_policy_says_in_sentences_what_its_tables_say() -> None:
    assert policy().sentences() == (
        "Packages come from conda-forge and bioconda alone, in this order of priority.",
        "The channel bioconda is allowed in bioinformatics alone.",
        "openssl <3.0.8 is not installed.",
        "left-pad is not installed (withdrawn).",
        "evil-thing>=2 of PyPI is not installed.",
        "Each environment has tzdata.",
        "Each environment with python has pip (people expect it).",
        "Each environment has ca-certificates, unless it says otherwise.",
        "Packages do not have the licence GPL-3.0-* or AGPL-*.",
        "Packages whose licence is not known are not installed.",
        (
            "Packages were published at least 7 days ago, other than ca-certificates and openssl"
            " >=3.0.8."
        ),
        (
            "Packages with a known vulnerability of high or critical severity, or of one that is"
            " not known, are not installed; GHSA-xxxx is set aside."
        ),
        "Images are built on docker.io/library/debian:* or none.",
        "Images are for linux-64.",
        "Of PyPI, requests and acme-* alone may be installed.",
        "An environment has at most 500 packages.",
        "The packages of an environment have at most 5 GB together.",
    )


def test_a_policy_without_rules_says_nothing_and_one_without_text_is_one() -> None:
    empty = policy("")
    assert (empty.sentences(), empty.mode, empty.namespaces) == ((), "enforce", ("*",))
    assert policy("[pypi]\n[licences]\n[packages]\n[limits]\n").sentences() == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('mode = "x"', "company.toml, line 1, mode: input should be 'enforce' or 'warn'"),
        (
            '\n[packages]\ndenied = [\n  "a",\n  "<<",\n]',
            (
                "company.toml, line 5, packages.denied[1]: '<<' is not a match spec such as"
                " 'numpy>=1.26,<2'"
            ),
        ),
        (
            '[packages]\nrequired = [{ if = "a" }]',
            "company.toml, line 2, packages.required[0].spec: it has to be there, and is not",
        ),
        (
            '[packages]\nrequired = [{ spec = "a", iff = "b" }]',
            (
                "company.toml, line 2, packages.required[0].iff: this is not known here: write if,"
                " reason, spec"
            ),
        ),
        (
            '[packages]\nrequired = [{ spec = "a", if = "python >=3" }]',
            (
                "company.toml, line 2, packages.required[0].if: 'python >=3' is more than the"
                " name of a package: write 'python'"
            ),
        ),
        (
            "[licenses]",
            (
                "company.toml, line 1, licenses: this is not known here: write advisories, age,"
                " bases, channels, contact, description, licences, limits, mode, namespaces,"
                " packages, platforms, pypi"
            ),
        ),
        (
            "[limits]\n\nsize = 5",
            "company.toml, line 3, limits.size: a size is text with a unit, such as '5 GB'",
        ),
        (
            '[limits]\nsize = "5 parsecs"',
            (
                "company.toml, line 2, limits.size: '5 parsecs' is not a size such as '5 GB' or"
                " '800 MiB'"
            ),
        ),
        (
            '[age]\nminimun = "7 days"',
            "company.toml, line 2, age.minimun: this is not known here: write exempt, minimum",
        ),
        (
            "[age]\nminimum = 7",
            "company.toml, line 2, age.minimum: a duration is text with a unit, such as '7 days'",
        ),
        (
            '[licences]\ndenied = ["GPL3"]',
            (
                "company.toml, line 2, licences.denied[0]: 'GPL3' is not an identifier of SPDX:"
                " write 'GPL-3.0-only', or a pattern such as 'GPL-3.0-*'"
            ),
        ),
        (
            '[licences]\ndenied = ["GPL"]',
            (
                "company.toml, line 2, licences.denied[0]: 'GPL' is not an identifier of SPDX:"
                " write one such as 'MIT', or a pattern such as 'GPL-3.0-*'"
            ),
        ),
        (
            '[age]\nminimum = "a while"',
            (
                "company.toml, line 2, age.minimum: 'a while' is not a duration such as '7 days',"
                " '36 hours', '2 weeks'"
            ),
        ),
        (
            '[channels]\nallowed = ["a"]\nonly_in = { b = ["x"] }',
            (
                "company.toml, line 1, channels: 'only_in' names 'b', which is not among 'allowed':"
                " write it there too"
            ),
        ),
        (
            '[packages]\ndenied = [{ spec = "a", manager = "npm" }]',
            "company.toml, line 2, packages.denied[0].manager: input should be 'conda' or 'pypi'",
        ),
        (
            '[packages]\ndenied = [{ spec = "a[b]", manager = "pypi" }]',
            (
                "company.toml, line 2, packages.denied[0]: 'a[b]' has extras or a marker: name the"
                " project and its versions"
            ),
        ),
        (
            '[platforms]\nallowed = ["win-64"]',
            "company.toml, line 2, platforms.allowed: 'win-64' is none of linux-64, linux-aarch64",
        ),
        (
            'namespaces = ["team/*"]',
            (
                "company.toml, line 1, namespaces[0]: 'team/*' is not a name of namespaces such as"
                " 'team-*'"
            ),
        ),
        ('contact = "a\\u0007"', "company.toml, line 1, contact: the text has characters that"),
        (
            '[packages]\nrequired = ["tz*"]',
            "company.toml, line 2, packages.required[0]: 'tz*' is not a match spec",
        ),
        ("packages = 3", "company.toml, line 1, packages: input should be"),
        ('[packages]\ndenied = ["x*y*z*a*b*c"]', "company.toml, line 2, packages.denied[0]: 'x*y*"),
        (
            '[packages]\ndenied = ["https://a/bioconda::evil"]',
            "company.toml, line 2, packages.denied[0]: 'https://a/bioconda::evil' has an address",
        ),
        (
            '[age]\nminimum = "7 days"\nexempt = ["bioconda/linux-64::evil"]',
            "company.toml, line 3, age.exempt[0]: 'bioconda/linux-64::evil' has an address or a",
        ),
        ("a = ", "company.toml, line 1: this is no TOML: "),
    ],
)
def test_what_cannot_be_used_is_refused_by_file_line_and_field(text: str, sentence: str) -> None:
    with pytest.raises(PolicyTextInvalid) as caught:
        policy(text)
    assert caught.value.message.startswith(sentence)
    assert len(caught.value.message) < 600
    assert "\n" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.line) == (caught.value.message, caught.value.line)


def test_the_first_of_many_faults_is_told() -> None:
    text = "[limits]\npackages = 0\n[packages]\ndenied = [" + '"<<",' * 1500 + "]\n[age]\n"
    with pytest.raises(PolicyTextInvalid, match=r"line 2, limits\.packages"):
        policy(text)


def test_long_lists_of_faults_are_refused_at_once() -> None:
    for item in ('"<<"', "7", "{}", '{ spec = "a", b = 1 }'):
        started = time.thread_time()
        with pytest.raises(PolicyTextInvalid):
            policy("[packages]\ndenied = [" + f"{item}," * (200_000 // len(item)) + "]")
        assert time.thread_time() - started < 5


def test_the_own_policy_of_a_namespace_holds_there_alone() -> None:
    own = policy('[packages]\ndenied = ["a"]', OWN, namespace="team", source="database", version=3)
    assert own.holds_in("team")
    assert not own.holds_in("team-b")
    assert not own.holds_in(None)
    assert own.namespaces == ("team",)
    with pytest.raises(PolicyTextInvalid, match="line 1, namespaces: a namespace's own policy"):
        policy('namespaces = ["other"]', OWN, namespace="team")


def test_globs_say_where_a_policy_holds_and_only_a_star_means_what_has_no_namespace() -> None:
    teams = policy('namespaces = ["team-*", "Bio"]')
    assert [teams.holds_in(one) for one in ("team-a", "bio", "other", None)] == [
        *(True, True),
        *(False, False),
    ]
    assert policy('namespaces = ["x", "**"]').holds_in(None)
    assert policy("").holds_in(None)


@pytest.mark.parametrize("name", ["own", "", "a b", "a/b", ".x", "x" * 65, "ä", "a\n"])
def test_names_that_an_address_or_a_sentence_cannot_bear_are_refused(name: str) -> None:
    assert not is_policy_name(name)
    with pytest.raises(PolicyTextInvalid, match="is no name of a policy"):
        read_policy(name, "")


def test_a_text_that_differs_is_another_policy() -> None:
    assert policy("") == policy("")
    assert policy("") != policy("# x")
    assert policy("").digest != policy("# x").digest
    assert len({policy(EVERYTHING), policy(EVERYTHING)}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "python=3.11.*=*_cpython",
        "python =3.11",
        "py*-x=3.11.*=*_cpython",
        "python[version='>=3.9,=3.11',build='a*']",
        "numpy[version='~=1.4|==2.0',build=x]",
        "conda-forge::blas=*=*mkl",
        "numpy~=1.26",
        "a >=1,<2|>3",
        "acme::Evil-*>=2",
        "*",
        "pkg[build=x]",
    ],
)
def test_a_spec_means_the_same_when_it_is_read_again(text: str) -> None:
    canonical = canonical_spec(text)
    assert canonical_spec(canonical) == canonical
    PackagePattern(canonical)


def test_a_build_beside_a_prefix_of_a_version_stays_a_prefix() -> None:
    # "python =3.11 *_cpython" would be 3.11 alone, and 3.11.7 not denied.
    assert canonical_spec("python=3.11.*=*_cpython") == "python 3.11.* *_cpython"


def test_durations_and_sizes_are_bounded() -> None:
    assert parse_duration("1 hour") == 3600
    assert parse_size("0.5KiB") == 512
    for text in ("0 days", "4000 days", "-1 day", "1.5 days", "\u0663 days", "7 days ago", ""):
        with pytest.raises(ValueError, match="is not"):
            parse_duration(text)
    for text in ("0 B", "5", "GB", "-1 B", "1e9 B", "\u0661 GB"):
        with pytest.raises(ValueError, match="is not"):
            parse_size(text)
    assert datetime.timedelta(seconds=parse_duration("520 weeks")).days == 3640


def test_the_examples_of_the_documentation_are_read() -> None:
    blocks = re.findall(r"```(toml|yaml)\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    policies = [policy(text) for kind, text in blocks if kind == "toml"]
    assert len(policies) >= 2
    whole = max(policies, key=lambda one: len(one.text))
    known = set(PolicyDocument.model_fields)
    assert set(tomllib.loads(whole.text)) == known
    for name in known:
        table = getattr(whole.document, name)
        if isinstance(table, BaseModel):
            shown = {field.alias or key for key, field in type(table).model_fields.items()}
            assert set(tomllib.loads(whole.text)[name]) == shown
    (advisory,) = [
        one
        for kind, text in blocks
        if kind == "yaml" and "affected:" in text
        for one in parse_advisories("a.yaml", text.encode())
    ]
    assert (advisory.severity, advisory.affected[0].name) == ("high", "libfoo")


def test_a_licence_is_said_as_packages_have_it() -> None:
    said = policy('[licences]\ndenied = ["GPL-3.0", "GPL-2.0+", "mit", "LicenseRef-Acme"]')
    assert said.sentences()[0] == (
        "Packages do not have the licence GPL-3.0-only, GPL-2.0-or-later, MIT or LicenseRef-Acme."
    )
