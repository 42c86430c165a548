"""Who may do what: users and robot tokens, their rights, and how they prove who they are.

::

    PolicyFile ──→ Policy           who there is, and which repositories are private
    Access ──→ Logins               name and password → Identity
           └─→ Tokens               Identity ⇄ bearer token

Other sources of identities or rights (roles, single sign-on) are other makers of a ``Policy``.
"""
