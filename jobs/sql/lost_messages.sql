-- Queued jobs whose message must be sent again, oldest first. A message counts as lost after lost_s seconds, the next
-- one after twice as long, and so on. A message that failed has no time of sending, and is due after failed_s.
-- Parameters: lost_s, failed_s, now; most is how many. The index job_open covers all queued jobs.
SELECT id, guild_id FROM (
  SELECT id, guild_id,
         coalesce(message_sent_at + make_interval(secs => %(lost_s)s * 2 ^ least(greatest(messages_sent - 1, 0), 5)),
                  queued_at + make_interval(secs => %(failed_s)s), created_at)
           AS due_at
  FROM jobs_job WHERE status = 'queued'
) AS queued WHERE due_at < %(now)s ORDER BY due_at, id LIMIT %(most)s
