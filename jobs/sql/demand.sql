-- The fields of scaling.Demand: runnable jobs, accepted jobs in the short and in the long window, the newest of them.
-- Parameters: short and long, the starts of the windows.
SELECT (SELECT count(*) FROM jobs_job WHERE status IN ('queued', 'running')),
       count(*) FILTER (WHERE created_at > %(short)s), count(*), max(created_at)
FROM jobs_job WHERE created_at > %(long)s AND status <> 'refused'
