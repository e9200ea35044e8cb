-- What is ahead of a job, as the fields of wait_estimate.Backlog but `active`. Parameters: the job's guild and user; before
-- and before_id, its time of queueing and its id, or infinite for a new job; alive, since when a worker must have reported;
-- now and far (jobs/relaxed.py): relaxed jobs that wait are before no other.
SELECT json_build_object(
  'queued', (SELECT count(*) FROM jobs_job WHERE status = 'queued' AND queued_at < %(before)s::timestamptz),
  'running', (SELECT count(*) FROM jobs_job WHERE status = 'running'),
  'waiting', (SELECT coalesce(sum(least(n, CASE WHEN user_id = %(user)s THEN mine ELSE round END)), 0) FROM
     (SELECT user_id, n, mine, 1 + sum(mine) OVER () AS round FROM
        (SELECT user_id, count(*) AS n, count(*) FILTER (WHERE user_id = %(user)s AND id < %(before_id)s) AS mine
         FROM jobs_job WHERE guild_id = %(guild)s AND status = 'waiting'
           AND (due_at > %(now)s AND due_at <= %(far)s) IS NOT TRUE GROUP BY user_id) m) t),
  'workers', (SELECT count(*) FROM jobs_worker WHERE seen_at > %(alive)s AND state IN ('ready', 'busy')),
  'seconds', times.seconds,
  'gpu_s', times.gpu_s,
  'asked_s', (SELECT extract(epoch FROM %(now)s - min(queued_at)) FROM jobs_job WHERE status = 'queued'),
  'starts', (SELECT coalesce(json_agg(asked), '[]') FROM
     (SELECT (startup->>'asked')::float AS asked FROM jobs_worker WHERE startup ? 'asked'
      ORDER BY started_at DESC LIMIT 20) s))
FROM (SELECT avg(extract(epoch FROM ended_at - started_at)) AS seconds,
             avg(gpu_ms) FILTER (WHERE gpu_ms > 0) / 1000 AS gpu_s FROM
  (SELECT ended_at, started_at, gpu_ms FROM jobs_job WHERE status = 'completed' ORDER BY id DESC LIMIT 20) r) times
