-- Relaxed jobs that an idle worker can take: of each guild the one that is due first, then the second, and so on. None
-- while a job is queued. Parameters: now and far (jobs/relaxed.py), most. The index job_open covers waiting jobs.
SELECT id, guild_id FROM (
  SELECT id, guild_id, due_at, row_number() OVER (PARTITION BY guild_id ORDER BY due_at, id) AS round
  FROM jobs_job WHERE status = 'waiting' AND due_at > %(now)s AND due_at <= %(far)s
) AS waiting
WHERE NOT EXISTS (SELECT 1 FROM jobs_job WHERE status = 'queued')
ORDER BY round, due_at, id
LIMIT %(most)s
