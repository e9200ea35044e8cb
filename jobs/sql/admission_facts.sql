-- Everything that admission decides by, in one round trip. Every part is an index look-up; none grows with the history.
-- {backlog} is the query of that name. Parameters: its own; interaction, style, now, erased_user (the member's
-- pseudonym), guild_key (the guild's pseudonym), month; windows and starts, the open quota windows.
SELECT json_build_object(
  'existing', (SELECT id FROM jobs_job WHERE interaction_id = %(interaction)s),
  'platform', (SELECT json_build_object('maintenance', maintenance, 'notice', notice)
               FROM guilds_platform WHERE id = 1),
  'ban', (SELECT json_build_array(reason) FROM guilds_ban
          WHERE user_id = %(user)s AND (guild_id = %(guild)s OR guild_id IS NULL) AND (until IS NULL OR until > %(now)s)
          LIMIT 1),
  'terms', (SELECT json_agg(json_build_array(folded, phrase, nsfw, allowed, guild_id)) FROM (
              SELECT * FROM guilds_blockedterm WHERE guild_id = %(guild)s
              UNION ALL SELECT * FROM guilds_blockedterm WHERE guild_id IS NULL) t),
  'models', (SELECT json_agg(model ORDER BY id) FROM (
               SELECT id, slug, name, default_steps, max_steps, default_guidance, default_sampler, sizes,
                      coalesce(learned_gpu_ms_per_step, gpu_ms_per_step) AS gpu_ms_per_step, is_default,
                      family, lora_family
               FROM guilds_modelprofile m
               WHERE enabled AND (
                 NOT EXISTS (SELECT 1 FROM guilds_guild_models_offered o WHERE o.guild_id = %(guild)s)
                 OR EXISTS (SELECT 1 FROM guilds_guild_models_offered o
                            WHERE o.guild_id = %(guild)s AND o.modelprofile_id = m.id))) model),
  -- The requested style, the server's own before one of all servers, then others for the refusal of an unknown one.
  'styles', (SELECT json_agg(s) FROM (
               SELECT slug, template, negative_prompt, loras FROM guilds_stylepreset
               WHERE %(style)s <> '' AND (guild_id = %(guild)s OR guild_id IS NULL) AND enabled
               ORDER BY slug <> %(style)s, CASE WHEN slug = %(style)s THEN guild_id END, slug LIMIT 25) s),
  'quota', (SELECT json_agg(r) FROM (
              SELECT subject, role_id, role_name, channel_id, metric, "window", "limit" FROM guilds_quotarule
              WHERE guild_id = %(guild)s) r),
  -- OFFSET 0 keeps one look-up for each window; a join would read every counter that the guild ever had.
  'usage', (SELECT json_agg(c) FROM (
              SELECT used.subject_id, used."window", images, gpu_ms, granted_images, granted_gpu_ms
              FROM unnest(%(windows)s::text[], %(starts)s::timestamptz[]) AS open("window", starts_at)
              CROSS JOIN LATERAL (
                SELECT * FROM guilds_usage u
                WHERE u.guild_id = %(guild)s AND u.subject_id IN (0, %(user)s, %(erased_user)s)
                  AND u."window" = open."window" AND u.starts_at = open.starts_at
                OFFSET 0) used) c),
  'used_ms', (SELECT used_ms FROM guilds_gpuledger WHERE guild_key = %(guild_key)s AND month = %(month)s::date),
  'open', (SELECT json_build_object(
             'active', count(*) FILTER (WHERE NOT (waits OR lazy)),
             'waiting', count(*) FILTER (WHERE waits AND NOT lazy),
             'later', count(*) FILTER (WHERE waits AND lazy),
             'reserved_ms', coalesce(sum(reserved_gpu_ms) FILTER (WHERE images_stored_at IS NULL), 0),
             'mine', count(*) FILTER (WHERE waits AND NOT lazy AND user_id = %(user)s),
             'mine_later', count(*) FILTER (WHERE waits AND lazy AND user_id = %(user)s))
           FROM jobs_job, LATERAL (SELECT status = 'waiting' AS waits,
             (due_at > %(now)s AND due_at <= %(far)s) IS TRUE AS lazy) l
           WHERE guild_id = %(guild)s AND status IN ('waiting', 'queued', 'running')),
  'ahead', ({backlog})
)
