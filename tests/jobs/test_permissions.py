"""A channel's permission holds in it and its threads, never for private requests; a server's holds everywhere."""

from __future__ import annotations

import pytest

from discord_api.permissions import ADMINISTRATOR, MANAGE_GUILD, MANAGE_MESSAGES, can_manage_guild
from jobs.models import Job
from jobs.permissions import may_moderate

CHANNEL, OTHER, THREAD, THREAD_2, CATEGORY = 1, 2, 3, 4, 9
EVERYTHING_ELSE = 2**50 - 1 & ~(ADMINISTRATOR | MANAGE_GUILD | MANAGE_MESSAGES)

IN_CHANNEL = {"channel_id": CHANNEL, "parent_channel_id": CATEGORY}
IN_THREAD = {"channel_id": THREAD, "parent_channel_id": CHANNEL, "category_id": CATEGORY}
PRIVATE = {"ephemeral": True}


@pytest.mark.parametrize(
    ("permissions", "here", "job", "may"),
    [
        (MANAGE_MESSAGES, {CHANNEL}, IN_CHANNEL, True),
        (MANAGE_MESSAGES, {CHANNEL}, IN_THREAD, True),
        (MANAGE_MESSAGES, {THREAD, CHANNEL}, IN_CHANNEL, True),
        (MANAGE_MESSAGES, {THREAD, CHANNEL}, IN_THREAD, True),
        (MANAGE_MESSAGES, {THREAD_2, CHANNEL}, IN_THREAD, True),
        (MANAGE_MESSAGES, {OTHER}, IN_CHANNEL, False),
        (MANAGE_MESSAGES, {OTHER}, IN_THREAD, False),
        (MANAGE_MESSAGES, {THREAD_2, OTHER}, IN_THREAD, False),
        (MANAGE_MESSAGES, {0}, {"channel_id": 5}, False),
        (MANAGE_MESSAGES, {CHANNEL}, IN_CHANNEL | PRIVATE, False),
        (MANAGE_MESSAGES, {CHANNEL}, IN_THREAD | PRIVATE, False),
        (MANAGE_MESSAGES | EVERYTHING_ELSE, {CHANNEL}, IN_CHANNEL | PRIVATE, False),
        (MANAGE_GUILD, {OTHER}, IN_CHANNEL, True),
        (MANAGE_GUILD, {OTHER}, IN_CHANNEL | PRIVATE, True),
        (ADMINISTRATOR, {OTHER}, IN_THREAD | PRIVATE, True),
        (EVERYTHING_ELSE, {CHANNEL}, IN_CHANNEL, False),
        (0, {CHANNEL}, IN_CHANNEL, False),
    ],
)
def test_who_may_act_on_a_members_request(permissions, here, job, may):
    assert may_moderate(Job(**job), permissions=permissions, channel_ids=here) is may


def test_only_what_no_channel_can_grant_manages_a_server():
    assert can_manage_guild(MANAGE_GUILD)
    assert can_manage_guild(ADMINISTRATOR)
    assert not can_manage_guild(MANAGE_MESSAGES | EVERYTHING_ELSE)
