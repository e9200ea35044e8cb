output "discord_interactions_endpoint_url" {
  description = "Paste it into Discord's developer portal: General Information, Interactions Endpoint URL."
  value       = "${local.site_url}/interactions"
}

output "discord_events_endpoint_url" {
  description = "Paste it into Discord's developer portal: Webhooks, Endpoint URL."
  value       = "${local.site_url}/events"
}

output "site_url" {
  description = "The Django site: admin, dashboard, gallery."
  value       = local.site_url
}

output "discord_redirect_url" {
  description = "Add it in Discord's developer portal: OAuth2, Redirects."
  value       = "${local.site_url}/accounts/discord/login/callback/"
}

output "custom_domain_target" {
  description = "Point a CNAME of domain_name here. Empty without domain_name."
  value       = var.domain_name == "" ? "" : aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
}

output "ecr_registry_url" {
  description = "Log docker in here before pushing."
  value       = split("/", aws_ecr_repository.this["web"].repository_url)[0]
}

output "ecr_repository_urls" {
  description = "Where the images go."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "cluster" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.this.name
}

output "prepare_command" {
  description = "Makes the database's role and migrates; run it before each new version of the site goes live."
  value = join(" ", [
    "aws ecs run-task --region ${local.region} --cluster ${aws_ecs_cluster.this.name} --launch-type FARGATE",
    "--task-definition ${aws_ecs_task_definition.prepare.family}",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", local.public_subnet_ids)}],securityGroups=[${aws_security_group.web.id}],assignPublicIp=ENABLED}'",
  ])
}

output "queue_url" {
  description = "The jobs' FIFO queue."
  value       = aws_sqs_queue.jobs.url
}

output "dead_letter_queue_url" {
  description = "Its dead-letter queue."
  value       = aws_sqs_queue.dead.url
}

output "image_bucket" {
  description = "Where pictures are kept."
  value       = aws_s3_bucket.images.id
}

output "database_address" {
  description = "The database's host."
  value       = aws_db_instance.this.address
}

output "database_master_secret_arn" {
  description = "The master password, kept and rotated by RDS."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "alarm_topic_arn" {
  description = "Subscribe to it to hear of alarms and of the budget."
  value       = aws_sns_topic.alarms.arn
}

output "state_machine_arn" {
  description = "The scaling workflow."
  value       = aws_sfn_state_machine.scaling.arn
}
