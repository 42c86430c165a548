"""What the catalog says, as directories: a root is kept equal to it.

::

    following      again and again, as soon as something changes
    opening        what keeps a root, put together
    reconciling    one pass after another; passing: what a pass does, planning: what it decides
    wanted         what is to be there: versions that the caller may see, as the server tells
    layout         which path a version and its build have: templates and presets
    server         the port: what is asked of a server
    root           whose a root is, and how it is kept; locking: who may change it now
    seen           what is there: links, and whatever is where builds may be
    links          links are made, switched and removed; exchange: directories change places
    packages       unpacked packages, shared by all prefixes of a root; borrowing: of another root
    drivers        how a build is made at a path: hardlink, squashfs; mounting, programs
    removing       what nobody wants goes, beside everything else
    recording      what is written down for later; made: sizes, and what a root has made
    finding        where a prefix is, for programs that are to start in it; activating: how they do
    kernels        Jupyter kernels of the environments
    status         how it stands: lag, bytes, errors; metrics
    room           what errors of the system mean; threads, whole_files: how files are worked with

State is looked at, not remembered: what was done by hand, killed or half made is mended by the next
pass.
"""
