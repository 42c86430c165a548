"""What policies come to for a build: rules, and what keeps or breaks them.

::

    model      rules as data
    candidate  a package as rules look at it
    match_spec a match spec as a requirement
    versions   versions as conda and PyPI compare them
    matching   match specs and requirements of rules
    licences   expressions of SPDX, and what channels write instead
    affecting  whether an advisory is about a package
    bases      base images that are allowed
    checks     one check for each rule
    judging    what of a package, and of a lock, breaks rules
    judges     judges, kept by their rules
    violation  one broken rule in words
    applying   a specification as rules let it be solved
"""
