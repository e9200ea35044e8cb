-- Inserts a job with its reserved usage, its first events and its member's turn. PostgreSQL checks foreign keys at the
-- commit. {columns} and {values} are those of jobs_job. Parameters: the job's own columns; subjects, channels,
-- windows and starts, its usage counters; kinds and old_statuses, its events.
WITH usage AS (
  INSERT INTO guilds_usage AS u (guild_id, subject_id, channel_id, "window", starts_at, images, gpu_ms,
                                 granted_images, granted_gpu_ms)
  SELECT %(guild_id)s::bigint, counter.subject_id, counter.channel_id, counter."window", counter.starts_at,
         %(reserved_images)s::bigint, %(reserved_gpu_ms)s::bigint, 0, 0
  FROM unnest(%(subjects)s::bigint[], %(channels)s::bigint[], %(windows)s::text[], %(starts)s::timestamptz[])
         AS counter(subject_id, channel_id, "window", starts_at)
  ON CONFLICT (guild_id, subject_id, "window", starts_at)
    DO UPDATE SET images = u.images + excluded.images, gpu_ms = u.gpu_ms + excluded.gpu_ms
  RETURNING u.id
), job AS (
  INSERT INTO jobs_job ({columns})
  VALUES ({values})
  RETURNING id, usage_ids
), events AS (
  INSERT INTO jobs_jobevent (job_id, at, kind, old_status, detail)
  SELECT job.id, %(created_at)s::timestamptz, e.kind, e.old_status, '{}'
  FROM job, unnest(%(kinds)s::text[], %(old_statuses)s::text[]) WITH ORDINALITY AS e(kind, old_status, place)
  ORDER BY e.place
), turn AS (
  INSERT INTO jobs_memberturn (guild_id, user_id, served_at)
  SELECT %(guild_id)s::bigint, %(user_id)s::bigint, %(queued_at)s::timestamptz
  WHERE %(queued_at)s::timestamptz IS NOT NULL
  ON CONFLICT (guild_id, user_id) DO UPDATE SET served_at = excluded.served_at
)
SELECT id, usage_ids FROM job
