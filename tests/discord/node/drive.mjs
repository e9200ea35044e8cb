// Drives a Discord API with discord.js's REST client, as a bot would: node drive.mjs BASE TOKEN APPLICATION CHANNEL
import { ActionRowBuilder, ButtonBuilder, ContextMenuCommandBuilder, EmbedBuilder, SlashCommandBuilder } from '@discordjs/builders';
import { REST } from '@discordjs/rest';

const [base, token, application, channel] = process.argv.slice(2);
const rest = new REST({ api: base, version: '10', retries: 3 }).setToken(token);
let limited = 0;
rest.on('rateLimited', () => (limited += 1));

const commands = [
  new SlashCommandBuilder()
    .setName('paint')
    .setDescription('Paint')
    .setNameLocalizations({ de: 'malen', th: 'วาด' })
    .addStringOption((option) => option.setName('words').setDescription('What').setRequired(true).setMaxLength(50))
    .addIntegerOption((option) => option.setName('count').setDescription('How many').setMinValue(1).setMaxValue(4)),
  new SlashCommandBuilder()
    .setName('admin')
    .setDescription('Admin')
    .addSubcommand((sub) => sub.setName('show').setDescription('Show')),
  new ContextMenuCommandBuilder().setName('Remix this').setType(3),
];
const registered = await rest.put(`/applications/${application}/commands`, { body: commands.map((each) => each.toJSON()) });

const embed = new EmbedBuilder().setTitle('Title').setDescription('Text').addFields({ name: 'n', value: 'v' }).setColor(0x5865f2);
const row = new ActionRowBuilder().addComponents(new ButtonBuilder().setCustomId('go').setLabel('Go').setStyle(1));
const posted = await rest.post(`/channels/${channel}/messages`, {
  body: { content: 'first', embeds: [embed.toJSON()], components: [row.toJSON()], allowed_mentions: { parse: [] } },
});
const edited = await rest.patch(`/channels/${channel}/messages/${posted.id}`, { body: { content: 'edited' } });
const uploaded = await rest.post(`/channels/${channel}/messages`, {
  body: { content: 'file', attachments: [{ id: 0, description: 'a text' }] },
  files: [{ data: Buffer.from('hello'), name: 'hello.txt', contentType: 'text/plain' }],
});
const several = await Promise.all(
  Array.from({ length: 8 }, (_, n) => rest.post(`/channels/${channel}/messages`, { body: { content: `n${n}` } })),
);
const seen = [];
for (let before = undefined; ; ) {
  const query = new URLSearchParams({ limit: '4', ...(before && { before }) });
  const page = await rest.get(`/channels/${channel}/messages`, { query });
  if (page.length === 0) break;
  seen.push(...page.map((each) => each.id));
  before = page.at(-1).id;
}
let problem = null;
try {
  await rest.post(`/channels/${channel}/messages`, { body: { content: 'x'.repeat(2001) } });
} catch (error) {
  problem = { status: error.status, code: error.code, message: error.message };
}
console.log(
  JSON.stringify({ registered: registered.map((each) => each.name), posted, edited, uploaded, several: several.length, seen, problem, limited }),
);
