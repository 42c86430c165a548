"""From a spec to exact packages: the one place that knows py-rattler.

::

    solver      solve a spec for each of its platforms
    names       the names of all packages, kept in memory
    process     processes that read indexes within limits, from outside
    child       such a process, from inside
    cache       the directory that it keeps indexes in
    questions   what it is asked: names, versions, packages, solutions
    match_spec  a match spec as a requirement, and back
    records     rattler's records as ours
    repodata    what channels offer: kept, renewed, asked again when a channel is down
    failures    rattler's exceptions as ours, in one table
    explain     rattler's trees of conflicts as one sentence
"""

from builder.solve.match_spec import parse_match_spec
from builder.solve.solver import Solution, Solver

__all__ = ["Solution", "Solver", "parse_match_spec"]
