-- The waiting jobs of a guild that start next. Members take turns: in each round every member's next job, the member
-- who was served longest ago first. Relaxed jobs take turns once they are due. Parameters: guild; slots is how many;
-- now and far (jobs/relaxed.py).
SELECT waiting.id, waiting.user_id FROM (
  SELECT id, user_id, row_number() OVER (PARTITION BY user_id ORDER BY id) AS round
  FROM jobs_job WHERE guild_id = %(guild)s AND status = 'waiting'
    AND (due_at IS NULL OR due_at <= %(now)s OR due_at > %(far)s)
) AS waiting
LEFT JOIN jobs_memberturn t ON t.guild_id = %(guild)s AND t.user_id = waiting.user_id
ORDER BY waiting.round, t.served_at NULLS FIRST, waiting.id
LIMIT %(slots)s
