"""Puts the service together from its settings: the one place that chooses drivers.

::

    policy       what holds for builds, as the files of policies and advisories say it
    rules        by which rules things are built here, and which builds nobody may have
    services     everything the faces of a server need
    sources      what answers for images that are built here
    database     where the database is
    catalog      namespaces, environments, and who follows and works for them
    login        where people log in with a browser
    conda_store  where conda-store's wire is, for its clients
    schedule     which periodic jobs there are
    workers      what has work done by workers elsewhere
    building     what turns names into images, with or without a server around it
    network      where a builder may connect to, and how rattler and uv get out
    stores       where everything is kept
"""
