"""The simulator's data. In PostgreSQL, so that every process sees it and it survives a restart."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from discord_api import snowflakes

from . import permissions


class SimUser(models.Model):
    """An account, in any number of servers."""

    id = models.BigIntegerField(primary_key=True)
    username = models.CharField(max_length=32, unique=True)
    global_name = models.CharField(max_length=32)
    hue = models.PositiveSmallIntegerField(default=0, help_text="0..359; the avatar's colour.")
    bot = models.BooleanField(default=False)
    locale = models.CharField(max_length=8, default="en-US")
    accepts_dms = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.global_name


class SimGuild(models.Model):
    """A server. The bot is in it while `installed`."""

    id = models.BigIntegerField(primary_key=True)
    name = models.CharField(max_length=100)
    owner = models.ForeignKey(SimUser, on_delete=models.PROTECT, related_name="+")
    hue = models.PositiveSmallIntegerField(default=0)
    installed = models.BooleanField(default=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.name


class SimRole(models.Model):
    """A role; the one with its server's id is @everyone, as on Discord."""

    id = models.BigIntegerField(primary_key=True)
    guild = models.ForeignKey(SimGuild, on_delete=models.CASCADE, related_name="roles")
    name = models.CharField(max_length=100)
    hue = models.PositiveSmallIntegerField(null=True)
    permissions = models.BigIntegerField(default=0)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["-position", "id"]

    def __str__(self) -> str:
        return self.name


class SimMember(models.Model):
    """A user in a server."""

    guild = models.ForeignKey(SimGuild, on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey(SimUser, on_delete=models.CASCADE, related_name="memberships")
    role_ids = ArrayField(models.BigIntegerField(), default=list)
    joined_at = models.DateTimeField()
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["guild", "user"], name="sim_member_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.guild}"

    @property
    def permissions(self) -> int:
        """What this member may in the server."""
        held = SimRole.objects.filter(guild_id=self.guild_id).filter(Q(pk__in=self.role_ids) | Q(pk=self.guild_id))
        return permissions.of_member(
            owner=self.guild.owner_id == self.user_id, roles=held.values_list("permissions", flat=True)
        )


class SimChannel(models.Model):
    """A channel or category of a server, or (without a server) the bot's direct messages with `recipient`."""

    TEXT, CATEGORY = 0, 4

    id = models.BigIntegerField(primary_key=True)
    guild = models.ForeignKey(SimGuild, null=True, on_delete=models.CASCADE, related_name="channels")
    recipient = models.OneToOneField(SimUser, null=True, on_delete=models.CASCADE, related_name="dm")
    name = models.CharField(max_length=100, blank=True)
    topic = models.CharField(max_length=200, blank=True)
    nsfw = models.BooleanField(default=False)
    kind = models.PositiveSmallIntegerField(default=TEXT, help_text="Discord's channel type.")
    parent = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="+", help_text="Its category."
    )
    bot_permissions = models.BigIntegerField(default=permissions.BOT)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return f"#{self.name}" if self.guild_id else f"DM of {self.recipient}"


class SimInteraction(models.Model):
    """An interaction that was sent to the application, and the life of its token."""

    id = models.BigIntegerField(primary_key=True)
    token = models.CharField(max_length=300, unique=True)
    type = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=100, blank=True, help_text="The command, or the custom id.")
    application_id = models.BigIntegerField()
    channel = models.ForeignKey(SimChannel, on_delete=models.CASCADE, related_name="interactions")
    user = models.ForeignKey(SimUser, on_delete=models.CASCADE, related_name="+")
    source = models.ForeignKey("SimMessage", null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField()
    acked_at = models.DateTimeField(null=True)
    callback_type = models.PositiveSmallIntegerField(null=True)
    problem = models.CharField(max_length=300, blank=True, help_text="Why Discord would have shown a failure.")
    original = models.ForeignKey("SimMessage", null=True, on_delete=models.SET_NULL, related_name="+")
    followups = models.PositiveSmallIntegerField(default=0)
    user_install_only = models.BooleanField(default=False)
    attachment_size_limit = models.PositiveIntegerField(default=10 * 1024 * 1024)

    def __str__(self) -> str:
        return f"{self.name} {self.id}"


class SimMessage(models.Model):
    """A message in its current form; earlier forms are in its edits."""

    id = models.BigIntegerField(primary_key=True)
    channel = models.ForeignKey(SimChannel, on_delete=models.CASCADE, related_name="messages")
    author = models.ForeignKey(SimUser, on_delete=models.CASCADE, related_name="+")
    interaction = models.ForeignKey(SimInteraction, null=True, on_delete=models.SET_NULL, related_name="messages")
    kind = models.PositiveSmallIntegerField(default=0, help_text="Discord's message type.")
    content = models.TextField(blank=True)
    embeds = models.JSONField(default=list)
    components = models.JSONField(default=list)
    flags = models.PositiveIntegerField(default=0)
    visible_to = models.ForeignKey(SimUser, null=True, on_delete=models.CASCADE, related_name="+")
    reply_to = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    nonce = models.CharField(max_length=25, blank=True)
    pinged_user_ids = ArrayField(models.BigIntegerField(), default=list)
    pinged_role_ids = ArrayField(models.BigIntegerField(), default=list)
    pinged_everyone = models.BooleanField(default=False)
    edited_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["channel", "-id"], name="sim_message_channel")]

    def __str__(self) -> str:
        return f"{self.id}"

    @property
    def created_at(self) -> object:
        return snowflakes.created_at(self.id)


