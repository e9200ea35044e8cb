"""Other libraries' REST clients use the simulator as they use Discord, over gunicorn as in the demo."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from devtools.embedded_postgres import free_port
from devtools.processes import answers, start, wait_until
from devtools.simulator import seed_data
from devtools.simulator.models import SimChannel
from tests import required_programs
from tests.discord import node_tools

pytestmark = pytest.mark.processes

TOKEN = "MTAw.local.bot-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where the simulator is, and what is in it."""

    base: str
    application: int
    channel: int


@pytest.fixture
def api(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[Api]:
    seed_data.make_servers(now=timezone.now())
    port = free_port()
    database = connection.settings_dict
    environment = {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.local",
        "DATABASE_URL": "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format_map(database),
        "DISCORD_BOT_TOKEN": TOKEN,
        "SITE_URL": f"http://127.0.0.1:{port}",
        "SPARKLE_LOCAL_DIR": str(tmp_path),
    }
    child = start(
        "gunicorn",
        ["-m", "gunicorn", "sparkle_site.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "8"],
        log=tmp_path / "gunicorn.log",
        environment=environment,
    )
    try:
        wait_until(
            lambda: answers(f"http://127.0.0.1:{port}/simulator/"), children=[child], what="gunicorn", timeout_s=60
        )
        yield Api(
            base=f"http://127.0.0.1:{port}/simulator/api",
            application=settings.DISCORD_APPLICATION_ID,
            channel=SimChannel.objects.get(name="sparkle").pk,
        )
    finally:
        child.process.terminate()
        child.process.wait(20)


def test_discord_js(api: Api) -> None:
    required_programs.require("node")
    done = subprocess.run(
        [node_tools.node(), "drive.mjs", api.base, TOKEN, str(api.application), str(api.channel)],
        cwd=node_tools.folder(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["registered"] == ["paint", "admin", "Remix this"]
    assert found["posted"]["embeds"][0]["title"] == "Title"
    assert found["edited"]["content"] == "edited"
    assert found["edited"]["edited_timestamp"]
    (file,) = found["uploaded"]["attachments"]
    assert (file["filename"], file["size"], file["description"]) == ("hello.txt", 5, "a text")
    # Eight at once are more than a bucket holds: the library waited as it was told, and none was lost.
    assert found["several"] == 8
    assert found["limited"] > 0
    assert len(found["seen"]) == len(set(found["seen"])) == 10
    assert found["problem"]["code"] == 50035
    assert "content[BASE_TYPE_MAX_LENGTH]" in found["problem"]["message"]


def test_hikari(api: Api) -> None:
    import hikari

    async def drive() -> None:
        app = hikari.RESTApp(url=f"{api.base}/v10")
        await app.start()
        try:
            async with app.acquire(TOKEN, hikari.TokenType.BOT) as rest:
                await use(rest)
        finally:
            await app.close()

    async def use(rest: Any) -> None:
        paint = rest.slash_command_builder("paint", "Paint").add_option(
            hikari.CommandOption(type=hikari.OptionType.STRING, name="words", description="What", is_required=True)
        )
        registered = await rest.set_application_commands(api.application, [paint])
        assert [command.name for command in registered] == ["paint"]
        assert (await rest.fetch_application_command(api.application, registered[0].id)).options[0].name == "words"
        assert (await rest.fetch_my_user()).is_bot

        row = rest.build_message_action_row()
        row.add_interactive_button(hikari.ButtonStyle.PRIMARY, "go", label="Go")
        embed = hikari.Embed(title="Title").add_field("n", "v")
        posted = await rest.create_message(api.channel, "first", embed=embed, component=row)
        assert posted.embeds[0].fields[0].value == "v"
        assert posted.components[0].components[0].custom_id == "go"
        edited = await rest.edit_message(api.channel, posted, "edited")
        assert (edited.content, edited.edited_timestamp is not None) == ("edited", True)
        uploaded = await rest.create_message(api.channel, attachment=hikari.Bytes(b"hello", "hello.txt"))
        assert (uploaded.attachments[0].filename, uploaded.attachments[0].size) == ("hello.txt", 5)
        assert await uploaded.attachments[0].read() == b"hello"

        sent = await asyncio.gather(*(rest.create_message(api.channel, f"n{n}") for n in range(8)))
        history = [message.id async for message in rest.fetch_messages(api.channel)]
        assert len(history) == 10
        assert {message.id for message in sent} < set(history)
        earlier = [message.id async for message in rest.fetch_messages(api.channel, before=uploaded)]
        assert earlier == [posted.id]
        with pytest.raises(hikari.BadRequestError) as raised:
            await rest.create_message(api.channel, "x" * 2001)
        assert raised.value.code == 50035
        with pytest.raises(hikari.NotFoundError):
            await rest.fetch_channel(5)

    asyncio.run(drive())


# It imports audioop, for voice.
@pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
def test_discord_py(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import discord
    from discord.http import HTTPClient, Route, handle_message_parameters

    monkeypatch.setattr(Route, "BASE", f"{api.base}/v10")

    async def drive() -> None:
        async with aclosing(_Closing(HTTPClient(asyncio.get_running_loop()))) as closing:
            await use(closing.client)

    async def use(http: HTTPClient) -> None:
        me = await http.static_login(TOKEN)
        assert me["bot"]
        command = {"name": "paint", "description": "Paint", "type": 1, "options": []}
        assert [each["name"] for each in await http.bulk_upsert_global_commands(api.application, [command])] == [
            "paint"
        ]

        with handle_message_parameters(content="first", embed=discord.Embed(title="Title")) as parameters:
            posted = await http.send_message(api.channel, params=parameters)
        assert posted["embeds"][0]["title"] == "Title"
        with handle_message_parameters(content="edited") as parameters:
            edited = await http.edit_message(api.channel, posted["id"], params=parameters)
        assert edited["content"] == "edited"
        file = discord.File(io.BytesIO(b"hello"), filename="hello.txt")
        with handle_message_parameters(file=file) as parameters:
            uploaded = await http.send_message(api.channel, params=parameters)
        assert uploaded["attachments"][0]["filename"] == "hello.txt"

        async def say(n: int) -> Any:
            with handle_message_parameters(content=f"n{n}") as parameters:
                return await http.send_message(api.channel, params=parameters)

        sent = await asyncio.gather(*map(say, range(8)))
        seen: list[str] = []
        while page := await http.logs_from(api.channel, 4, before=int(seen[-1]) if seen else None):
            seen += [message["id"] for message in page]
        assert len(seen) == len(set(seen)) == 10
        assert {message["id"] for message in sent} < set(seen)
        with (
            pytest.raises(discord.HTTPException) as raised,
            handle_message_parameters(content="x" * 2001) as parameters,
        ):
            await http.send_message(api.channel, params=parameters)
        assert raised.value.code == 50035

    asyncio.run(drive())


class _Closing:
    """An HTTPClient that `aclosing` can close."""

    def __init__(self, client: Any) -> None:
        self.client = client

    async def aclose(self) -> None:
        await self.client.close()


def test_a_chunked_body_is_read(api: Api) -> None:
    import httpx

    def chunks() -> Iterator[bytes]:
        yield b'{"content": "in '
        yield b'pieces"}'

    headers = {"User-Agent": "DiscordBot (https://example.org, 1)", "Authorization": f"Bot {TOKEN}",
               "Content-Type": "application/json"}  # fmt: skip
    answer = httpx.post(f"{api.base}/v10/channels/{api.channel}/messages", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["content"]) == (200, "in pieces")
