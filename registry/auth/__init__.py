"""Who may do what: users and robots, their rights and roles, and how they prove who they are.

::

    PolicyFile ──→ Policy           the auth file: who there is, which repositories are private
    follower ────→ Entitlements     the database, in memory: grants, groups, tokens
    Access ──→ Logins               name and password → Identity
           └─→ Tokens               Identity ⇄ bearer token

What one may do is the union of what ``Policy`` and ``Entitlements`` say, asked of ``Access``.
"""
