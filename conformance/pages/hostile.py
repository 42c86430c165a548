"""What people write who mean harm, or whose language is another one, in all that is shown."""

from typing import Final

#: The element and the variable that are there if one of them was taken for more than text.
ELEMENT: Final = "hostile-x"
VARIABLE: Final = "hostile"

_MARKUP: Final = (
    f"<{ELEMENT}>&lt;b&gt;&amp;</textarea></title></script></style>--><script>{VARIABLE}=1</script>"
    f"<img src=x onerror={VARIABLE}=2><svg/onload={VARIABLE}=3>"
    f"\"' onfocus={VARIABLE}=4 autofocus x='"
    f"{{{{ 7*7 }}}}${{7*7}}{{% raw %}}javascript:{VARIABLE}=5"
)
_ARABIC: Final = "مرحبا بالعالم"
#: Turns what follows it around, if nothing keeps it apart.
_OVERRIDE: Final = "\u202eabc\u2066"

#: One line, of as many characters as names of tokens and packages may have.
LINE: Final = f"{_MARKUP[:140]}{_ARABIC}{_OVERRIDE}"
#: One without characters that cannot be seen: policies refuse those.
PRINTABLE_LINE: Final = f"{_MARKUP[:140]}{_ARABIC}"
#: Several lines, with a word that is longer than any page is wide.
TEXT: Final = f"{_MARKUP}\n{_ARABIC} {_OVERRIDE}\n{'w' * 400}"
#: As long as a description may be, without a blank.
LONG: Final = f"{_MARKUP}{'long' * 900}"
#: What names of namespaces and environments may have: no more than these.
NAME: Final = "Wetter & شمس ?a=b $x ~y+z@q"
SLUG: Final = "wetter-a-b-x-y-z-q"
