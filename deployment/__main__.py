"""`python -m deployment STEP ...`: the steps images, migrate and connect, as AWS CodeBuild runs them (buildspec.yml).

CodeBuild has the source that `./dev package` packed; terraform/ starts it. The operator's `./dev doctor` and
`./dev deploy` use the same modules.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from . import discord_application, images, migration, step_runner, terraform_output
from .step_runner import Step, StepFailed
from .terraform_output import Deployment

STEPS = ("images", "migrate", "connect")
USAGE = f"usage: python -m deployment STEP ... (of {', '.join(STEPS)})"


def main(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run the steps, write their report to the deployment's bucket, and return the exit status."""
    if not argv or not set(argv) <= set(STEPS):
        print(USAGE, file=sys.stderr)
        return 2
    try:
        deployment = terraform_output.from_environment(environment)
    except terraform_output.NotConfigured as error:
        print(f"deployment: {error}", file=sys.stderr)
        return 2
    import boto3

    aws = partial(boto3.client, region_name=deployment.region)
    steps = [Step(name=name, run=partial(_step, name, deployment, aws, environment)) for name in argv]
    outcomes = step_runner.run(steps, say=partial(print, flush=True))
    key = step_runner.key(environment.get("CODEBUILD_BUILD_ID", ""))
    aws("s3").put_object(Bucket=deployment.bucket, Key=key, Body=step_runner.to_json(outcomes).encode())
    return 0 if step_runner.succeeded(outcomes) else 1


def _step(name: str, deployment: Deployment, aws: Any, environment: Mapping[str, str]) -> Sequence[str]:
    """Run one step; an error of AWS is a failed step, too."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if name == "images":
            return images.build(deployment, ecr=aws("ecr"), environment=environment)
        if name == "migrate":
            return migration.migrate(deployment, ecs=aws("ecs"))
        discord = discord_application.client(deployment, bot_token=environment.get("DISCORD_BOT_TOKEN", ""))
        return discord_application.connect(deployment, discord)
    except (BotoCoreError, ClientError) as error:
        raise StepFailed(f"AWS refused: {error}", "Fix that, and apply again.") from None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
