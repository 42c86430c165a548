"""What has to be done again and again, whether anybody asks or not.

::

    collect    every hour      take away what was pushed and is needed no more, and of the cache
                               what is over its budget
    renew      before expiry   make ``latest`` new of what was pulled lately: nobody waits for it
    prewarm    as renew        make the images of a list of references
    scrub      if set          read the store, a 256th at a time, and take out what is damaged

    refresh    as expiry       fetch the channels' indexes: every process that solves, by itself

A server without workers does all of it itself (:func:`registry.maintenance.periodic.run_forever`). With
workers, Celery's beat has each done in its time by whichever is free, after everything that
somebody waits for (``pullforge beat``).
"""
