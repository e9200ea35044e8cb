"""Models: operators inspect one, test it on a worker, and offer it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelect2MultipleWidget, UnfoldAdminSelectWidget

from guilds.generation_limits import STANDARD_SIZES
from guilds.lora_selection import FAMILIES as LORA_FAMILIES
from guilds.model_families import FAMILIES
from guilds.models import Guild, ModelProfile, validate_size
from guilds.policy import Refusal
from jobs import model_tests

from . import access, formatting
from .action_framework import Confirmation, Result, RowAction, with_actions
from .scoped_admin import ScopedAdmin
from .validated_input import CheckedForm

LABELS = {
    "is_default": "Default model",
    "default_sampler": "Sampler",
    "max_steps": "Most steps",
    "gpu_ms_per_step": "Estimated GPU time per step (milliseconds)",
}
HELP = {
    "source": "The id on Hugging Face, such as owner/name, or a folder in the worker's image. Empty: the deployment's "
    "own model (MODEL_ID).",
    "enabled": "Members can choose an enabled model. Test it first.",
    "is_default": "What members get who choose no model.",
    "gpu_ms_per_step": "For one image of 512x512. Sparkle replaces it by what it measures.",
}


class SizesField(forms.MultipleChoiceField):
    """Sizes chosen from a list, or typed."""

    widget = UnfoldAdminSelect2MultipleWidget

    def validate(self, value: Any) -> None:
        for size in value:
            validate_size(size)


class ModelProfileForm(CheckedForm):
    """A model. The first of its sizes is the default one, which the form shows on its own."""

    default_size = forms.ChoiceField(widget=UnfoldAdminSelectWidget, help_text="For requests without a size.")
    more_sizes = SizesField(
        label="Other sizes",
        required=False,
        widget=UnfoldAdminSelect2MultipleWidget({"data-tags": "true"}),
        help_text="What else members can choose. To add a size that is not listed, type it, such as 960x640.",
    )

    lora_family = forms.ChoiceField(
        label="LoRA family",
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", "Unknown: the worker tries each"), *((family, label) for family, label in LORA_FAMILIES.items())],
        help_text="The LoRAs that fit this model.",
    )

    class Meta:
        model = ModelProfile
        exclude = ["sizes"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = self.instance.sizes
        if "default_size" not in self.fields:
            return  # Nobody may change it, and the sizes are shown as text.
        typed = self.data.getlist("more_sizes") if hasattr(self.data, "getlist") else ()
        choices = [(size, size.replace("x", " x ")) for size in dict.fromkeys((*STANDARD_SIZES, *own, *typed))]
        self.fields["default_size"].choices = choices  # type: ignore[attr-defined]
        self.fields["more_sizes"].choices = choices  # type: ignore[attr-defined]
        self.initial.setdefault("default_size", own[0])
        self.initial.setdefault("more_sizes", own[1:])
        if self.instance.pk is None:
            self.initial["enabled"] = False

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        default, more = data.get("default_size"), data.get("more_sizes")
        if default is not None and more is not None:
            self.instance.sizes = list(dict.fromkeys((default, *more)))
        if data.get("is_default"):
            other = ModelProfile.objects.filter(is_default=True).exclude(pk=self.instance.pk).first()
            if other is not None:
                self.add_error("is_default", f"{other} is the default model. Open it and take that from it first.")
        return data

    def add_error(self, field: Any, error: Any) -> None:
        # What the model says of its sizes belongs to the field that shows them.
        if hasattr(error, "error_dict") and "sizes" in error.error_dict:
            error.error_dict["more_sizes"] = error.error_dict.pop("sizes")
        super().add_error(field, error)


class TestForm(BaseDialogForm):
    """The server in whose requests the test is listed."""

    guild = forms.ModelChoiceField(
        label="Server",
        queryset=Guild.objects.none(),
        widget=UnfoldAdminSelectWidget,
        error_messages={"required": "Choose a server.", "invalid_choice": "Choose one of the servers in the list."},
    )

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        self.fields["guild"].queryset = access.guilds_of(request).filter(left_at=None)  # type: ignore[attr-defined]


def _test(request: HttpRequest, profile: ModelProfile, form: TestForm) -> Result:
    started = model_tests.start(profile, form.cleaned_data["guild"], now=timezone.now())
    if isinstance(started, Refusal):
        return Result(text=f"The test #{started.params['id']} has not ended yet.", level=messages.WARNING)
    return Result(text=f"A worker makes one image with {profile} as request {started}. Reload this page in a moment.")


ON_ROW = (
    RowAction(
        name="test_model",
        label="Test",
        icon="science",
        url_path="test",
        permission="test_model",
        confirmation=Confirmation(
            title="Test this model?",
            text="A worker loads the model and makes one image. It is listed among the requests of the server that you "
            "choose, is posted nowhere and counts towards no quota.",
            button="Test",
            form=TestForm,
        ),
        run=_test,
        applies_to=lambda profile: True,
        variant=ActionVariant.PRIMARY,
    ),
)


@admin.register(ModelProfile)
@with_actions(on_row=ON_ROW)
class ModelProfileAdmin(ScopedAdmin):
    guild_path = None
    form = ModelProfileForm
    list_display = ["display_model", "is_enabled", "is_default", "default_sampler", "display_speed"]
    list_display_links = ["display_model"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["display_inspection", "display_test"]
    fieldsets = [
        (
            "Model",
            {
                "fields": [
                    ("name", "slug"),
                    "source",
                    "display_inspection",
                    "display_test",
                    ("enabled", "is_default"),
                    "preview",
                ]
            },
        ),
        (
            "What members can choose",
            {
                "fields": [
                    ("family", "default_sampler"),
                    ("default_steps", "max_steps"),
                    "default_guidance",
                    ("default_size", "more_sizes"),
                ]
            },
        ),
        ("How workers run it", {"fields": [("quantization", "step_cache"), ("lora_family", "gpu_ms_per_step")]}),
    ]

    class Media:
        js = ("sparkle/model.js",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["labels"] = LABELS
        kwargs["help_texts"] = HELP
        return super().get_form(request, obj, change, **kwargs)

    @display(description="Inspection")
    def display_inspection(self, profile: ModelProfile) -> SafeString:
        return render_to_string("admin/guilds/modelprofile/inspect.html", {"families": _families(FAMILIES.values())})

    @display(description="Test")
    def display_test(self, profile: ModelProfile) -> SafeString:
        test = model_tests.latest(profile) if profile.pk else None
        problem = f"{formatting.reason(test.reason)}. {test.detail}" if test is not None else ""
        context = {"is_new": profile.pk is None, "test": test, "problem": problem}
        return render_to_string("admin/guilds/modelprofile/test.html", context)

    def save_model(self, request: HttpRequest, obj: ModelProfile, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "enabled" in form.changed_data and obj.enabled and not model_tests.is_tested(obj):
            messages.warning(request, f"Members can choose {obj} now, though no worker has tested it.")

    # The list

    @display(description="Model")
    def display_model(self, profile: ModelProfile) -> SafeString:
        return formatting.name_with_preview(
            profile.name, profile.slug, profile.preview.name or "", "guilds_modelprofile", profile.pk
        )

    @display(description="State", label={"Enabled": "success", "Disabled": "default"})
    def is_enabled(self, profile: ModelProfile) -> str:
        return "Enabled" if profile.enabled else "Disabled"

    @display(description="GPU time per step", ordering="gpu_ms_per_step")
    def display_speed(self, profile: ModelProfile) -> str:
        return f"{profile.learned_gpu_ms_per_step or profile.gpu_ms_per_step:.0f} ms"


def _families(families: Iterable[Any]) -> dict[str, Any]:
    """Return what the page's script offers for each family."""
    return {family.slug: {"samplers": family.samplers, "multiple": family.size_multiple} for family in families}
