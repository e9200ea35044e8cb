# `terraform destroy` starts here. With protection on it stops here, before anything is destroyed. (AWS itself would
# refuse to delete the database and the bucket only after everything else is gone.)
resource "terraform_data" "deletion_protection" {
  input = var.deletion_protection

  provisioner "local-exec" {
    when    = destroy
    command = self.output ? "echo 'deletion_protection is on: nothing was destroyed. To take everything down, database and images included: terraform apply -var deletion_protection=false, then terraform destroy' >&2; exit 1" : "exit 0"
  }

  # Resources that nothing else depends on. Through them this depends on everything.
  depends_on = [
    aws_apigatewayv2_api_mapping.this,
    aws_apigatewayv2_route.interactions,
    aws_apigatewayv2_route.web,
    aws_budgets_budget.month,
    aws_cloudwatch_dashboard.this,
    aws_cloudwatch_event_target.scaling,
    aws_cloudwatch_event_target.upkeep,
    aws_cloudwatch_metric_alarm.down,
    aws_cloudwatch_metric_alarm.up,
    aws_cloudwatch_metric_alarm.watch,
    aws_ecr_lifecycle_policy.this,
    aws_ecs_service.web,
    aws_ecs_task_definition.prepare,
    aws_iam_role_policy.events,
    aws_iam_role_policy_attachment.instance,
    aws_lambda_permission.api,
    aws_lambda_permission.upkeep,
    aws_s3_bucket_lifecycle_configuration.deployment,
    aws_s3_bucket_lifecycle_configuration.images,
    aws_s3_bucket_ownership_controls.images,
    aws_s3_bucket_policy.deployment,
    aws_s3_bucket_policy.images,
    aws_s3_bucket_server_side_encryption_configuration.images,
    aws_secretsmanager_secret_version.discord_bot,
    aws_secretsmanager_secret_version.discord_client,
    aws_secretsmanager_secret_version.huggingface,
    aws_secretsmanager_secret_version.metrics,
    aws_sns_topic_subscription.mail,
    aws_sqs_queue_policy.jobs,
    aws_sqs_queue_redrive_allow_policy.dead,
    aws_vpc_endpoint.s3,
    aws_vpc_security_group_egress_rule.https,
    aws_vpc_security_group_egress_rule.https_ipv6,
    aws_vpc_security_group_egress_rule.to_database,
    aws_vpc_security_group_egress_rule.vpc_link,
    aws_vpc_security_group_ingress_rule.database,
    aws_vpc_security_group_ingress_rule.endpoints,
    aws_vpc_security_group_ingress_rule.web,
    terraform_data.discord,
    terraform_data.ipv6,
  ]
}
