-- Deletes the latencies that are measured again. Parameter: hour, the start of the first.
DELETE FROM jobs_latencybucket WHERE starts_at >= %(hour)s
