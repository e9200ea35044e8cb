"""The rows without which nothing can be asked: the operators' switches, a model, and a few styles."""

from django.db import migrations

STYLES = [
    ("photo", "Photograph", "a photograph of {prompt}, natural light, sharp focus", "drawing, painting"),
    ("monet", "Impressionist", "{prompt}, an impressionist oil painting, soft brush strokes", "photograph"),
    ("watercolor", "Watercolor", "{prompt}, watercolor on rough paper, light washes", "photograph"),
    ("pixel", "Pixel art", "{prompt}, pixel art, limited palette, 16-bit", "blurry"),
    ("ink", "Ink drawing", "{prompt}, black ink drawing, fine lines, white paper", "color"),
]


def add_defaults(apps, schema_editor):
    apps.get_model("guilds", "Platform").objects.get_or_create(id=1)
    apps.get_model("guilds", "ModelProfile").objects.get_or_create(
        slug="standard",
        defaults={"name": "Standard", "is_default": True, "sizes": ["512x512", "768x512", "512x768"]},
    )
    Style = apps.get_model("guilds", "StylePreset")
    for slug, name, template, negative in STYLES:
        Style.objects.get_or_create(
            guild=None, slug=slug, defaults={"name": name, "template": template, "negative_prompt": negative}
        )


class Migration(migrations.Migration):
    dependencies = [("guilds", "0001_initial")]
    operations = [migrations.RunPython(add_defaults, migrations.RunPython.noop)]
