-- Records when a member was last served. Parameters: guild, user, at.
INSERT INTO jobs_memberturn (guild_id, user_id, served_at) VALUES (%(guild)s, %(user)s, %(at)s)
ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
