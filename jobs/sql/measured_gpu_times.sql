-- GPU times of recent completed jobs, newest first, at most 50 of a guild and model, so that no guild hides the others.
-- Only a job with one attempt has the GPU time of one attempt.
SELECT model_id, device, guild_id, gpu_ms, sampler, steps, guidance, width, height, count FROM (
  SELECT j.*, w.device, row_number() OVER (PARTITION BY j.guild_id, j.model_id ORDER BY j.id DESC) AS place
  FROM (SELECT * FROM jobs_job WHERE status = 'completed' ORDER BY id DESC LIMIT 3000) AS j
  LEFT JOIN jobs_worker w ON w.id = j.worker_id
  WHERE j.kind = 'txt2img' AND j.attempts = 1 AND j.gpu_ms > 0
) AS recent WHERE place <= 50
