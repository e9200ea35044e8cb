-- Deletes the counts that are made again. Parameters: hour and day, the starts of the first of each.
DELETE FROM jobs_jobrollup WHERE (guild_id IS NULL AND starts_at >= %(hour)s)
                          OR (guild_id IS NOT NULL AND starts_at >= %(day)s)
