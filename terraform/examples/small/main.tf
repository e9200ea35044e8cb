# A few friends: one worker on spot capacity, nothing kept warm. Costs little more than the database at rest.
terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 6.0.0"
    }
  }
}

provider "aws" {}

variable "vpc_id" {
  description = "A VPC with two subnets tagged Tier = Public, in two zones, with IPv6."
  type        = string
}

variable "discord_application_id" {
  description = "From General Information in Discord's developer portal."
  type        = string
}

variable "discord_public_key" {
  description = "From General Information in Discord's developer portal."
  type        = string
}

variable "discord_bot_secret" {
  description = "The bot's token. Set it with TF_VAR_discord_bot_secret."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "django_secret_key" {
  description = "At least 50 random characters. Set it with TF_VAR_django_secret_key."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "lambda_package" {
  description = "The functions' zip file, built by `./dev package`."
  type        = string
  default     = "../../../build/lambda.zip"
}

variable "source_package" {
  description = "The images' source, packed by `./dev package`."
  type        = string
  default     = "../../../build/source.zip"
}

module "sparkle" {
  source = "../../modules/sparkle"

  vpc_id                 = var.vpc_id
  discord_application_id = var.discord_application_id
  discord_public_key     = var.discord_public_key
  discord_bot_secret     = var.discord_bot_secret
  django_secret_key      = var.django_secret_key
  lambda_package         = var.lambda_package
  source_package         = var.source_package

  unique_id          = "small"
  profile            = "small"
  max_workers        = 1
  monthly_budget_usd = 60
}

output "sparkle" {
  description = "All outputs of the module: addresses for Discord, commands to run."
  value       = module.sparkle
}
