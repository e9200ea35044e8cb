-- Remembers the names of the members who made requests since `since`, for lists that are searched by name.
INSERT INTO guilds_guildmember (guild_id, user_id, name, avatar)
SELECT DISTINCT ON (guild_id, user_id) guild_id, user_id, member_name, '' FROM jobs_job
WHERE created_at >= %(since)s AND member_name <> '' AND erasure = '' ORDER BY guild_id, user_id, id DESC
ON CONFLICT (guild_id, user_id) DO UPDATE SET name = excluded.name
WHERE guilds_guildmember.name <> excluded.name
