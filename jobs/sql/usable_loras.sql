-- The LoRAs that a guild may use, and whether its members may choose them. Parameter: guild.
SELECT slug, name, family, default_weight, max_weight, trigger_words, adult,
       EXISTS (SELECT 1 FROM guilds_guild_loras_offered o
               WHERE o.guild_id = %(guild)s AND o.adapter_id = a.id) AS is_offered
FROM guilds_adapter a
WHERE enabled AND (
  NOT EXISTS (SELECT 1 FROM guilds_adapter_guilds g WHERE g.adapter_id = a.id)
  OR EXISTS (SELECT 1 FROM guilds_adapter_guilds g WHERE g.adapter_id = a.id AND g.guild_id = %(guild)s))
ORDER BY slug
