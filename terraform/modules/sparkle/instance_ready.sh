#!/bin/bash
# Completes the lifecycle hook of this instance, at each start: on its way into the warm pool once the worker's image is
# here, on its way into service once it has joined the cluster. An instance that does not join is abandoned, so that
# Auto Scaling replaces it. Needs REGION, GROUP, HOOK and IMAGE; PATIENCE_S bounds the wait for the cluster.
set -euo pipefail

PATIENCE_S=${PATIENCE_S:-600}
METADATA=http://169.254.169.254/latest
AGENT=http://localhost:51678/v1/metadata

metadata() {
  local token
  token=$(curl -sSf -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60" "$METADATA/api/token")
  curl -sSf -H "X-aws-ec2-metadata-token: $token" "$METADATA/meta-data/$1"
}

complete() {
  aws autoscaling complete-lifecycle-action --region "$REGION" --auto-scaling-group-name "$GROUP" \
    --lifecycle-hook-name "$HOOK" --instance-id "$INSTANCE" --lifecycle-action-result "$1"
}

pull_image() {
  aws ecr get-login-password --region "$REGION" | docker login --username AWS --password-stdin "${IMAGE%%/*}"
  docker pull --quiet "$IMAGE"
}

has_joined() {
  local answer
  answer=$(curl -sf --max-time 5 "$AGENT") && [[ $answer == *'"ContainerInstanceArn":"arn:'* ]]
}

INSTANCE=$(metadata instance-id)
STATE=$(metadata autoscaling/target-lifecycle-state)
command -v aws > /dev/null || dnf install --assumeyes --quiet awscli-2

case "$STATE" in
  Warmed:*)
    pull_image
    complete CONTINUE
    ;;
  InService)
    until has_joined; do
      if ((SECONDS >= PATIENCE_S)); then
        complete ABANDON
        exit 0
      fi
      sleep 1
    done
    complete CONTINUE
    ;;
esac
