"""Files that define environments: directories and repositories are looked at again and again.

::

    watcher        one task for each source of the catalog that this server has claimed
    source_task    looks at one source, and hands what is found to the catalog
    looking        what is to be done about a tree: trees, patterns and settling together
    settling       when a file that changes is to be read
    sniffing       whether a text looks like an environment, and whole
    trees          the port: which files a place has, and their bytes
    directories    a directory or file of this machine; walking: how it is looked at
    git            a branch of a repository; git_program: git, without settings of this machine
    nudges         tells that a directory may have changed, where the system tells it
    names          paths of files as what can be written down
    programs       a program is run to its end, within limits

Which file defines which environment is said by :mod:`registry.catalog.source_patterns`.
"""
