"""Fixtures shared with the tests of the admin."""

from tests.admin.conftest import guild_a, guild_b, moderator_a, nobody, operator

__all__ = ["guild_a", "guild_b", "moderator_a", "nobody", "operator"]
