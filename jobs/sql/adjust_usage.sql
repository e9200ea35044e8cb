-- Adds to usage counters; never below zero. Parameters: ids of the counters; pictures and gpu_ms may be negative.
UPDATE guilds_usage SET pictures = greatest(0, pictures + %(pictures)s), gpu_ms = greatest(0, gpu_ms + %(gpu_ms)s)
WHERE id = ANY(%(ids)s)
