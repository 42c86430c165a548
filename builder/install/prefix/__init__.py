"""Environments as directories: packages are unpacked once, and prefixes are linked from them.

::

    installation   what one platform of a lock installs: all that making a prefix has to know
    unpack         the archive of a package, with its bytecode → an unpacked package
    unpacked_sink  where that is written to, and nowhere else
    unpacked       the directory of an unpacked package, and what ``package.json`` says of it
    rendering      files that name hashes of other files, written for one prefix
    link           unpacked packages → a prefix
    sharing        how a file of a package gets into a prefix: reflink, hard link or copy
    writing        files that are a prefix's own; their first lines: shebang
    syncing        waiting until all of it has reached the disk
    errors         why one cannot be made where it is to be
    running        a program in a prefix, activated

A tree is that of the image (:mod:`builder.install.assemble`) with another prefix: the same code
decides what is installed and where.
"""
