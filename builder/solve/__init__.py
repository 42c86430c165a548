"""From a spec to exact packages: the one place that knows py-rattler.

::

    solver      solve a spec for each of its platforms
    names       the names of all packages, kept in memory
    process     processes that read indexes within limits, from outside
    child       such a process, from inside
    cache       the directory that it keeps indexes in
    questions   what it is asked: names, versions, packages, solutions
    releases    the versions of one package, with what is known of each
    match_spec  a requirement as rattler's match spec
    records     rattler's records as ours
    repodata    what channels offer: kept, renewed, asked again when a channel is down
    filtering   what rules leave out of them, and how the solver is told
    filtered    what it is told
    offered     a record as a judge reads it
    blame       which rule is in the way, where nothing fits by rules
    failures    rattler's exceptions as ours, in one table
    explain     rattler's trees of conflicts as one sentence
"""

from builder.solve.releases import Release
from builder.solve.solver import Solution, Solver

__all__ = ["Release", "Solution", "Solver"]
