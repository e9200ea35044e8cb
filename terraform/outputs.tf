# Written by `./dev docs --write` from modules/sparkle. Change the module, not this file.

output "discord_interactions_endpoint_url" {
  description = "Where Discord sends interactions. Without build_images, enter it in Discord's developer portal: General Information, Interactions Endpoint URL."
  value       = module.sparkle.discord_interactions_endpoint_url
}

output "discord_events_endpoint_url" {
  description = "Where Discord sends events. Without build_images, enter it in Discord's developer portal: Webhooks, Endpoint URL."
  value       = module.sparkle.discord_events_endpoint_url
}

output "site_url" {
  description = "The Django site: admin, dashboard, gallery."
  value       = module.sparkle.site_url
}

output "discord_redirect_url" {
  description = "Add it in Discord's developer portal: OAuth2, Redirects."
  value       = module.sparkle.discord_redirect_url
}

output "custom_domain_target" {
  description = "Target of the CNAME record for domain_name. Empty without domain_name."
  value       = module.sparkle.custom_domain_target
}

output "discord_invite_url" {
  description = "Link that adds the bot to a Discord server. Open it, and type /sparkle there."
  value       = module.sparkle.discord_invite_url
}

output "deployment" {
  description = "What the build and `./dev deploy` need to know about this deployment. Null without build_images."
  value       = module.sparkle.deployment
}

output "ecr_registry_url" {
  description = "Registry to log in to with Docker before pushing images."
  value       = module.sparkle.ecr_registry_url
}

output "ecr_repository_urls" {
  description = "URLs of the repositories for the container images."
  value       = module.sparkle.ecr_repository_urls
}

output "cluster" {
  description = "Name of the ECS cluster."
  value       = module.sparkle.cluster
}

output "prepare_command" {
  description = "Command that creates the database role and runs migrations. Run it before each new version of the site."
  value       = module.sparkle.prepare_command
}

output "operator_command" {
  description = "Command that creates the account `operator` and prints a link that sets its password, once and within an hour. Run it again for a lost password."
  value       = module.sparkle.operator_command
}

output "metrics_command" {
  description = "Command that reads the site's metrics. A scraper sends the same header. Empty without metrics."
  value       = module.sparkle.metrics_command
}

output "queue_url" {
  description = "URL of the job queue (SQS FIFO)."
  value       = module.sparkle.queue_url
}

output "dead_letter_queue_url" {
  description = "URL of the dead-letter queue."
  value       = module.sparkle.dead_letter_queue_url
}

output "image_bucket" {
  description = "Name of the bucket with the images."
  value       = module.sparkle.image_bucket
}

output "database_address" {
  description = "Host name of the database."
  value       = module.sparkle.database_address
}

output "database_master_secret_arn" {
  description = "ARN of the secret with the master password, which RDS manages and rotates."
  value       = module.sparkle.database_master_secret_arn
}

output "alarm_topic_arn" {
  description = "ARN of the SNS topic for alarms and budget warnings."
  value       = module.sparkle.alarm_topic_arn
}

output "state_machine_arn" {
  description = "ARN of the state machine of the scaling workflow."
  value       = module.sparkle.state_machine_arn
}

output "left_out_subnets" {
  description = "Subnets that are not used everywhere, each with its zone and the reason."
  value       = module.sparkle.left_out_subnets
}

output "left_out_instance_types" {
  description = "Types of worker_instance_types that no worker uses: the region lacks them, or the warm pool holds one type only."
  value       = module.sparkle.left_out_instance_types
}
