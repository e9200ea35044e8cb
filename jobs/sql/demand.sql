-- The fields of scaling.Demand: runnable jobs, relaxed jobs that are not due, accepted prompt jobs in the short and in the
-- long window, the newest of them. Parameters: short and long, the starts of the windows; now and far
-- (jobs/relaxed.py). A relaxed job that is due waits for its turn, and a worker must come for it.
SELECT open.runnable, open.relaxed, lately.short, lately.long, lately.newest FROM (
  SELECT count(*) FILTER (WHERE (takes_turns AND (status <> 'waiting' OR due_at IS NOT NULL)) OR status = 'running') AS runnable,
         count(*) FILTER (WHERE NOT takes_turns AND status <> 'running') AS relaxed
  FROM (SELECT status, due_at, due_at IS NULL OR due_at <= %(now)s OR due_at > %(far)s AS takes_turns
        FROM jobs_job WHERE status IN ('queued', 'running')
        UNION ALL
        SELECT status, due_at, due_at <= %(now)s OR due_at > %(far)s
        FROM jobs_job WHERE status = 'waiting' AND due_at IS NOT NULL) AS job
) AS open, (
  SELECT count(*) FILTER (WHERE created_at > %(short)s) AS short, count(*) AS long, max(created_at) AS newest
  FROM jobs_job WHERE created_at > %(long)s AND status <> 'refused' AND due_at IS NULL
) AS lately
