"""Work on several machines: Celery sends tasks, Redis keeps their state.

::

    server                         Redis                            worker
    TaskClient.run(solve, <spec digest>)
      │ snapshot ──────────────→  ended:<task>    outcome? take it
      │                           running:<task>  somebody is at it? wait
      │ neither: send ──→ asked:<task> ──→ Celery's broker ──→ carry out
      │                           running:<task> ←─ lock, renewed while it lasts ─┤
      │ wake ←── channel ──────── progress:<task> ←───────────────────────────────┤
      └ outcome ←─ wake ───────── ended:<task> ←──────────────────────────────────┘

A task is named by what it makes (``layer-<layer key>-zstd``), so whoever wants the same waits for
the same task, on whatever machine. The loss of a message, a worker or all of Redis loses no task:
clients look every two seconds and send again what is neither running nor was sent lately. Tasks
are idempotent and look into the store first, so a message that comes twice does no harm.

    types         what there is to do, with what it takes and gives as JSON
    state         what Redis knows of each task
    queue         Celery's application, and how messages are sent
    client        sending, sending again, and waiting
    executor      solves, builds and layers as tasks
    runner        carries out a message on a worker
    cancellation  ending what runs beside something else
    connection    Redis and the broker
"""
