import json

import pytest

from builder.rules.licences import Verdict, spdx, verdict
from builder.rules.model import Author, LicenceRule
from tests.made_by_others import made_by_others

COMPANY = Author("company")
NO_GPL = LicenceRule(COMPANY, denied=("GPL-3.0-*", "AGPL-*"))
ONLY_FREE = LicenceRule(COMPANY, allowed=("MIT", "BSD-*", "Apache-2.0"))


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", Verdict.ALLOWED),
        ("GPL-3.0-only", Verdict.DENIED),
        ("gpl-3.0-OR-LATER", Verdict.DENIED),
        ("GPL-3.0", Verdict.DENIED),
        ("GPL-3.0+", Verdict.DENIED),
        ("GPL-2.0-or-later", Verdict.ALLOWED),
        ("LGPL-3.0-or-later", Verdict.ALLOWED),
        ("AGPL-3.0-only", Verdict.DENIED),
        ("MIT OR GPL-3.0-only", Verdict.ALLOWED),
        ("MIT AND GPL-3.0-only", Verdict.DENIED),
        ("MIT AND (BSD-3-Clause OR GPL-3.0-only)", Verdict.ALLOWED),
        ("(MIT AND GPL-3.0-only) OR AGPL-3.0-only", Verdict.DENIED),
        ("MIT OR GPL-3.0-only AND AGPL-3.0-only", Verdict.ALLOWED),
        ("GPL-3.0-only WITH GCC-exception-3.1", Verdict.ALLOWED),
        ("GPL-3.0-only WITH GCC-exception-3.1 AND GPL-3.0-only", Verdict.DENIED),
        ("", Verdict.UNKNOWN),
        ("None", Verdict.UNKNOWN),
        ("NOASSERTION", Verdict.UNKNOWN),
        ("GPL", Verdict.UNKNOWN),
        ("Custom", Verdict.UNKNOWN),
        ("LicenseRef-Proprietary", Verdict.UNKNOWN),
        ("MIT OR LicenseRef-Proprietary", Verdict.ALLOWED),
        ("MIT AND LicenseRef-Proprietary", Verdict.UNKNOWN),
        ("GPL-3.0-only AND LicenseRef-Proprietary", Verdict.DENIED),
        ("MIT WITH nonsense", Verdict.UNKNOWN),
        ("MIT AND", Verdict.UNKNOWN),
    ],
)
def test_an_expression_is_held_against_denied_licences_as_it_is_meant(
    licence: str, expected: Verdict
) -> None:
    assert verdict(licence, NO_GPL)[0] is expected


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", Verdict.ALLOWED),
        ("BSD-3-Clause", Verdict.ALLOWED),
        ("Apache-2.0 WITH LLVM-exception", Verdict.ALLOWED),
        ("Apache-2.0+", Verdict.ALLOWED),
        ("MPL-2.0", Verdict.DENIED),
        ("MPL-2.0 OR MIT", Verdict.ALLOWED),
        ("MPL-2.0 AND MIT", Verdict.DENIED),
        ("LicenseRef-Public-Domain", Verdict.UNKNOWN),
    ],
)
def test_where_licences_are_allowed_no_other_is(licence: str, expected: Verdict) -> None:
    assert verdict(licence, ONLY_FREE)[0] is expected


def test_an_exception_is_denied_by_its_name_and_a_custom_licence_allowed_by_it() -> None:
    rule = LicenceRule(
        COMPANY, allowed=("LicenseRef-acme-*", "GPL-*"), denied=("GPL-* WITH Bison-*",)
    )
    assert verdict("GPL-3.0-only WITH Bison-exception-2.2", rule)[0] is Verdict.DENIED
    assert verdict("GPL-3.0-only WITH GCC-exception-3.1", rule)[0] is Verdict.ALLOWED
    assert verdict("LicenseRef-acme-1", rule)[0] is Verdict.ALLOWED


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("BSD_3_clause", "BSD-3-Clause"),
        ("GPL 3", "GPL-3.0-only"),
        ("GPL3", "GPL-3.0-only"),
        ("GPLv3+", "GPL-3.0-or-later"),
        ("LGPL 2.1", "LGPL-2.1-only"),
        ("GPL (>= 2)", "GPL-2.0-or-later"),
        ("GPL-2 | GPL-3", "GPL-2.0-only OR GPL-3.0-only"),
        ("GPL (>= 2) | MIT + file LICENCE", "GPL-2.0-or-later OR MIT"),
        ("MIT + file LICENSE", "MIT"),
        ("Artistic-2.0", "Artistic-2.0"),
        ("PSF", "PSF-2.0"),
        ("Apache 2.0 or BSD 2-Clause", "Apache-2.0 OR BSD-2-Clause"),
        ("MIT License; BSD License", "MIT AND BSD-3-Clause"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("Public Domain", "LicenseRef-Public-Domain"),
        ("Free software (MIT-like)", ""),
        ("LGPL-2.0-or-later AND LGPL-2.0-or-later WITH exceptions AND MPL-2.0", ""),
        ("MIT | something", ""),
    ],
)
def test_old_names_are_understood_where_they_mean_one_licence(written: str, meant: str) -> None:
    assert spdx(written) == meant


@pytest.mark.parametrize(
    "hostile",
    [
        "(" * 5000 + "MIT" + ")" * 5000,
        "(" * 90 + "MIT" + ")" * 90,
        "MIT OR " * 5000 + "MIT",
        "+ file LICENSE" * 60,
        "GPL " * 200,
        "\ud800",
        "MIT\x00",
        "spdx OR \u0130",
    ],
)
def test_what_no_recipe_writes_is_unknown_and_takes_no_time(hostile: str) -> None:
    assert verdict(hostile, NO_GPL)[0] is Verdict.UNKNOWN


def test_licences_of_conda_forge_are_known_but_for_words_that_mean_none() -> None:
    unknown = set()
    directory = made_by_others("real/repodata/conda-forge-subset")
    for path in sorted(directory.glob("*/repodata.json")):
        content = json.loads(path.read_bytes())
        for packages in (content["packages"], content["packages.conda"]):
            unknown |= {str(r.get("license")) for r in packages.values()}
    unknown = {licence for licence in unknown if not spdx(licence)}
    assert unknown == {
        "Apache-style (http://www.openssl.org/source/license.html)",
        "Custom",
        "Free software (MIT-like License)",
        "Free software (MIT-like)",
        "GPL",
        "LGPL-2.0-or-later AND LGPL-2.0-or-later WITH exceptions AND GPL-2.0-or-later AND MPL-2.0",
        "MIT/X derivate (http://curl.haxx.se/docs/copyright.html)",
        "NetBSD",
        "None",
        "Public-Domain (http://www.sqlite.org/copyright.html)",
        "bzip2",
        "zlib (http://zlib.net/zlib_license.html)",
    }
