"""Builds the two images and pushes them to the account's registry."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .step_runner import StepFailed
from .terraform_output import Deployment

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILES = {"web": "sparkle_site/Dockerfile", "worker": "gpu_worker/Dockerfile"}
# Docker Hub limits the pulls of an address, and a build shares its address with strangers. Amazon's copy has no limit.
BASE_REGISTRY = "public.ecr.aws/docker/library"
NO_TOKEN = {"", "-"}
_TAIL_BYTES = 20_000
# A word in the output, and what to do about it.
_ADVICE = {
    "no space left on device": "Choose a larger build_compute_type (its disk grows with it) and apply again.",
    "gated repo": "Accept the model's licence on Hugging Face, set TF_VAR_huggingface_token to a read token of that"
    " account, raise secrets_version, and apply again.",
    "401 client error": "Set TF_VAR_huggingface_token to a valid read token, raise secrets_version, and apply again.",
    "repository not found": "Check model_id and models: Hugging Face has no such model for this token.",
    "killed": "The build ran out of memory. Choose a larger build_compute_type and apply again.",
    "toomanyrequests": "A registry limits downloads for now. Apply again in an hour.",
    "temporary failure in name resolution": "The build had no network. Apply again.",
}


def build_command(image: str, deployment: Deployment, *, token: bool) -> list[str]:
    """Return the command that builds and pushes an image. `token`: HUGGINGFACE_TOKEN holds one for gated models."""
    arguments = {"BASE_REGISTRY": BASE_REGISTRY}
    if image == "worker":
        arguments |= {
            "MODEL_ID": deployment.model_id,
            "MODELS": " ".join(deployment.models),
            "SAFETY": "1" if deployment.output_check else "0",
        }
    return [
        *("docker", "buildx", "build", "--platform", "linux/amd64", "--provenance=false", "--progress=plain", "--push"),
        *(part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")),
        *(("--secret", "id=huggingface,env=HUGGINGFACE_TOKEN") if token and image == "worker" else ()),
        *("--file", DOCKERFILES[image], "--tag", f"{deployment.repositories[image]}:{deployment.release}", "."),
    ]


def build(deployment: Deployment, *, ecr: Any, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Build and push what the registry lacks; return what was done. Raises StepFailed."""
    missing = missing_images(deployment, ecr)
    for image in missing:
        if deployment.tags[image] != deployment.release:
            raise StepFailed(
                f"The registry has no {image} image {deployment.tags[image]}.",
                f"Push it, or remove {image}_image_tag from terraform.tfvars, so that it is built. Then apply again.",
            )
    if missing:
        _log_in(ecr)
    done = [f"{image} {deployment.tags[image]} is in the registry." for image in DOCKERFILES if image not in missing]
    for image in missing:
        _run(image, build_command(image, deployment, token=environment.get("HUGGINGFACE_TOKEN", "") not in NO_TOKEN))
        done.append(f"{image} {deployment.release} was built and pushed.")
    return done


def missing_images(deployment: Deployment, ecr: Any) -> list[str]:
    """Return the images whose tag the registry lacks. Tags are immutable, so nothing is pushed twice."""
    return [
        image for image in DOCKERFILES if not _is_pushed(ecr, deployment.repositories[image], deployment.tags[image])
    ]


def _is_pushed(ecr: Any, repository_url: str, tag: str) -> bool:
    name = repository_url.split("/", 1)[1]
    try:
        ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": tag}])
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        return False
    return True


def advice(output: str) -> str:
    """Return what to do about a failed build, from its output."""
    found = (next_step for word, next_step in _ADVICE.items() if word in output.lower())
    return next(found, "Read the lines above. If nothing there needs a change, apply again.")


def _log_in(ecr: Any) -> None:
    authorization = ecr.get_authorization_token()["authorizationData"][0]
    user, password = base64.b64decode(authorization["authorizationToken"]).decode().split(":", 1)
    command = ["docker", "login", "--username", user, "--password-stdin", authorization["proxyEndpoint"]]
    try:
        done = subprocess.run(command, input=password, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise StepFailed(
            "Docker is not installed here.", "Build in the account (build_images = true), or install Docker."
        ) from None
    if done.returncode:
        raise StepFailed(
            f"The registry refused the login: {done.stderr.strip().splitlines()[-1:]}",
            "Check that the role may call ecr:GetAuthorizationToken, and apply again.",
        )


def _run(image: str, command: Sequence[str]) -> None:
    """Run the build; its output goes to ours, line by line, and its end decides the advice."""
    tail = bytearray()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            tail += line
            del tail[:-_TAIL_BYTES]
    if process.returncode:
        output = tail.decode(errors="replace")
        if process.returncode < 0 or process.returncode == 137:
            output += "\nkilled"
        raise StepFailed(f"The {image} image was not built (exit status {process.returncode}).", advice(output))
