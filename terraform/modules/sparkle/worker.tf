# The GPU worker: one task per instance. Scaling sets the number of tasks, and the instances follow it.

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
    image     = "${aws_ecr_repository.this["worker"].repository_url}:${var.worker_image_tag == "" ? "none-pushed-yet" : var.worker_image_tag}"
    essential = true
    user      = "10001"
    environment = [
      for name, value in merge(local.environment, {
        DJANGO_SETTINGS_MODULE        = "sparkle_site.settings.headless"
        DATABASE_STATEMENT_TIMEOUT_MS = "10000"
        SPARKLE_COMPILE               = var.worker_compile ? "1" : "0"
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

  depends_on = [aws_ecs_cluster_capacity_providers.this, aws_iam_role_policy.execution, aws_iam_role_policy.task]
}

# ---------------------------------------------------------------- Instances

data "aws_ssm_parameter" "worker_ami" {
  name = var.worker_ami_parameter
}

# Fail during plan if the region lacks the type, not later by an instance that never starts.
data "aws_ec2_instance_type_offerings" "worker" {
  count = var.check_instance_types ? 1 : 0

  filter {
    name   = "instance-type"
    values = var.worker_instance_types
  }

  lifecycle {
    postcondition {
      condition     = length(setsubtract(var.worker_spot ? [] : [var.worker_instance_types[0]], self.instance_types)) == 0 && length(self.instance_types) > 0
      error_message = "${local.region} does not offer ${join(", ", setsubtract(var.worker_instance_types, self.instance_types))}. Set worker_instance_types to types it offers (list them with: aws ec2 describe-instance-type-offerings --filters Name=instance-type,Values='g*')."
    }
  }
}

data "aws_iam_policy_document" "instance_assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "instance" {
  name               = "${local.name}-instance"
  description        = "Lets GPU instances join the cluster and accept Session Manager."
  assume_role_policy = data.aws_iam_policy_document.instance_assume.json
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each = toset(["service-role/AmazonEC2ContainerServiceforEC2Role", "AmazonSSMManagedInstanceCore"])

  role       = aws_iam_role.instance.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

resource "aws_iam_instance_profile" "worker" {
  name = "${local.name}-instance"
  role = aws_iam_role.instance.name
}

resource "aws_launch_template" "worker" {
  name                   = "${local.name}-worker"
  description            = "GPU instance of the worker."
  image_id               = data.aws_ssm_parameter.worker_ami.insecure_value
  instance_type          = var.worker_instance_types[0]
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/worker.sh.tftpl", { cluster = local.name }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.worker.arn
  }

  network_interfaces {
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = [aws_security_group.workers.id]
  }

  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
    # One hop keeps containers in bridge mode from the instance's role; tasks have their own roles.
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.worker_disk_gib
      throughput            = 250
      encrypted             = true
      delete_on_termination = true
    }
  }

  monitoring {
    enabled = false
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])

    content {
      resource_type = tag_specifications.value
      tags          = { Name = "${local.name}-worker", Project = var.project_id, Environment = var.unique_id }
    }
  }
}

resource "aws_autoscaling_group" "worker" {
  name                = "${local.name}-worker"
  min_size            = 0
  max_size            = var.max_workers
  vpc_zone_identifier = local.public_subnet_ids
  capacity_rebalance  = var.worker_spot

  # schedule.tf removes no instance while as many tasks run. The group chooses which one; ECS drains it first.
  protect_from_scale_in     = false
  default_instance_warmup   = 0
  wait_for_capacity_timeout = "0"

  dynamic "launch_template" {
    for_each = var.worker_spot ? [] : [1]

    content {
      id      = aws_launch_template.worker.id
      version = aws_launch_template.worker.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = var.worker_spot ? [1] : []

    content {
      instances_distribution {
        on_demand_base_capacity                  = 0
        on_demand_percentage_above_base_capacity = 0
        spot_allocation_strategy                 = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = aws_launch_template.worker.id
          version            = aws_launch_template.worker.latest_version
        }

        dynamic "override" {
          for_each = var.worker_instance_types

          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  dynamic "warm_pool" {
    for_each = var.worker_warm_pool_size > 0 ? [1] : []

    content {
      pool_state = "Stopped"
      min_size   = var.worker_warm_pool_size
      # By default the pool holds as many as the group may grow to.
      max_group_prepared_capacity = var.worker_warm_pool_size
    }
  }

  tag {
    key                 = "AmazonECSManaged"
    value               = ""
    propagate_at_launch = true
  }

  lifecycle {
    # Set by schedule.tf.
    ignore_changes = [desired_capacity]
  }

  depends_on = [data.aws_ec2_instance_type_offerings.worker]
}

resource "aws_ecs_capacity_provider" "gpu" {
  name = "${local.name}-gpu"

  auto_scaling_group_provider {
    auto_scaling_group_arn = aws_autoscaling_group.worker.arn
    # A draining instance takes no new tasks and stops when its own have ended.
    managed_draining = "ENABLED"

    # ECS's managed scaling takes 15 minutes to remove an instance and a minute or two to add one. Its termination
    # protection works only together with it (docs/decisions/0009-terraform.md).
    managed_termination_protection = "DISABLED"

    managed_scaling {
      status = "DISABLED"
    }
  }
}
