"""The adapters of PostgreSQL, as their own tests have them."""

from tests.adapters.postgres.conftest import store as store
