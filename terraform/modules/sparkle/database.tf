locals {
  database_name = "sparkle"
  database_user = "sparkle"
}

resource "aws_db_subnet_group" "this" {
  name        = local.name
  description = "Subnets of the database."
  subnet_ids  = local.inner_subnet_ids

  lifecycle {
    precondition {
      condition     = length(local.inner_subnet_by_zone) >= 2
      error_message = "The subnets ${join(", ", local.inner_subnet_ids)} are in ${length(local.inner_subnet_by_zone)} zone, but RDS needs two. Tag a subnet of ${var.vpc_id} in another zone with Tier = Public (or add one to private_subnet_ids)."
    }
  }
}

resource "aws_db_parameter_group" "this" {
  name        = "${local.name}-postgres17"
  description = "Requires TLS and logs statements slower than a second."
  family      = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Parameters are not logged: they include prompts.
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }

  parameter {
    name  = "log_parameter_max_length_on_error"
    value = "0"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = "17"
  instance_class = var.database_instance_class
  db_name        = local.database_name

  # RDS manages and rotates the master password. Only the task that creates the application's role reads it
  # (docs/how-to/deploy.md). Everything else connects as that role with IAM tokens, valid for fifteen minutes.
  username                            = "postgres"
  manage_master_user_password         = true
  iam_database_authentication_enabled = true

  storage_type          = "gp3"
  allocated_storage     = var.database_storage_gib
  max_allocated_storage = var.database_storage_gib * 5
  storage_encrypted     = true

  multi_az               = var.database_multi_az
  publicly_accessible    = false
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period   = var.database_backup_days
  backup_window             = "03:00-03:30"
  maintenance_window        = "sun:04:00-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = false
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = "${local.name}-final"

  auto_minor_version_upgrade      = true
  performance_insights_enabled    = local.performance_insights
  enabled_cloudwatch_logs_exports = var.database_log_exports

  lifecycle {
    precondition {
      condition     = !local.database_iam || local.connections_needed <= local.connections_limit
      error_message = "${var.database_instance_class} allows about ${local.connections_limit} connections, but ${local.connections_needed} may be needed at once (${join(", ", [for part, count in local.connections : "${part} ${count}"])}). Choose a larger database_instance_class, or lower max_workers, web_tasks or interactions_concurrency."
    }
  }

  depends_on = [aws_cloudwatch_log_group.database]
}

locals {
  # The two smallest sizes do not support it.
  performance_insights = !can(regex("\\.(micro|small)$", var.database_instance_class))
}

resource "aws_cloudwatch_log_group" "database" {
  name              = "/aws/rds/instance/${local.name}/postgresql"
  retention_in_days = var.log_retention_days
}
