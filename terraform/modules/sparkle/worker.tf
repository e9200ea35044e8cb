# The GPU worker: one task per instance. Scaling sets the number of tasks, and the instances follow it.

locals {
  worker_image = "${aws_ecr_repository.this["worker"].repository_url}:${local.worker_image_tag == "" ? "none-pushed-yet" : local.worker_image_tag}"
}

resource "aws_ecs_task_definition" "worker" {
  family                   = "${local.name}-worker"
  requires_compatibilities = ["EC2"]
  network_mode             = var.worker_network_mode
  cpu                      = var.worker_cpu
  memory                   = var.worker_memory
  execution_role_arn       = aws_iam_role.execution["worker"].arn
  task_role_arn            = aws_iam_role.task["worker"].arn

  container_definitions = jsonencode([{
    name      = "worker"
    image     = local.worker_image
    essential = true
    user      = "10001"
    environment = [
      for name, value in merge(local.environment, {
        DJANGO_SETTINGS_MODULE        = "sparkle_site.settings.headless"
        DATABASE_STATEMENT_TIMEOUT_MS = "10000"
        SPARKLE_COMPILE               = var.worker_compile ? "1" : "0"
        # The image holds its models and is offline (gpu_worker/Dockerfile).
        HF_HUB_OFFLINE = var.worker_downloads_models ? "0" : "1"
        HF_HOME        = "/var/cache/sparkle/huggingface"
        # The ECS agent sets it only from version 1.104.0 on.
        AWS_REGION = local.region
        # Of the driver, the container gets what computing needs, whatever the image says.
        NVIDIA_DRIVER_CAPABILITIES = "compute,utility"
      }) : { name = name, value = tostring(value) }
    ]
    mountPoints          = [{ sourceVolume = "compiled", containerPath = "/var/cache/sparkle" }]
    secrets              = local.task_secrets["worker"]
    logConfiguration     = local.task_log["worker"]
    resourceRequirements = [{ type = "GPU", value = "1" }]
    linuxParameters      = { initProcessEnabled = true }
    # ECS ignores the image's HEALTHCHECK. The long start period allows 15 minutes for the first download of a model.
    healthCheck = {
      command     = ["CMD", "python", "-m", "gpu_worker.health"]
      interval    = 60
      timeout     = 10
      retries     = 10
      startPeriod = 300
    }
    # On SIGTERM the worker takes no new jobs, finishes what it can and releases the rest.
    stopTimeout = 110
  }])

  # The cache of torch.compile outlives the task, so an instance of the warm pool compiles once.
  volume {
    name = "compiled"

    docker_volume_configuration {
      scope         = "shared"
      autoprovision = true
      driver        = "local"
    }
  }
}

resource "aws_ecs_service" "worker" {
  name            = "worker"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.worker.arn
  desired_count   = 0
  propagate_tags  = "SERVICE"

  capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.gpu.name
    weight            = 1
  }

  # A new version may replace the old one at once: jobs are in the database, not in the worker.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  # It would start a second task beside the first, which the maximum forbids. Version 6 of the provider leaves the default
  # to AWS.
  availability_zone_rebalancing = "DISABLED"

  # A version whose workers cannot start is taken back.
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "network_configuration" {
    for_each = var.worker_network_mode == "awsvpc" ? [1] : []

    content {
      subnets         = local.inner_subnet_ids
      security_groups = [aws_security_group.workers.id]
    }
  }

  lifecycle {
    # Set by Application Auto Scaling.
    ignore_changes = [desired_count]
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this, aws_iam_role_policy.execution, aws_iam_role_policy.task, terraform_data.images]
}
