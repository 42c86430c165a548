"""How bad a vulnerability is, of what advisories say: words, or vectors of CVSS.

Source:
    CVSS v2.0 section 3.2.1; CVSS v3.1 section 7.1; the scale of its section 5, which v4.0 shares.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from registry.policy.documents import SEVERITIES, Severity

#: What databases write beside the words of CVSS.
_WORDS: Final[Mapping[str, Severity]] = {
    **{word: word for word in SEVERITIES},
    "none": "low",
    "negligible": "low",
    "minor": "low",
    "moderate": "medium",
    "important": "high",
    "severe": "high",
    "urgent": "critical",
}
#: From where on a score is worse than the word before it.
_BOUNDS: Final[tuple[tuple[float, Severity], ...]] = (
    (9.0, "critical"),
    (7.0, "high"),
    (4.0, "medium"),
    (0.0, "low"),
)
_IMPACT: Final = {"H": 0.56, "L": 0.22, "N": 0.0}
_AV: Final = {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2}
_AC: Final = {"L": 0.77, "H": 0.44}
_UI: Final = {"N": 0.85, "R": 0.62}
_PR: Final = {"N": 0.85, "L": 0.62, "H": 0.27}
_PR_CHANGED: Final = {"N": 0.85, "L": 0.68, "H": 0.5}
_AV_2: Final = {"L": 0.395, "A": 0.646, "N": 1.0}
_AC_2: Final = {"H": 0.35, "M": 0.61, "L": 0.71}
_AU_2: Final = {"M": 0.45, "S": 0.56, "N": 0.704}
_IMPACT_2: Final = {"N": 0.0, "P": 0.275, "C": 0.660}
_MAX_LENGTH: Final = 500


def severity_of_word(word: object) -> Severity | None:
    """Return what a database's word means; ``None`` for what is no such word.

    >>> severity_of_word("MODERATE"), severity_of_word("unknown")
    ('medium', None)
    """
    return _WORDS.get(word.strip().lower()) if isinstance(word, str) else None


def severity_of_vector(vector: str) -> Severity | None:
    """Return the severity of a vector of CVSS, or of a score; ``None`` for what is neither.

    >>> severity_of_vector("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    'critical'
    >>> severity_of_vector("7.5"), severity_of_vector("AV:N/AC:M/Au:N/C:P/I:N/A:N")
    ('high', 'medium')
    """
    score = score_of(vector[:_MAX_LENGTH])
    if score is None:
        return None
    return next(word for bound, word in _BOUNDS if score >= bound)


def worst(severities: Iterable[Severity | None]) -> Severity | None:
    """Return the worst of those that are known.

    >>> worst(["low", None, "high"]), worst([None])
    ('high', None)
    """
    known = [SEVERITIES.index(one) for one in severities if one is not None]
    return SEVERITIES[max(known)] if known else None


def score_of(vector: str) -> float | None:
    """Return the base score, 0 to 10, of a vector; ``None`` for what is none.

    Vectors of CVSS 4.0 are taken for those of 3.1 that say the same: its own scores are a table of
    270 values, which differ by less than a word in most cases.
    """
    text = vector.strip()
    prefix, _, rest = text.partition("/")
    metrics = dict(part.partition(":")[::2] for part in (rest or "").split("/") if part)
    try:
        if prefix.startswith("CVSS:3."):
            return _score_3(metrics)
        if prefix.startswith("CVSS:4."):
            return _score_3(_as_3(metrics))
        if "Au:" in text:
            text = text.removeprefix("CVSS2#").removeprefix("CVSS:2.0/").strip("()")
            return _score_2(dict(part.partition(":")[::2] for part in text.split("/")))
        score = float(text)
    except (KeyError, ValueError):
        return None
    return score if 0 <= score <= 10 else None


def _score_3(metrics: Mapping[str, str]) -> float:
    confidentiality, integrity, availability = (_IMPACT[metrics[name]] for name in "CIA")
    lost = 1 - (1 - confidentiality) * (1 - integrity) * (1 - availability)
    is_changed = {"C": True, "U": False}[metrics["S"]]
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if is_changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    rights = (_PR_CHANGED if is_changed else _PR)[metrics["PR"]]
    ease = 8.22 * _AV[metrics["AV"]] * _AC[metrics["AC"]] * rights * _UI[metrics["UI"]]
    return _rounded_up(min((impact + ease) * (1.08 if is_changed else 1), 10))


def _rounded_up(score: float) -> float:
    """Return what is not less, with one digit; appendix A of 3.1 says why not by ``ceil`` alone."""
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


def _as_3(metrics: Mapping[str, str]) -> dict[str, str]:
    """Return the metrics of 3.1 for those of 4.0."""
    beyond = {metrics.get(name, "N") for name in ("SC", "SI", "SA")}
    is_hard = metrics["AC"] == "H" or metrics.get("AT") == "P"
    return {
        "AV": metrics["AV"],
        "AC": "H" if is_hard else "L",
        "PR": metrics["PR"],
        "UI": "N" if metrics["UI"] == "N" else "R",
        "S": "U" if beyond == {"N"} else "C",
        **{name: metrics[f"V{name}"] for name in "CIA"},
    }


def _score_2(metrics: Mapping[str, str]) -> float:
    lost = [_IMPACT_2[metrics[name]] for name in "CIA"]
    impact = 10.41 * (1 - (1 - lost[0]) * (1 - lost[1]) * (1 - lost[2]))
    ease = 20 * _AV_2[metrics["AV"]] * _AC_2[metrics["AC"]] * _AU_2[metrics["Au"]]
    return round((0.6 * impact + 0.4 * ease - 1.5) * (1.176 if impact else 0), 1)