class _WithoutContent(models.Manager["SimAttachment"]):
    """Leaves the bytes out of queries until they are read."""

    def get_queryset(self) -> models.QuerySet[SimAttachment]:
        return super().get_queryset().defer("content")


class SimAttachment(models.Model):
    """A file on the stand-in for the CDN. Without a message: uploaded for an option of a command."""

    id = models.BigIntegerField(primary_key=True)
    message = models.ForeignKey(SimMessage, null=True, on_delete=models.CASCADE, related_name="attachments")
    filename = models.CharField(max_length=260)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField()
    description = models.CharField(max_length=1024, blank=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    spoiler = models.BooleanField(default=False)
    content = models.BinaryField()

    objects = _WithoutContent()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.filename


class SimEdit(models.Model):
    """What a message looked like at one time: the first entry is how it was posted."""

    message = models.ForeignKey(SimMessage, on_delete=models.CASCADE, related_name="edits")
    at = models.DateTimeField()
    content = models.TextField(blank=True)
    embeds = models.JSONField(default=list)
    components = models.JSONField(default=list)
    attachments = models.JSONField(default=list, help_text="The file names.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.message_id} at {self.at:%H:%M:%S}"


class SimApplication(models.Model):
    """The application's settings that its bot may change."""

    id = models.BigIntegerField(primary_key=True)
    description = models.CharField(max_length=400, blank=True)
    interactions_endpoint_url = models.CharField(max_length=2048, blank=True)
    event_webhooks_url = models.CharField(max_length=2048, blank=True)
    event_webhooks_status = models.PositiveSmallIntegerField(default=1, help_text="1 disabled, 2 enabled.")
    event_webhooks_types = ArrayField(models.CharField(max_length=64), default=list)

    def __str__(self) -> str:
        return str(self.pk)


class SimCommandSet(models.Model):
    """The commands an application registered, globally (0) or for one server."""

    guild_id = models.BigIntegerField(primary_key=True, help_text="0: globally.")
    commands = models.JSONField(default=list)
    creates = models.PositiveIntegerField(default=0, help_text="Since `creates_since`; Discord allows 200 a day.")
    creates_since = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{len(self.commands)} commands of {self.guild_id or 'every server'}"


class SimBucket(models.Model):
    """A rate limit's counter."""

    key = models.CharField(primary_key=True, max_length=400)
    window_started_at = models.DateTimeField()
    used = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return self.key


class SimFault(models.Model):
    """A planned fault: the next `remaining` matching requests are answered with it."""

    class Kind(models.TextChoices):
        RATE_LIMITED = "rate_limited", "429 of this route"
        RATE_LIMITED_GLOBAL = "rate_limited_global", "429 for the whole bot"
        RATE_LIMITED_SHARED = "rate_limited_shared", "429 shared with others"
        SERVER_ERROR = "server_error", "500"
        BAD_GATEWAY = "bad_gateway", "502 with an HTML page"
        UNKNOWN_WEBHOOK = "unknown_webhook", "404, code 10015"
        FORBIDDEN = "forbidden", "403, code 50013"
        TOO_LARGE = "too_large", "413, code 40005"
        DELAY = "delay", "a slow response"
        LOST_ANSWER = "lost_answer", "500 after success"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    method = models.CharField(max_length=6, blank=True, help_text="Empty: every method.")
    path = models.CharField(max_length=200, blank=True, help_text="A part of the path; empty: every path.")
    remaining = models.PositiveIntegerField(default=1)
    seconds = models.FloatField(default=0.2, help_text="Retry-After, or the delay.")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.kind} x{self.remaining}"


class SimCall(models.Model):
    """A REST request that the application made, without its token."""

    at = models.DateTimeField()
    method = models.CharField(max_length=6)
    route = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField()
    code = models.PositiveIntegerField(default=0)
    problem = models.CharField(max_length=500, blank=True)
    milliseconds = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status}"


class SimGrant(models.Model):
    """A user's consent that the site may know who they are: first a code, then a token."""

    code = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(SimUser, on_delete=models.CASCADE, related_name="+")
    redirect_uri = models.CharField(max_length=300)
    scope = models.CharField(max_length=100)
    challenge = models.CharField(max_length=128, blank=True)
    access_token = models.CharField(max_length=64, blank=True, db_index=True)
    refresh_token = models.CharField(max_length=64, blank=True, db_index=True)
    created_at = models.DateTimeField()
    issued_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.user} ({self.scope})"
