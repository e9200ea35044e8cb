# The GPU instances that the workers run on.

locals {
  worker_group = "${local.name}-worker"
  worker_hook  = "ready"

  # Before the first push an instance could only be started, paid for and stopped.
  keeps_warm = local.worker_warm_pool_size > 0 && local.worker_image_tag != ""

  # Auto Scaling refuses a warm pool for a group of several types.
  worker_types = local.worker_warm_pool_size > 0 ? [local.worker_instance_types[0]] : local.worker_instance_types

  # What AWS offers: a request that names a type which the region lacks may fail as a whole.
  worker_offers      = one(data.aws_ec2_instance_type_offerings.worker)
  worker_types_found = [for type in local.worker_types : type if local.worker_offers == null || contains(try(local.worker_offers.instance_types, []), type)]

  worker_candidate_subnet_ids = local.public_subnet_ids
  worker_subnet_ids           = [for id in local.worker_candidate_subnet_ids : id if local.worker_offers == null || contains(try(local.worker_offers.locations, []), data.aws_subnet.public[id].availability_zone)]
}

data "aws_ssm_parameter" "worker_ami" {
  name = var.worker_ami_parameter
}

# Fail during plan if no zone has the type, not later by an instance that never starts.
data "aws_ec2_instance_type_offerings" "worker" {
  count = var.check_instance_types ? 1 : 0

  location_type = "availability-zone"

  filter {
    name   = "instance-type"
    values = local.worker_types
  }

  lifecycle {
    postcondition {
      condition     = anytrue([for id in local.worker_candidate_subnet_ids : contains(self.locations, data.aws_subnet.public[id].availability_zone)])
      error_message = "No zone of the subnets ${join(", ", local.worker_candidate_subnet_ids)} offers ${join(", ", local.worker_types)}; ${length(self.locations) == 0 ? "no zone of ${local.region} does" : "these zones do: ${join(", ", sort(distinct(self.locations)))}"}. Tag a subnet there with Tier = Public, or set worker_instance_types to a type that your zones offer (aws ec2 describe-instance-type-offerings --location-type availability-zone --filters Name=instance-type,Values='g*')."
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

# An instance pulls its image before it waits in the warm pool, and reports itself ready.
data "aws_iam_policy_document" "instance" {
  statement {
    sid       = "ReportReady"
    actions   = ["autoscaling:CompleteLifecycleAction"]
    resources = ["arn:${local.partition}:autoscaling:${local.region}:${local.account_id}:autoScalingGroup:*:autoScalingGroupName/${local.worker_group}"]
  }
}

resource "aws_iam_role_policy" "instance" {
  name   = "own"
  role   = aws_iam_role.instance.id
  policy = data.aws_iam_policy_document.instance.json
}

resource "aws_iam_instance_profile" "worker" {
  name = "${local.name}-instance"
  role = aws_iam_role.instance.name
}

resource "aws_launch_template" "worker" {
  name                   = "${local.name}-worker"
  description            = "GPU instance of the worker."
  image_id               = data.aws_ssm_parameter.worker_ami.insecure_value
  instance_type          = try(local.worker_types_found[0], local.worker_types[0])
  update_default_version = true

  user_data = base64encode(templatefile("${path.module}/worker.sh.tftpl", {
    cluster = local.name
    ready   = file("${path.module}/instance_ready.sh")
    settings = {
      REGION = local.region
      GROUP  = local.worker_group
      HOOK   = local.worker_hook
      IMAGE  = local.worker_image_tag == "" ? "" : local.worker_image
    }
  }))

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
      throughput            = local.disk_throughput
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
  name                = local.worker_group
  min_size            = 0
  max_size            = local.worker_image_tag == "" ? 0 : var.max_workers
  vpc_zone_identifier = local.worker_subnet_ids
  capacity_rebalance  = local.worker_spot

  # schedule.tf removes no instance while as many tasks run. The group chooses which one; ECS drains it first.
  protect_from_scale_in     = false
  default_instance_warmup   = 0
  wait_for_capacity_timeout = "0"

  # Until the instance has pulled its image (on its way into the warm pool) or joined the cluster (on its way into
  # service). One that does neither in time is replaced. instance_ready.sh completes it.
  initial_lifecycle_hook {
    name                 = local.worker_hook
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    heartbeat_timeout    = 1200
    default_result       = "ABANDON"
  }

  dynamic "launch_template" {
    for_each = local.worker_warm_pool_size > 0 ? [1] : []

    content {
      id      = aws_launch_template.worker.id
      version = aws_launch_template.worker.latest_version
    }
  }

  dynamic "mixed_instances_policy" {
    for_each = local.worker_warm_pool_size > 0 ? [] : [1]

    content {
      instances_distribution {
        on_demand_base_capacity                  = 0
        on_demand_percentage_above_base_capacity = local.worker_spot ? 0 : 100
        # In the order of worker_instance_types: the next one where AWS has none left of the first.
        on_demand_allocation_strategy = "prioritized"
        spot_allocation_strategy      = "price-capacity-optimized"
      }

      launch_template {
        launch_template_specification {
          launch_template_id = aws_launch_template.worker.id
          version            = aws_launch_template.worker.latest_version
        }

        dynamic "override" {
          for_each = local.worker_types_found

          content {
            instance_type = override.value
          }
        }
      }
    }
  }

  dynamic "warm_pool" {
    for_each = local.keeps_warm ? [1] : []

    content {
      pool_state = "Stopped"
      min_size   = local.worker_warm_pool_size
      # By default the pool holds as many as the group may grow to.
      max_group_prepared_capacity = local.worker_warm_pool_size
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

  # An instance that starts before it may report itself ready is replaced.
  depends_on = [aws_iam_role_policy.instance, aws_iam_role_policy_attachment.instance, terraform_data.images]
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
