-- Counts completed jobs by hour and by how long they waited and took in all, in buckets whose bounds grow by a factor.
-- Parameters: hour, where to start; first, the first bucket's bound in seconds; factor; last, the last bucket.
INSERT INTO jobs_latencybucket (starts_at, kind, bucket, jobs)
SELECT at, kind, least(greatest(ceil(ln(greatest(seconds, 0.001) / %(first)s) / ln(%(factor)s)), 0), %(last)s), count(*)
FROM (
  SELECT date_trunc('hour', ended_at, 'UTC') AS at, spent.kind, spent.seconds
  FROM jobs_job, LATERAL (VALUES ('wait', extract(epoch FROM started_at - created_at)),
                                 ('total', extract(epoch FROM ended_at - created_at))) AS spent(kind, seconds)
  WHERE ended_at >= %(hour)s AND status = 'completed' AND started_at IS NOT NULL
) AS measured GROUP BY 1, 2, 3
