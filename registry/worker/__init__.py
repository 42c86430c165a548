"""``pullforge worker``: carries out what servers order.

::

    pullforge worker                supervises, and answers /metrics
    ├─ role builds                  one process: solves, plans, waits for layers; threads that share
    │                               an event loop
    └─ role layers                  a process for each core: one layer at a time, each within limits
                                    of memory and time, and replaced when it ends before its time

Two roles, so that builds, which wait for layers, never take the place of what they wait for.

    role         Celery's worker for one role
    handlers     what each role can do, put together from the settings
    beat         sends periodic jobs in their time
    loop_thread  an event loop in a thread, where Celery's threads and processes have work done
    strategy     what is taken from the broker: bounded before it is read
    supervise    one role or both
    threads      computation in processes that do one thing at a time
"""
