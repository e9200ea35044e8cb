"""The people of the admin's tests are those of these."""

from tests.admin.conftest import guild_a, guild_b, moderator_a, nobody, operator

__all__ = ["guild_a", "guild_b", "moderator_a", "nobody", "operator"]
