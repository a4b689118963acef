"""How alembic runs here: on the connection that it is given, in one transaction."""

from __future__ import annotations

from alembic import context

from bridge.store.postgres.link import VERSIONS

context.configure(connection=context.config.attributes["connection"], version_table=VERSIONS)
with context.begin_transaction():
    context.run_migrations()
