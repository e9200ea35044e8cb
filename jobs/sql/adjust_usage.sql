-- Adds to usage counters; never below zero. Parameters: ids of the counters; images and gpu_ms may be negative.
UPDATE guilds_usage SET images = greatest(0, images + %(images)s), gpu_ms = greatest(0, gpu_ms + %(gpu_ms)s)
WHERE id = ANY(%(ids)s)
