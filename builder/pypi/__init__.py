"""Requirements for PyPI, resolved to exact wheels beside what conda installs.

::

    target       the Python and platform that wheels must fit
    stubs        what conda installs, as wheels that uv takes for granted
    limits       what rules leave out of an index
    uv           uv, run with nothing of this machine's configuration
    pylock       uv's answer as wheel records
    explain      uv's refusals as one sentence
    resolution   all of it: requirements → wheel records

uv is told everything that decides the answer. It reads metadata of wheels and runs nothing of any
package: what is not a wheel is refused.
"""

from builder.pypi.limits import ProjectLimits
from builder.pypi.resolution import Provided, Pypi
from builder.pypi.target import Target
from builder.pypi.uv import Uv

__all__ = ["ProjectLimits", "Provided", "Pypi", "Target", "Uv"]
