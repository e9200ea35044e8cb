-- Counts ended jobs: of all guilds by the hour, of each guild by the (UTC) day. Parameters: hour and day, where to
-- start.
INSERT INTO jobs_jobrollup (guild_id, starts_at, status, reason, jobs, images, gpu_ms)
SELECT NULL, date_trunc('hour', ended_at, 'UTC') AS at, status, reason, count(*),
       coalesce(sum(count) FILTER (WHERE status = 'completed'), 0), sum(gpu_ms)
FROM jobs_job WHERE ended_at >= %(hour)s GROUP BY at, status, reason
UNION ALL
SELECT guild_id, date_trunc('day', ended_at, 'UTC') AS at, status, reason, count(*),
       coalesce(sum(count) FILTER (WHERE status = 'completed'), 0), sum(gpu_ms)
FROM jobs_job WHERE ended_at >= %(day)s GROUP BY guild_id, at, status, reason
