locals {
  web_port  = 8000
  web_image = "${aws_ecr_repository.this["web"].repository_url}:${local.web_image_tag == "" ? "none-pushed-yet" : local.web_image_tag}"

  web_environment = merge(local.environment, {
    DJANGO_SETTINGS_MODULE = "sparkle_site.settings.web"
    BEHIND_GATEWAY         = "true"
    ALLOWED_HOSTS          = "*" # Only the gateway reaches the site, and it accepts only its own host names.
    DATABASE_POOL_SIZE     = tostring(local.web_pool_size)
    # The admin shows its messages and sends them again.
    SQS_DEAD_LETTER_URL = aws_sqs_queue.dead.url
  })
}

resource "aws_ecs_task_definition" "web" {
  family                   = "${local.name}-web"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.web_cpu
  memory                   = local.web_memory
  execution_role_arn       = aws_iam_role.execution["web"].arn
  task_role_arn            = aws_iam_role.task["web"].arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.web_architecture
  }

  container_definitions = jsonencode(concat(
    [{
      name                   = "web"
      image                  = local.web_image
      essential              = true
      readonlyRootFilesystem = true
      user                   = "10001"
      portMappings           = [{ containerPort = local.web_port, hostPort = local.web_port, protocol = "tcp" }]
      environment            = [for name, value in local.web_environment : { name = name, value = tostring(value) }]
      secrets                = local.task_secrets["web"]
      logConfiguration       = local.task_log["web"]
      mountPoints            = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      stopTimeout            = 60
      healthCheck = {
        command     = ["CMD", "python", "-m", "sparkle_site.healthcheck"]
        interval    = 15
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
    }],
    # A function in a VPC without a NAT gateway cannot call Discord; this task has a public address and spare CPU.
    var.upkeep_runs_in == "web" ? [{
      name                   = "upkeep"
      image                  = local.web_image
      essential              = false
      readonlyRootFilesystem = true
      user                   = "10001"
      command                = ["python", "-m", "interactions_lambda.scheduled_functions", "upkeep", "--every", "60"]
      environment = [
        for name, value in merge(local.web_environment, { DJANGO_SETTINGS_MODULE = "sparkle_site.settings.headless" }) : { name = name, value = tostring(value) }
      ]
      secrets          = local.task_secrets["web"]
      logConfiguration = local.task_log["web"]
      mountPoints      = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
      restartPolicy    = { enabled = true, restartAttemptPeriod = 60 }
    }] : [],
  ))

  volume {
    name = "tmp"
  }
}

# Creates the application's database role and runs migrations. Run it before each new version (docs/how-to/update.md).
resource "aws_ecs_task_definition" "prepare" {
  family                   = "${local.name}-prepare"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 1024
  execution_role_arn       = aws_iam_role.execution["prepare"].arn
  task_role_arn            = aws_iam_role.task["prepare"].arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.web_architecture
  }

  container_definitions = jsonencode([{
    name                   = "prepare"
    image                  = local.web_image
    essential              = true
    readonlyRootFilesystem = true
    user                   = "10001"
    command                = ["sh", "-c", "python -m sparkle_site.rds.create_role && python manage.py migrate --no-input"]
    environment            = [for name, value in local.web_environment : { name = name, value = tostring(value) }]
    secrets = concat(
      local.task_secrets["prepare"],
      [for arn in aws_db_instance.this.master_user_secret[*].secret_arn : { name = "DATABASE_MASTER_PASSWORD", valueFrom = "${arn}:password::" }],
    )
    logConfiguration = local.task_log["prepare"]
    mountPoints      = [{ sourceVolume = "tmp", containerPath = "/tmp", readOnly = false }]
  }])

  volume {
    name = "tmp"
  }
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  count = var.site_gateway ? 1 : 0

  name        = "${local.name}.internal"
  description = "Service discovery of the site for API Gateway."
  vpc         = data.aws_vpc.this.id
}

resource "aws_service_discovery_service" "web" {
  count = var.site_gateway ? 1 : 0

  name          = "web"
  description   = "Addresses and ports of the site's tasks."
  force_destroy = true

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this[0].id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "SRV"
      ttl  = 10
    }
  }

  health_check_custom_config {
    failure_threshold = 1
  }
}

resource "aws_ecs_service" "web" {
  name            = "web"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.web.arn
  desired_count   = local.web_image_tag == "" ? 0 : var.web_tasks
  launch_type     = "FARGATE"
  propagate_tags  = "SERVICE"

  # The new task serves before the old one stops.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets         = local.service_subnet_ids
    security_groups = [aws_security_group.web.id]
    # For outbound traffic to Discord and the registry; the security group admits no inbound traffic.
    assign_public_ip = true
  }

  dynamic "service_registries" {
    for_each = aws_service_discovery_service.web[*].arn

    content {
      registry_arn   = service_registries.value
      container_name = "web"
      container_port = local.web_port
    }
  }

  lifecycle {
    precondition {
      condition     = length(local.service_subnet_ids) > 0
      error_message = "Every public subnet of ${var.vpc_id} ${local.no_service_zone}"
    }
  }

  depends_on = [aws_iam_role_policy.execution, aws_iam_role_policy.task, terraform_data.images]
}
