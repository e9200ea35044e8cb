-- The oldest jobs of each guild that still hold words past the guild's retention, the most overdue first. The index
-- job_holds_words keeps this independent of the history's length. The days stay within the range of intervals.
-- Parameters: now; left, before which a guild must have left to keep nothing; open, the open statuses; seen, jobs to
-- leave out; of_a_guild, how many of each guild; most, how many in all.
SELECT job.id, guild.id FROM (
  SELECT id, %(now)s - make_interval(days => CASE
    WHEN left_at < %(left)s THEN 0 ELSE least(greatest(retention_days, 0), 36500) END) AS before
  FROM guilds_guild
) AS guild CROSS JOIN LATERAL (
  SELECT id, created_at FROM jobs_job
  WHERE guild_id = guild.id AND prompt <> '' AND erasure = '' AND created_at < guild.before AND status <> ALL(%(open)s)
    AND id <> ALL(%(seen)s)
  ORDER BY created_at LIMIT %(of_a_guild)s
) AS job ORDER BY job.created_at - guild.before LIMIT %(most)s
