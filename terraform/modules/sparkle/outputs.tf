output "discord_interactions_endpoint_url" {
  description = "Where Discord sends interactions. Without build_images, enter it in Discord's developer portal: General Information, Interactions Endpoint URL."
  value       = "${local.site_url}/interactions"
}

output "discord_events_endpoint_url" {
  description = "Where Discord sends events. Without build_images, enter it in Discord's developer portal: Webhooks, Endpoint URL."
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
  description = "Target of the CNAME record for domain_name. Empty without domain_name."
  value       = var.domain_name == "" ? "" : aws_apigatewayv2_domain_name.this[0].domain_name_configuration[0].target_domain_name
}

output "discord_invite_url" {
  description = "Link that adds the bot to a Discord server. Open it, and type /sparkle there."
  value       = "https://discord.com/oauth2/authorize?client_id=${var.discord_application_id}&scope=bot+applications.commands&permissions=${local.invite_permissions}"
}

output "deployment" {
  description = "What the build and `./dev deploy` need to know about this deployment. Null without build_images."
  value       = local.deployment
}

output "ecr_registry_url" {
  description = "Registry to log in to with Docker before pushing images."
  value       = split("/", aws_ecr_repository.this["web"].repository_url)[0]
}

output "ecr_repository_urls" {
  description = "URLs of the repositories for the container images."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "cluster" {
  description = "Name of the ECS cluster."
  value       = aws_ecs_cluster.this.name
}

locals {
  run_task = join(" ", [
    "aws ecs run-task --region ${local.region} --cluster ${aws_ecs_cluster.this.name} --launch-type FARGATE",
    "--task-definition ${aws_ecs_task_definition.prepare.family}",
    "--network-configuration 'awsvpcConfiguration={subnets=[${join(",", local.service_subnet_ids)}],securityGroups=[${aws_security_group.web.id}],assignPublicIp=ENABLED}'",
  ])
  create_operator = { containerOverrides = [{ name = "prepare", command = ["python", "manage.py", "create_operator", "operator"] }] }
}

output "prepare_command" {
  description = "Command that creates the database role and runs migrations. Run it before each new version of the site."
  value       = local.run_task
}

output "operator_command" {
  description = "Command that creates the account `operator` and prints a link that sets its password, once and within an hour. Run it again for a lost password."
  value = join(" && ", [
    "TASK=$(${local.run_task} --overrides '${jsonencode(local.create_operator)}' --query 'tasks[0].taskArn' --output text)",
    "aws ecs wait tasks-stopped --region ${local.region} --cluster ${aws_ecs_cluster.this.name} --tasks \"$TASK\"",
    "aws logs get-log-events --region ${local.region} --log-group-name ${aws_cloudwatch_log_group.task["prepare"].name} --log-stream-name \"prepare/prepare/$${TASK##*/}\" --query 'events[].message' --output text",
  ])
}

output "metrics_command" {
  description = "Command that reads the site's metrics. A scraper sends the same header. Empty without metrics."
  value       = var.metrics ? "curl --fail --silent --header \"Authorization: Bearer $(aws secretsmanager get-secret-value --region ${local.region} --secret-id ${local.name}/metrics-token --query SecretString --output text)\" ${local.site_url}/metrics" : ""
}

output "queue_url" {
  description = "URL of the job queue (SQS FIFO)."
  value       = aws_sqs_queue.jobs.url
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue."
  value       = aws_sqs_queue.dead.url
}

output "image_bucket" {
  description = "Name of the bucket with the images."
  value       = aws_s3_bucket.images.id
}

output "database_address" {
  description = "Host name of the database."
  value       = aws_db_instance.this.address
}

output "database_master_secret_arn" {
  description = "ARN of the secret with the master password, which RDS manages and rotates."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "alarm_topic_arn" {
  description = "ARN of the SNS topic for alarms and budget warnings."
  value       = aws_sns_topic.alarms.arn
}

output "state_machine_arn" {
  description = "ARN of the state machine of the scaling workflow."
  value       = aws_sfn_state_machine.scaling.arn
}

output "left_out_subnets" {
  description = "Subnets that are not used everywhere, each with its zone and the reason."
  value = merge(
    { for id in sort(distinct(concat(local.public_subnet_ids, local.inner_subnet_ids))) : id => "${local.zone_of_subnet[id].availability_zone} has no VPC links, Fargate or Lambda" if contains(var.unsupported_zone_ids, local.zone_of_subnet[id].availability_zone_id) },
    { for id in setsubtract(local.worker_candidate_subnet_ids, local.worker_subnet_ids) : id => "${local.zone_of_subnet[id].availability_zone} does not offer ${join(", ", local.worker_types)}" },
  )
}

output "left_out_instance_types" {
  description = "Types of worker_instance_types that no worker uses: the region lacks them, or the warm pool holds one type only."
  value       = [for type in local.worker_instance_types : type if !contains(local.worker_types_found, type)]
}
