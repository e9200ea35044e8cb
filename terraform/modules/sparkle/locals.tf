data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  name       = "${var.project_id}-${var.unique_id}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  # Version 6 of the provider renames `name`; `id` is the same in both.
  region = data.aws_region.current.id

  site_url = var.domain_name == "" ? aws_apigatewayv2_api.this.api_endpoint : "https://${var.domain_name}"

  # Only a database of the operator's own uses a password; the RDS instance takes short-lived IAM tokens.
  database_iam = var.database_url == ""
  database_url = local.database_iam ? "postgres://${local.database_user}@${aws_db_instance.this.address}:${aws_db_instance.this.port}/${local.database_name}?sslmode=require" : var.database_url

  # Environment variables of all functions and tasks (docs/how-to/deploy.md).
  environment = merge(var.otlp_endpoint == "" ? {} : { OTEL_EXPORTER_OTLP_ENDPOINT = var.otlp_endpoint }, {
    DATABASE_URL           = local.database_url
    DATABASE_IAM_AUTH      = local.database_iam ? "true" : "false"
    DISCORD_APPLICATION_ID = var.discord_application_id
    DISCORD_PUBLIC_KEY     = var.discord_public_key
    DISCORD_API_BASE       = var.discord_api_base
    SQS_QUEUE_URL          = aws_sqs_queue.jobs.url
    IMAGE_BUCKET           = aws_s3_bucket.images.id
    MODEL_ID               = var.model_id
    SITE_URL               = local.site_url
    DEPLOYMENT             = local.name
  })
}
